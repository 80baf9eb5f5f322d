"""What every registered source promises."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.data import SOURCES, PrepareSpec, SourceSpec, SplitSpec, Subject, prepare_data
from sbldm.data.sources import template
from sbldm.errors import DataError

MakeSource = Callable[[str], SourceSpec]
every_kind = pytest.mark.parametrize("kind", SOURCES.kinds())
file_kinds = pytest.mark.parametrize("kind", [kind for kind in SOURCES.kinds() if kind != "phantom"])


@every_kind
def test_ids_are_sorted_unique_and_stable(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    ids = [subject.id for subject in source.subjects()]
    again = SOURCES.parse(source.model_dump(mode="json"))
    assert ids == sorted(set(ids))
    assert len(ids) == 5
    assert ids == [subject.id for subject in again.subjects()]


@every_kind
def test_settings_survive_json(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    again = SOURCES.parse(json.loads(source.model_dump_json()))
    assert again == source
    assert again.digest() == source.digest()
    assert again.label_names == source.label_names


@every_kind
def test_a_patient_reads_the_same_twice_and_is_sound(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    for subject in source.subjects():
        volume, again = source.read(subject), source.read(subject)
        assert volume.image.dtype == torch.float32
        assert volume.image.isfinite().all()
        assert volume.image.std() > 0
        assert (volume.position.diff() > 0).all()
        assert volume.position.abs().max() <= 1
        torch.testing.assert_close(volume.image, again.image, rtol=0, atol=0)
        assert volume.labels is not None
        assert again.labels is not None
        assert int(volume.labels.max()) <= len(source.label_names)
        assert torch.equal(volume.labels, again.labels)


@every_kind
def test_each_named_label_occurs(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    volumes = [source.read(subject) for subject in source.subjects()]
    found = {int(value) for volume in volumes for value in volume.labels.unique()}
    assert found == set(range(1 + len(source.label_names)))


@every_kind
def test_a_stranger_is_refused_by_name(kind: str, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match="somebody: no such"):
        make_source(kind).read(Subject("somebody"))


@every_kind
def test_it_prepares_to_slices_that_keep_the_promised_range(kind: str, make_source: MakeSource) -> None:
    data = prepare_data(make_source(kind), prepare=PrepareSpec(size=16), split=SplitSpec())
    for part in (data.train, data.validation, data.test):
        assert part.images.shape[1:] == (1, 16, 16)
        assert part.images.min() >= -1
        assert part.images.max() <= 1
        assert part.images.max() > 0.5
    assert {part.classes for part in (data.train, data.test)} == {1 + len(make_source(kind).label_names)}


@file_kinds
def test_absence_says_what_to_set(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; set data\.root"):
        SOURCES.parse(
            {"kind": kind, "root": tmp_path / "absent"} | ({"patient_regex": "(.)"} if kind == "folder" else {})
        ).subjects()


def test_absence_of_the_template_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install 'nilearn"):
        template.load_template.__wrapped__(2)
    monkeypatch.setattr(template, "_template_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"mni_icbm152_t1.*pip install 'nilearn"):
        template.load_template.__wrapped__(2)


@file_kinds
def test_the_fingerprint_moves_with_the_files_and_only_with_them(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    before = source.fingerprint()
    assert source.fingerprint() == before
    file = next(path for path in sorted(source.root.rglob("*[0-9].*")) if path.is_file())
    os.utime(file, ns=(1, 1))
    assert source.fingerprint() != before


@file_kinds
def test_one_image_under_two_patients_is_refused(kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    files = _images(source.root)
    files[-1].write_bytes(files[0].read_bytes())
    with pytest.raises(DataError, match="must differ from other patients' files") as refusal:
        source.subjects()
    assert files[0].name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.timeout(20)
@file_kinds
@pytest.mark.parametrize("what, rule", [("pipe", "regular file"), ("link out", "must lie inside")])
def test_a_pipe_and_a_link_out_of_the_folder_are_refused_before_training(
    what: str, rule: str, kind: str, make_source: MakeSource, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = make_source(kind)
    victim = _images(source.root)[-1]
    outside = tmp_path_factory.mktemp("outside") / victim.name
    shutil.move(victim, outside)
    if what == "pipe":
        os.mkfifo(victim)
    else:
        victim.symlink_to(outside)
    with pytest.raises(DataError, match=rule) as refusal:
        prepare_data(source, prepare=PrepareSpec(size=16), split=SplitSpec())
    assert victim.name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@file_kinds
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_that_leads_nowhere_is_refused_in_one_line(target: str, kind: str, make_source: MakeSource) -> None:
    source = make_source(kind)
    victim = _images(source.root)[-1]
    stranger = source.subjects()[-1]
    victim.unlink()
    victim.symlink_to(victim if target == "itself" else source.root / "nowhere")
    for look in (source.subjects, source.fingerprint, lambda: source.read(stranger)):
        with pytest.raises(DataError, match=r"cannot be read|link") as refusal:
            look()
        assert victim.name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def _images(root: Path) -> list[Path]:
    """Return the image files of a source that ``make_source`` made, without its label maps."""
    files = [path for path in sorted(root.rglob("*[0-9].*")) if path.is_file()]
    return [path for path in files if not {"labels", "labelsTr"} & set(path.relative_to(root).parts)]
