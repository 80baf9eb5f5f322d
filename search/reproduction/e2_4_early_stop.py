"""May sampling stop early?

Command: ``sbldm experiment E2.4``; about 5 minutes on two cores: the study ``early-stop`` with two seeds.
Expected: all thresholds share one training per seed. A threshold is worth it where it saves a tenth of the network
calls and the distance to real slices grows by less than a twentieth of that of the full walk. Thresholds are asked from
the mildest up, and none after the first that is not shown to be harmless: so asking several makes no more false claims.
"""

from collections.abc import Generator, Iterable
from dataclasses import replace

from search.ablation_table import AblationTable
from search.reproduction.criterion import Check, Criterion, all_hold, any_holds, check_difference, check_number
from search.reproduction.planned import Findings, Planned, Workplace
from search.reproduction.studied import compared, run_trials
from search.runner import StudyEvent
from search.studies import find_study

CALLS = "cost/network_calls"
SAVED, LOSS = 0.1, 0.05


def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
    """Run the study, and ask of each threshold what it saves and whether that is shown to be harmless."""
    table = yield from run_trials("E2.4", find_study("early-stop"), place)
    checks = tuple(ask_in_order(table))
    groups = list(dict.fromkeys(each.group for each in checks))
    kept = [group for group in groups if all_hold([each for each in checks if each.group == group]) == "pass"]
    words = (
        f"Hypothesis, early stopping saves network calls and does no harm: supported by {', '.join(kept)}."
        if kept
        else "Hypothesis, early stopping saves network calls and does no harm: not supported by these data."
    )
    return Findings(checks, words=(words, f"Its trials: sbldm table {table.study}"))


def ask_in_order(table: AblationTable) -> Iterable[Check]:
    """Judge each setting, mildest first; once one is not shown to be harmless, none after it is."""
    base = next(row for row in table.rows if row.label == table.baseline)
    lead, doubted = next(iter(table.metrics)), ""
    for row in compared(table):
        assert row.difference is not None, "compared rows have one"
        limit = LOSS * base.results[lead].point
        harm = Criterion(f"{lead} of {row.label} less that of the full walk", "below", limit)
        found = check_difference(harm, row.difference, group=row.label)
        if doubted and found.verdict == "pass":
            found = replace(found, verdict="cannot tell", how=f"{doubted} was not shown to be harmless; {found.how}")
        doubted = doubted or ("" if found.verdict == "pass" else row.label)
        saved = 1 - row.costs[CALLS] / base.costs[CALLS]
        calls = Criterion(f"share of network calls that {row.label} saves", "above", SAVED)
        yield check_number(calls, saved, "mean over samples and seeds", group=row.label)
        yield found


EARLY_STOP = Planned(
    name="E2.4",
    title="early stop",
    question="Which thresholds of early stopping save network calls and do no harm?",
    preset="quick",
    criteria=(
        f"for some threshold, share of network calls saved > {SAVED:g}"
        f" and Frechet distance less that of the full walk < {LOSS:g} of the latter",
    ),
    run_time="5 minutes on two cores",
    measure=measure,
    decide=any_holds,
    study="early-stop",
)
