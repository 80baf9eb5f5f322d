"""What experiments of a study share: its trials are run or resumed, and its table says what the data tell."""

from collections.abc import Generator, Sequence

from search.ablation import tabulate
from search.ablation_table import AblationTable, Row, describe_comparisons
from search.reproduction.criterion import Check, Criterion, any_holds, check_claim
from search.reproduction.planned import Findings, Planned, Workplace, identify
from search.runner import StudyEvent, run_study
from search.studies import find_study
from search.study import Study


def plan_study(*, name: str, title: str, question: str, hypothesis: str, study: str, run_time: str) -> Planned:
    """Return the experiment that runs a study, and asks of each setting whether it is better than the baseline."""

    def measure(place: Workplace) -> Generator[StudyEvent, None, Findings]:
        table = yield from run_trials(name, find_study(study), place)
        checks = ask_better(table)
        return Findings(checks, words=conclude(hypothesis, checks, table))

    return Planned(
        name=name,
        title=title,
        question=question,
        preset="quick",
        criteria=("Frechet distance of some setting less that of the baseline < 0, by p after Holm",),
        run_time=run_time,
        measure=measure,
        decide=any_holds,
        study=study,
    )


def run_trials(name: str, study: Study, place: Workplace) -> Generator[StudyEvent, None, AblationTable]:
    """Return the table of a study under the experiment's own name; other settings are another study."""
    instance = f"{name}-{identify(place.config)[:8]}"
    yield from run_study(
        study,
        place.config,
        seeds=range(place.seeds),
        home=place.home,
        store=place.store,
        name=instance,
        workers=place.workers,
    )
    return tabulate(study, instance, place.store)


def compared(table: AblationTable) -> tuple[Row, ...]:
    """Return the settings that were compared with the baseline and are not it under another name."""
    return tuple(row for row in table.rows if row.difference and not row.difference.is_identical)


def ask_better(table: AblationTable) -> tuple[Check, ...]:
    """Ask of each setting whether it is better than the baseline, by p after Holm over all of them."""
    lead = next(iter(table.metrics))
    return tuple(
        check_claim(
            Criterion(f"{lead} of {row.label} less that of {table.baseline}", "below", 0.0), gap, group=row.label
        )
        for row in compared(table)
        if (gap := row.difference)
    )


def conclude(hypothesis: str, checks: Sequence[Check], table: AblationTable) -> tuple[str, ...]:
    """Say what the data say of a hypothesis that one setting or more is better than the baseline."""
    better = [each.group for each in checks if each.verdict == "pass"]
    worse = [each.group for each in checks if each.verdict == "fail"]
    rest = [each.group for each in checks if each.verdict == "cannot tell"]
    parts = [
        f"{', '.join(labels)} {'is' if len(labels) == 1 else 'are'} {what}"
        for labels, what in (
            (better, f"better than {table.baseline}"),
            (worse, f"worse than {table.baseline}"),
            (rest, f"not distinguishable from {table.baseline}"),
        )
        if labels
    ]
    supported = f"supported by {', '.join(better)}" if better else "not supported by these data"
    return (
        f"Hypothesis, {hypothesis}: {supported}. {'; '.join(parts) or 'Nothing could be compared'}.",
        describe_comparisons([table]),
        f"Its trials: sbldm table {table.study}",
    )
