import pytest
import torch

from evaluation.segmentation.scores import score_patients
from evaluation.segmentation.settings import SegmenterSettings, quick_settings
from evaluation.segmentation.types import LabelledSet
from sbldm.errors import ConfigError
from search.cache import Cache
from search.downstream.ask import choose_segmenters, choose_spec
from search.downstream.conclude import conclude
from search.downstream.job import Slices, Task
from search.downstream.labelled_file import from_slices, keep_slices, load_slices
from search.downstream.segmenters import Segmenters
from search.downstream.spec import BenchmarkSpec


def make_slices(seed: int, patients: int) -> LabelledSet:
    random = torch.Generator().manual_seed(seed)
    labels = (torch.rand(2 * patients, 32, 32, generator=random) > 0.7).to(torch.uint8)
    images = 0.6 * labels[:, None] + 0.2 * torch.rand(2 * patients, 1, 32, 32, generator=random)
    return LabelledSet(images, labels, torch.arange(patients).repeat_interleave(2), ("spot",))


@pytest.mark.slow  # trains and draws
def test_every_arm_is_trained_scored_and_concluded_upon(tmp_path) -> None:  # type: ignore[no-untyped-def]
    slices = Slices(make_slices(0, 3), make_slices(1, 3), make_slices(2, 2), make_slices(3, 4))
    settings = quick_settings().model_copy(update={"steps": 2, "batch": 2, "validate_every": 1})
    segmenters = Segmenters(settings, lesions=("spot",))
    scores = []
    for arm in segmenters.arms:
        for seed in range(3):
            steps = segmenters.train_and_score(Task(arm, 0.5, seed), slices, torch.device("cpu"))
            done = 0
            while True:
                try:
                    done += next(steps)
                except StopIteration as finished:
                    scores += finished.value
                    break
            assert done == segmenters.steps
    told = conclude(tuple(scores), BenchmarkSpec(fractions=(0.5,), lesions=("spot",)))
    assert [row[1] for row in told.table.rows] == list(segmenters.arms)
    assert len(told.sentences) == 3 * 3  # three arms that train on synthetic slices against three baselines
    assert set(told.means["real", 0.5]) == {f"{metric}/spot" for metric in ("dice", "iou", "hd95_px", "lesion_f1")}
    told.draw(tmp_path / "forest.svg")
    assert "<svg" in (tmp_path / "forest.svg").read_text()
    assert {name: len(table.rows) for name, table in told.more.items()} == {
        "means": 7 * 4,  # arms, metrics
        "gains": 4 * 3 * 5,  # metrics, baselines, the other arms that are tested on real patients
    }
    gain = "gain_dice/spot/real+synthetic at 50"
    low, point, high = (told.headline[f"{gain}{end}"] for end in ("_low", "", "_high"))
    assert low <= point <= high
    assert point == pytest.approx(told.means["real+synthetic", 0.5]["dice/spot"] - told.means["real", 0.5]["dice/spot"])


def test_what_is_asked_for_reaches_the_trainings() -> None:
    spec = choose_spec(arms=["real", "real+synthetic"], fractions=None, seeds=4, synthetic_ratio=2.0, lesions=["spot"])
    assert (spec.arms, spec.seeds, spec.fractions) == (("real", "real+synthetic"), 4, (0.1, 1.0))
    chosen = choose_segmenters(spec, preset="quick", steps=50, architecture=None, encoder="resnet18", batch=6)
    assert (chosen.settings.ratio, chosen.settings.steps, chosen.settings.validate_every) == (2.0, 50, 12)
    assert (chosen.settings.encoder, chosen.settings.depth, chosen.settings.batch) == ("resnet18", None, 6)
    assert chosen.lesions == ("spot",)


def test_the_preset_chooses_the_network_unless_another_is_named() -> None:
    spec = BenchmarkSpec()
    assert choose_segmenters(spec, preset="quick").settings == quick_settings()
    assert choose_segmenters(spec, preset="paper").settings == SegmenterSettings()
    with pytest.raises(ConfigError, match=r"^learning_rate: .*greater than 0"):
        choose_segmenters(spec, preset="quick", learning_rate=-1)
    with pytest.raises(ConfigError, match=r"^stepz: Extra inputs are not permitted"):
        choose_segmenters(spec, preset="quick", stepz=3)


def test_the_spacing_of_the_data_reaches_the_scores(tiny_data, tmp_path, follow) -> None:  # type: ignore[no-untyped-def]
    path = follow(keep_slices(from_slices(tiny_data.test), Cache(tmp_path)))[1]
    kept = load_slices(path, tiny_data.test.label_names)
    shifted = kept.labels.roll(1, dims=2)
    found = score_patients(kept, shifted, arm="real", fraction=1.0, seed=0)
    assert {score.metric for score in found} == {"dice", "iou", "hd95_mm"}
    assert min(score.value for score in found if score.metric == "hd95_mm") == 6.0  # one column of 192 mm over 32
