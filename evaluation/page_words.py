"""What results mean in plain words: names, a verdict, and what to beware of."""

import math
from collections.abc import Iterator, Mapping

from evaluation.curve import DistanceCurve
from evaluation.report import format_interval
from evaluation.types import MetricResult

FEW_PATIENTS = 20  # errors summed over fewer groups are unsteady, and mostly too small (Cameron & Miller 2015, VI.A)
STILL_FALLING = 0.05
UNLIKE = 1.1  # ratio of two numbers of images beyond which their biases are not comparable
GROUPS = {
    "eval": "Generated against real images",
    "selection": "Generated against validation patients, by which a search chooses",
    "floor": "Noise floor: real patients against other real patients",
    "reconstruction": "Reconstructions: what the autoencoder alone loses",
    "untrained": "The same network before it learned anything",
}
OTHER_SIDES = {"floor": "other real", "reconstruction": "reconstructed"}
NAMES = {
    "fd": "Fréchet distance",
    "population_fd": "Population Fréchet distance",
    "diversity_ms_ssim": "Likeness of pairs (MS-SSIM)",
    "kid": "Kernel distance (KID)",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "pd": "Perceptual distance",
    "lpips": "LPIPS",
    "copies": "Share of likely copies",
}
BY_CLASS = {"dice_": "Dice of {}", "share_gap_": "Share of {}, generated less real", "share_": "Share of {}"}
CONTROL = "control_"
STATISTICS = {
    "absolute_error": "mean error",
    "bias": "bias",
    "correlation": "correlation",
    "slope": "slope",
}
PHOTOGRAPHS = ("lite0", "inception")  # what these networks were trained on
Results = Mapping[str, MetricResult]


def metric_kind(result: MetricResult) -> str:
    """Return the metric without its extractor, such as `fd` of `fd_lite0`."""
    return result.name.removesuffix(f"_{result.extractor}") if result.extractor else result.name


def metric_title(result: MetricResult) -> str:
    """Return the name of a metric as one says it."""
    return _control_title(result.name) or _class_title(result.name) or NAMES.get(metric_kind(result), result.name)


def _class_title(name: str) -> str:
    """Return the name of a number of one label class, or nothing for others."""
    found = next((prefix for prefix in BY_CLASS if name.startswith(prefix)), None)
    return BY_CLASS[found].format(name.removeprefix(found)) if found else ""


def _control_title(name: str) -> str:
    """Return the name of a number of controllability, or nothing for others."""
    rest = name.removeprefix(CONTROL) if name.startswith(CONTROL) else ""
    found = next((each for each in STATISTICS if rest == each or rest.startswith(f"{each}_")), None)
    if found is None:
        return ""
    of = rest.removeprefix(found).removeprefix("_")
    return f"Requested {of or 'number'} against shown: {STATISTICS[found]}"


def verdict(results: Results) -> str:
    """Return one paragraph: the distance, what it is held against, and whether a difference is shown."""
    return " ".join([*_distance(results), *_population(results), *_kernel(results), *_shares(results)])


def warnings(results: Results, curve: DistanceCurve | None = None) -> tuple[str, ...]:
    """Return what a reader must know before using the numbers, each in a sentence or two."""
    said = (*_about_counts(results), *_about_bias(results, curve), *_about_limits(results))
    return tuple(dict.fromkeys(said))


def plain_number(text: str) -> str:
    """Return a number's text without the sign that rounding left before a zero."""
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def split_interval(result: MetricResult) -> tuple[str, str]:
    """Return point and interval as `format_interval` writes them, apart; an absent interval is a dash."""
    point, _, limits = format_interval(result).partition(" ")
    ends = [plain_number(end) for end in limits.strip("[]").split(", ")] if limits else []
    return plain_number(point), " to ".join(ends) if ends else "—"


def _find(results: Results, group: str, kind: str) -> MetricResult | None:
    found = (r for key, r in results.items() if key.partition("/")[0] == group and metric_kind(r) == kind)
    return next(found, None)


