"""A plan in words and as a table: what is resolved, what stands in the way, and what would help."""

import math

from evaluation.power import Need, Plan
from evaluation.report import Table

OWN = {"patients": "patients'", "samples": "samples'", "seeds": "seeds'"}


def describe_plan(plan: Plan, *, name: str = "") -> tuple[str, ...]:
    """Say what the budget resolves, and for each count what a wanted difference needs of it.

    Args:
        plan: to be told.
        name: of the metric, as its unit.
    """
    unit = f" {name}" if name else ""
    chance = f"with {100 * plan.power:g} % power at {100 * plan.level:g} %"
    share = f"the {OWN[plan.bottleneck]} part is {100 * plan.shares[plan.bottleneck]:.0f} % of the variance"
    now = f"{_counts(plan)} resolve {_number(plan.resolvable)}{unit} {chance}; {share}."
    if math.isinf(plan.resolvable):
        now = f"{_counts(plan)} resolve no difference: seeds differ, and their spread needs 2 seeds or more."
    told = [_tell(need, plan, f"{need_of:.3g}{unit}") for need in plan.needs if (need_of := plan.wanted) is not None]
    single = () if "seeds" in plan.shares else ("It holds for these trained models; another training may differ more.",)
    return (now, *told, *single)


def tabulate_plan(plan: Plan, *, title: str, name: str = "") -> Table:
    """Set one row per count: now, its part of the variance, what the wanted difference needs, and what it can reach."""
    needs = {need.what: need for need in plan.needs}
    rows = []
    for what, share in plan.shares.items():
        need = needs.get(what)
        cells = (
            ("—", "—")
            if need is None
            else ("none suffices" if need.needed is None else str(need.needed), _number(need.limit))
        )
        rows.append((what, str(getattr(plan.budget, what)), f"{100 * share:.0f} %", *cells))
    wanted = "needed" if plan.wanted is None else f"needed for {plan.wanted:.3g}"
    header = ("count", "now", "part of the variance", wanted, "best it can resolve alone")
    return Table(title, header, tuple(rows), " ".join(describe_plan(plan, name=name)))


def _tell(need: Need, plan: Plan, wanted: str) -> str:
    if need.needed is None:
        others = _counts(plan, without=need.what)
        return f"No number of {need.what} resolves {wanted} with {others}: at best {_number(need.limit)}."
    if need.needed <= need.now:
        return f"{need.now} {need.what} are enough for {wanted}: {need.needed} would do, the rest unchanged."
    return f"{need.needed} {need.what} instead of {need.now} resolve {wanted}, the rest unchanged."


def _counts(plan: Plan, *, without: str = "") -> str:
    counts = [
        f"{getattr(plan.budget, what)} {what if getattr(plan.budget, what) != 1 else what.removesuffix('s')}"
        for what in plan.shares
        if what != without
    ]
    return f"{', '.join(counts[:-1])} and {counts[-1]}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "none"
