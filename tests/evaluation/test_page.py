"""The page is read back by Python's own HTML parser, as a browser would read it."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from evaluation import FeatureSet, MetricResult
from evaluation.curve import distance_curve
from evaluation.page import Picture, Report, write_page
from evaluation.page_words import verdict, warnings

VOID = {"meta", "img", "br", "path", "rect", "circle"}
HOSTILE = "<script>alert('x')</script>\"&<img src=http://evil.example/x.png onerror=1>\udcff"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.unbalanced = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def result(name="fd_toy", point=12.34, low=10.12, high=14.51, **changes):
    base = {
        "level": 0.95,
        "interval": "resampling",
        "n": {"real": 20, "generated": 30, "real_patients": 7, "generated_groups": 30},
        "extractor": "toy",
        "direction": "lower",
    }
    return MetricResult(name=name, point=point, low=low, high=high, **{**base, **changes})


@pytest.fixture
def full(tmp_path):
    Image.new("L", (4, 4), 128).save(tmp_path / "secret_patient.png")
    rows = np.random.default_rng(0).standard_normal((40, 3))
    features = FeatureSet(rows, np.arange(40), "toy")
    picture = Picture(tmp_path / "secret_patient.png", "Samples")
    results = {
        "eval/fd_toy": result(note="biased up: compare only values at this n"),
        "eval/kid_toy": result("kid_toy", 0.02, -0.01, 0.05, interval="U-statistic"),
        "eval/precision_toy": result("precision_toy", 0.5, 0.4, 0.6, direction="higher"),
        "eval/recall_toy": result("recall_toy", 0.25, 0.1, 0.4, direction="higher"),
        "floor/fd_toy": result("fd_toy", 3.0, 2.0, 4.0),
        "reconstruction/psnr": result("psnr", np.inf, None, None, extractor=None, n={"real": 9}, direction="higher"),
        "other/odd_toy": result("odd_toy", np.nan, None, None, n={"pairs": 11}),
    }
    return Report(
        title="A title",
        results=results,
        pictures={"samples": picture, "curve": picture},
        curve=distance_curve(features, features),
        facts={"torch": "2.0"},
        settings={"seed": 4},
        command="sbldm train",
        remarks=("Mind the gap.",),
    )


def test_the_page_is_balanced_and_loads_nothing(full):
    reader = read(write_page(full))
    assert (reader.open, reader.unbalanced) == ([], [])
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(reader.tags)
    loading = [value for _, name, value in reader.attributes if name in {"src", "href", "srcset", "data", "action"}]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in loading)
    assert not any(name.startswith("on") for _, name, _ in reader.attributes)
    assert "url(" not in write_page(full)
    assert "@import" not in write_page(full)


def test_a_policy_forbids_the_page_to_load_anything(full):
    policy = next(value for tag, name, value in read(write_page(full)).attributes if (tag, name) == ("meta", "content"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["style-src"] == "'unsafe-inline'"
    assert "script-src" not in rules


def test_hostile_words_stay_words(full):
    hostile = {name: dataclasses.replace(each, note=HOSTILE, interval=HOSTILE) for name, each in full.results.items()}
    hostile[f"{HOSTILE}/x"] = result(HOSTILE, n={HOSTILE: 3}, extractor=HOSTILE)
    picture = dataclasses.replace(full.pictures["samples"], caption=HOSTILE)
    report = dataclasses.replace(
        full,
        title=HOSTILE,
        results=hostile,
        pictures={HOSTILE: picture},
        facts={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        command=HOSTILE,
        remarks=(HOSTILE,),
    )
    page = write_page(report)
    reader, plain = read(page), read(write_page(full))
    assert page.encode("utf-8")
    assert (reader.open, reader.unbalanced) == ([], [])
    assert set(reader.tags) == set(plain.tags)
    assert {name for _, name, _ in reader.attributes} == {name for _, name, _ in plain.attributes}
    assert "<script>alert('x')</script>" in reader.words


def test_every_result_is_shown_with_its_n_its_extractor_and_how_its_interval_was_made(full):
    changed = {
        name: dataclasses.replace(each, n={"real": 100 + place}, interval=f"way {place}", note=f"remark {place}")
        for place, (name, each) in enumerate(full.results.items())
    }
    words = read(write_page(dataclasses.replace(full, results=changed))).words
    for place, each in enumerate(changed.values()):
        assert each.name in words
        assert f"{100 + place} real" in words
        assert f"95 % interval: way {place}. Remark {place}." in words
    assert words.count("toy pixels") == 0
    assert "pixels" in words


def test_each_note_number_leads_to_its_note(full):
    reader = read(write_page(full))
    targets = [value for _, name, value in reader.attributes if name == "id"]
    asked = {value[1:] for _, name, value in reader.attributes if name == "href"}
    assert len(set(targets)) == len(targets)
    assert asked == set(targets)


def test_a_bar_places_values_between_zero_and_the_largest_end(full):
    # fd of both groups shares the axis 0 .. 14.51 over 170 units from 5: 12.34 lies at 5 + 170 * 12.34 / 14.51
    page = write_page(full)
    centers = [float(value) for _, name, value in read(page).attributes if name == "cx"]
    assert centers[0] == pytest.approx(5 + 170 * 12.34 / 14.51, abs=0.06)
    assert centers[2] == pytest.approx(5 + 170 * 0.5, abs=0.06)  # precision: best value 1
    assert centers[4] == pytest.approx(5 + 170 * 3.0 / 14.51, abs=0.06)
    assert len(centers) == 5  # nothing is drawn of what is infinite or undefined
    starts = [float(value) for _, name, value in read(page).attributes if name == "x"]
    assert starts[1] == pytest.approx(5)  # the kernel distance reaches below 0
    assert not re.search(r'="(nan|inf)', page)


def test_the_verdict_says_what_the_numbers_say(full):
    words = verdict(full.results)
    assert "between 30 generated images and 20 real images of 7 patients is 12.3 (95 % interval 10.1 to 14.5)" in words
    assert "real images of other patients 3.0" in words
    assert "no difference from real images is shown, which does not prove that there is none" in words
    assert "50 % of the generated images lie among the real ones (precision), and 25 %" in words
    apart = verdict({"eval/kid_toy": result("kid_toy", 0.05, 0.04, 0.06)})
    assert "differ by more than chance" in apart
    freed = verdict({"eval/population_fd_toy": result("population_fd_toy", 0.05, 0.04, 0.06)})
    assert "distance of the populations is estimated as 0.050 (0.040 to 0.060)." in freed
    assert verdict({"eval/population_fd_toy": result("population_fd_toy", np.nan, None, None)}) == ""
    assert verdict({}) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": {"real_patients": 19}}, "Few patients"),
        ({"note": "biased up: compare"}, "biased up"),
        ({"note": "biased up; 20 images do not span 1280 features"}, "fewer images than features"),
        ({"low": None}, "Without interval: fd_toy"),
        (
            {"point": np.nan, "low": None, "interval": "refused: 3 are few"},
            "Not given: Fréchet distance, for 3 are few.",
        ),
        ({"extractor": "lite0"}, "photographs"),
    ],
)
def test_a_reader_is_warned_when_and_only_when_there_is_cause(changes, words):
    plain = result(n={"real": 40, "generated": 40, "real_patients": 20})
    assert warnings({"eval/fd": plain}) == ()
    assert any(words in warning for warning in warnings({"eval/fd": dataclasses.replace(plain, **changes)}))


def test_a_distance_that_still_falls_is_called_so():
    def curve(seed, d):
        rows = np.random.default_rng(seed).standard_normal((400, d))
        return distance_curve(
            FeatureSet(rows[:200], np.arange(200), "t"), FeatureSet(rows[200:] + 5 * (d < 9), np.arange(200), "t")
        )

    assert any("still falls with n" in words for words in warnings({}, curve(0, 60)))
    assert not warnings({}, curve(0, 1))


def test_a_floor_at_other_numbers_of_images_is_called_so():
    sides = {"real": 100, "generated": 100, "real_patients": 50}
    measured, floor = result(n=sides), result(n=sides | {"real": 64})
    assert not warnings({"eval/fd": measured, "floor/fd": result(n=sides)})
    (words,) = warnings({"eval/fd": measured, "floor/fd": floor})
    assert "(64 and 100)" in words
    assert "other patients 12.3 (at another n)." in verdict({"eval/fd": measured, "floor/fd": floor})
    assert "other patients 12.3." in verdict({"eval/fd": measured, "floor/fd": measured})


def test_a_floor_names_its_other_side_real_only_where_it_is():
    n = {"real": 9, "generated": 12, "real_patients": 3, "generated_groups": 4}
    results = {"floor/fd_toy": result(n=n), "floor/copies_toy": result("copies_toy", n=n)}
    words = read(write_page(Report(title="t", results=results))).words
    assert "12 other real of 4 patients" in words
    assert "12 generated of 4 patients" in words


def test_an_arrow_stands_beside_what_has_a_better_direction_alone():
    alone = {"extractor": None, "n": {"slices": 9, "patients": 9}}
    results = {
        "eval/share_gap_csf": result("share_gap_csf", -0.01, -0.02, 0.0, direction=None, **alone),
        "reconstruction/dice_csf": result("dice_csf", 0.9, 0.8, 1.0, direction="higher", **alone),
    }
    reader = read(write_page(Report(title="t", results=results)))
    assert [value for tag, name, value in reader.attributes if tag == "abbr"] == ["higher is better"]
    assert reader.words.count("↑") == 1
    assert "↓" not in reader.words
    assert "Share of csf, generated less real" in reader.words
    assert "9 slices" in reader.words
    assert "9 patients" not in reader.words, "slices that stand alone need no second number"


def test_the_page_names_no_file(full):
    assert "secret_patient" not in write_page(full)


def test_what_is_no_png_is_refused(full, tmp_path):
    (tmp_path / "x.png").write_bytes(b"<svg/>")
    with pytest.raises(ValueError, match=r"must be a PNG file, but x\.png is none"):
        write_page(dataclasses.replace(full, pictures={"x": Picture(tmp_path / "x.png", "x")}))


def test_the_twin_is_strict_json_with_the_same_numbers(full):
    document = json.loads(json.dumps(full.to_json(), allow_nan=False))
    found = {name: MetricResult.from_json(value) for name, value in document["results"].items()}
    assert found["eval/fd_toy"] == full.results["eval/fd_toy"]
    assert document["verdict"] in read(write_page(full)).words
    assert document["warnings"][-1] == "Mind the gap."


def test_an_empty_report_is_still_a_page():
    reader = read(write_page(Report(title="Nothing", results={})))
    assert (reader.open, reader.unbalanced) == ([], [])
