import json
from pathlib import Path

import pytest

from sbldm.errors import ResourceError
from search import dry_run as module
from search.config import build_config, override
from search.dry_run import dry_run
from search.presets import preset

SMALL = {
    "network": {"kind": "plain", "model_channels": 8, "blocks": 1},
    "autoencoder": {"kind": "patch", "hidden_dims": [8, 8]},
    "device": "cpu",
}


def test_a_dry_run_tells_every_stage_in_words_and_numbers() -> None:
    found = dry_run(build_config(SMALL))
    words = "\n".join(found.lines())
    assert "autoencoder: " in words
    assert "diffusion: " in words
    assert "GFLOP a step (3 x forward) of 16, 1000 steps" in words
    numbers = json.loads(json.dumps(found.to_json()))
    assert numbers["stages"]["diffusion"]["memory_bytes"] == found.stages[1].memory_bytes > 0
    assert numbers["settings"] == build_config(SMALL).public()


def test_a_dry_run_reads_no_file(tmp_path: Path) -> None:
    for kind in ("folder", "nifti"):
        config = build_config(SMALL | {"data": {"kind": kind, "root": str(tmp_path / "absent")}})
        assert dry_run(config).label_names == ("label_1",)


def test_the_phantoms_classes_are_counted_on() -> None:
    assert dry_run(build_config(SMALL)).label_names == ("csf", "gm", "wm")


def test_what_cannot_fit_is_refused_by_the_setting_to_lower() -> None:
    config = override(build_config(SMALL), {"training.batch": 10**8})
    with pytest.raises(ResourceError, match=r"diffusion training needs about .* lower training\.batch to \d+"):
        dry_run(config)


def test_the_limit_is_the_device_s(monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config(SMALL)
    needed = max(cost.memory_bytes for cost in dry_run(config).stages)
    monkeypatch.setattr(module, "device_bytes", lambda device: needed)
    assert dry_run(config).available_bytes == needed
    monkeypatch.setattr(module, "device_bytes", lambda device: needed - 1)
    with pytest.raises(ResourceError):
        dry_run(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick", "laptop", "t4", "paper"])
def test_every_preset_fits_the_machine_it_is_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "device_bytes", lambda device: 16 * 2**30)
    assert len(dry_run(override(preset(name), {"device": "cpu"})).stages) == 2
