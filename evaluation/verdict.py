"""Comparisons in words a reviewer accepts: what is shown, what is not, and first of all what contradicts itself."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from evaluation.difference import Difference
from evaluation.report import Table, format_interval, point_out

Finding = Literal["better", "worse", "no difference", "cannot tell", "identical"]
FINDINGS: tuple[Finding, ...] = get_args(Finding)
SMALLEST = 0.001  # a smaller p is not written out


def find(difference: Difference) -> Finding:
    """Say what one metric shows of the first against the second: a claim needs p, after Holm, below 1 - level."""
    p = _p(difference)
    if difference.is_identical:
        return "identical"
    if p is None:
        return "cannot tell"
    if p >= 1 - difference.level:
        return "no difference"
    return "better" if (difference.point < 0) == (difference.direction == "lower") else "worse"


def judge(differences: Sequence[Difference]) -> str:
    """Write one sentence on how the first does against the second, over all metrics of this one pair.

    The first metric that shows anything leads; metrics that claim the opposite turn it into a contradiction.
    A metric with a caution leads only where no other claims anything, and contradicts none.
    """
    pairs = {(each.first, each.second) for each in differences}
    if len(pairs) != 1:
        raise ValueError(f"one sentence is about one pair, but got {len(pairs)}: {sorted(pairs)}")
    ((first, second),) = pairs
    by_finding = {finding: [each for each in differences if find(each) == finding] for finding in FINDINGS}
    claims = [each for each in differences if find(each) in ("better", "worse")]
    if claims:
        return "; ".join([*_claim(claims), *_rest(by_finding)]) + "."
    if len(by_finding["identical"]) == len(differences):
        return f"{first} and {second} are identical in every metric."
    return f"{first} against {second}: {'; '.join(_rest(by_finding))}."


def judge_all(differences: Sequence[Difference]) -> tuple[str, ...]:
    """Write one sentence for each pair, contradictions first."""
    pairs = dict.fromkeys((each.first, each.second) for each in differences)
    sentences = [judge([each for each in differences if (each.first, each.second) == pair]) for pair in pairs]
    return tuple(sorted(sentences, key=lambda sentence: not sentence.startswith("CONTRADICTION")))


def tabulate_differences(title: str, differences: Sequence[Difference]) -> Table:
    """Set one row per pair and metric: the difference with its interval, both p-values, and the finding."""
    level = f"{100 * differences[0].level:g} %" if differences else ""
    rows = tuple(
        (
            f"{each.first} - {each.second}",
            point_out(each.name, each.direction),
            _shown(each),
            "—" if each.p is None else _number(each.p),
            "—" if each.p_holm is None else _number(each.p_holm),
            find(each),
        )
        for each in differences
    )
    header = ("pair", "metric", f"difference [{level} interval]", "p", "p after Holm", "finding")
    return Table(title, header, rows, _caption(differences))


def _claim(claims: Sequence[Difference]) -> Iterable[str]:
    """Say what the lead claims, who contradicts it, who agrees, and who differs but is not to be believed alone."""
    lead, *others = sorted(claims, key=lambda each: each.caution is not None)
    agreed = [each for each in others if find(each) == find(lead)]
    opposed = [each for each in others if find(each) != find(lead)]
    doubted = [each for each in opposed if each.caution and not lead.caution]
    claim = f"{lead.first} is {find(lead)} than {lead.second} by {_amount(lead)}"
    against = [each for each in opposed if each not in doubted]
    amounts = " and by ".join(_amount(each) for each in against)
    yield f"CONTRADICTION: {claim}, but {find(against[0])} by {amounts}" if against else claim
    if agreed:
        yield f"{_names(agreed)} {'agrees' if len(agreed) == 1 else 'agree'}"
    for each in doubted:
        yield f"{each.name} says {find(each)}, but {each.caution}"


def _rest(by_finding: dict[Finding, list[Difference]]) -> Iterable[str]:
    """Say of the metrics that claim nothing why they do not."""
    for patients in dict.fromkeys(each.n["real_patients"] for each in by_finding["no difference"]):
        some = [each for each in by_finding["no difference"] if each.n["real_patients"] == patients]
        yield f"{_names(some)}: no difference that {patients} patients can show"
    for each in by_finding["cannot tell"]:
        yield f"{each.name}: cannot tell ({each.note or each.interval})"
    if by_finding["identical"]:
        yield f"{_names(by_finding['identical'])}: identical"


def _amount(difference: Difference) -> str:
    """Write the size of a claim with its interval, as a positive number, and its p."""
    p = _p(difference)
    assert p is not None, "a claim has a p"
    after = " after Holm" if difference.p_holm is not None else ""
    after += f"; {difference.caution}" if difference.caution else ""
    size = f"{_turned(difference)} {difference.name}"
    return f"{size} (p {'' if p < SMALLEST else '= '}{_number(p)}{after})"


def _turned(difference: Difference) -> str:
    result = difference.as_result()
    if result.point >= 0 or result.low is None or result.high is None:
        return format_interval(result)
    return format_interval(replace(result, point=-result.point, low=-result.high, high=-result.low))


def _shown(difference: Difference) -> str:
    return "—" if math.isnan(difference.point) else format_interval(difference.as_result())


def _p(difference: Difference) -> float | None:
    return difference.p if difference.p_holm is None else difference.p_holm


def _number(p: float) -> str:
    return "< 0.001" if p < SMALLEST else f"{p:.2g}"


def _names(differences: Sequence[Difference]) -> str:
    *some, last = [each.name for each in differences]
    return f"{', '.join(some)} and {last}" if some else last


def _caption(differences: Sequence[Difference]) -> str:
    """Say how each interval was made; metrics that were treated alike are named together."""
    alike: dict[str, dict[str, Difference]] = {}
    for each in differences:
        n = ", ".join(f"{count} {side.replace('_', ' ')}" for side, count in each.n.items())
        notes = "".join(f"; {words}" for words in (each.note, each.caution) if words)
        alike.setdefault(f"{each.interval}; {n}{notes}.", {})[each.name] = each
    return " ".join(f"{_names(list(some.values()))}: {words}" for words, some in alike.items())