def _distance(results: Results) -> Iterator[str]:
    measured = _find(results, "eval", "fd")
    if measured is None:
        return
    n = measured.n
    point, limits = split_interval(measured)
    yield (
        f"The Fréchet distance between {n.get('generated', 0)} generated images and {n.get('real', 0)} real images of"
        f" {n.get('real_patients', 0)} patients is {point} ({100 * measured.level:g} % interval {limits})."
    )
    held = {"real images of other patients": "floor", "reconstructions": "reconstruction"}
    known = {words: _find(results, group, "fd") for words, group in held.items()}
    known["a network that has learned nothing"] = _find(results, "untrained", "fd")
    parts = [
        f"{words} {split_interval(each)[0]}{'' if _comparable(measured, each) else ' (at another n)'}"
        for words, each in known.items()
        if each
    ]
    if parts:
        yield f"To compare: {', '.join(parts)}."


def _sides(result: MetricResult) -> tuple[int, int]:
    return result.n.get("real", 0), result.n.get("generated", 0)


def _comparable(first: MetricResult, second: MetricResult) -> bool:
    """Say whether two distances have about the same bias: about as many images on both sides, in either order."""
    pairs = zip(sorted(_sides(first)), sorted(_sides(second)), strict=True)
    return all(max(pair) <= UNLIKE * min(pair) for pair in pairs)


def _population(results: Results) -> Iterator[str]:
    measured = _find(results, "eval", "population_fd")
    if measured and math.isfinite(measured.point):
        words = " (".join(split_interval(measured))
        yield f"Freed of the bias of small n, the distance of the populations is estimated as {words})."


def _kernel(results: Results) -> Iterator[str]:
    kernel = _find(results, "eval", "kid")
    if kernel is None or kernel.low is None or kernel.high is None:
        return
    about = f"The kernel distance, which has no bias, is {' ('.join(split_interval(kernel))})"
    if kernel.low > 0:
        yield f"{about} and lies above zero: generated and real images differ by more than chance."
    else:
        yield f"{about}: no difference from real images is shown, which does not prove that there is none."


def _shares(results: Results) -> Iterator[str]:
    precision, recall = _find(results, "eval", "precision"), _find(results, "eval", "recall")
    if precision and recall:
        yield (
            f"{100 * precision.point:.0f} % of the generated images lie among the real ones (precision), and"
            f" {100 * recall.point:.0f} % of the real ones among the generated (recall)."
        )


def _about_counts(results: Results) -> Iterator[str]:
    patients = [each.n["real_patients"] for each in results.values() if "real_patients" in each.n]
    if patients and min(patients) < FEW_PATIENTS:
        yield (
            f"Few patients: some intervals rest on {min(patients)} patients; below {FEW_PATIENTS} they tend to be"
            " too narrow."
        )


def _about_bias(results: Results, curve: DistanceCurve | None) -> Iterator[str]:
    biased = [each for each in results.values() if each.note and "biased up" in each.note]
    if biased:
        yield "The Fréchet distance is biased up: compare it only with values at the same n and extractor."
    if any("do not span" in (each.note or "") for each in biased):
        yield "There are fewer images than features: this distance does not see how far the populations are apart."
    if curve and curve.last_fall is not None and curve.last_fall > STILL_FALLING:
        before, last = curve.points[-2:]
        yield (
            f"The distance still falls with n: by {100 * curve.last_fall:.0f} % from {before.n} to {last.n} images"
            " per side. More images would lower it further."
        )
    measured, floor = _find(results, "eval", "fd"), _find(results, "floor", "fd")
    if measured and floor:
        ours, theirs = _sides(measured), _sides(floor)
        if not _comparable(measured, floor):
            yield (
                f"The noise floor is measured at other numbers of images ({theirs[0]} and {theirs[1]}) than the"
                f" distance ({ours[0]} and {ours[1]}), so their biases differ."
            )


def _about_limits(results: Results) -> Iterator[str]:
    withheld: dict[str, MetricResult] = {}
    for each in results.values():
        if math.isnan(each.point):
            withheld.setdefault(each.name, each)
    for each in withheld.values():
        yield f"Not given: {metric_title(each)}, for {each.interval.removeprefix('refused: ')}."
    limited = {each.name for each in results.values() if each.low is None or each.high is None}
    bare = sorted(limited - withheld.keys())
    if bare:
        yield f"Without interval: {', '.join(bare)}."
    used = sorted(name for name in {each.extractor or "" for each in results.values()} if name.startswith(PHOTOGRAPHS))
    if used:
        yield f"The features ({', '.join(used)}) come from a network trained on photographs, not on medical images."
