from pathlib import Path

import pytest

from sbldm.errors import ConfigError
from search.config import ExperimentConfig, layer, override
from search.settings_file import LARGEST_FILE_BYTES, parse_pair, parse_yaml, read_settings


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "text, value",
    [("1e-4", 1e-4), ("1E5", 1e5), ("-2.5e+3", -2500.0), (".5", 0.5), ("3.", 3.0), ("+1e0", 1.0)],
)
def test_every_way_to_write_a_float_gives_a_float(text: str, value: float) -> None:
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is float


@pytest.mark.parametrize(
    "text, value", [("3", 3), ("-3", -3), ("true", True), ("null", None), ("1e", "1e"), ("e3", "e3")]
)
def test_what_is_no_float_does_not_become_one(text: str, value: object) -> None:
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


def test_a_file_with_a_byte_order_mark_reads_like_one_without(tmp_path: Path) -> None:
    text = "seed: 3\ntraining:\n  learning_rate: 1e-4\n"
    expected = {"seed": 3, "training": {"learning_rate": 1e-4}}
    assert read_settings(write(tmp_path, text)) == expected
    assert read_settings(write(tmp_path, b"\xef\xbb\xbf" + text.encode())) == expected


@pytest.mark.parametrize(
    "content, words",
    [
        ("seed: 1\nseed: 2\n", ("line 2", "duplicate key 'seed'", "line 1")),
        ("training:\n  steps: 1\n  batch: 2\n  steps: 3\n", ("line 4", "duplicate key 'steps'", "line 2")),
        ("a: &x {b: 1}\nc: *x\n", ("line 2", "aliases")),
        ("a: 1\nb: !secret 5\n", ("line 2", "!secret")),
        ("a: !!python/object/apply:os.getcwd []\n", ("line 1", "python/object")),
        ("a: 1\n<<: {b: 2}\n", ("line 2", "merge")),
        ("a: 1\nb: [1, 2\n", ("line 3",)),
        ("a: 1\n---\nb: 2\n", ("line 2", "another document")),
        ("a: \x07\n", ("not readable as YAML",)),
        ("[" * 5000, ("not readable as YAML", "recursion")),
        ("- 1\n- 2\n", ("must be a mapping", "list")),
        ("", ("must be a mapping", "NoneType")),
        (b"name: M\xfcller\n", ("utf-8",)),
        ("a: 1\n" + "#" * LARGEST_FILE_BYTES, (f"below {LARGEST_FILE_BYTES} bytes",)),
    ],
)
def test_an_unsuitable_file_is_refused_in_one_line_that_names_it(
    tmp_path: Path, content: str | bytes, words: tuple[str, ...]
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as refusal:
        read_settings(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            read_settings(path)


@pytest.mark.parametrize("value", [".nan", ".inf", "1e400"])
def test_a_number_that_is_not_finite_is_read_but_breaks_the_rule_of_its_setting(tmp_path: Path, value: str) -> None:
    settings = read_settings(write(tmp_path, f"training: {{learning_rate: {value}}}\n"))
    with pytest.raises(ConfigError, match=r"training\.learning_rate.*finite"):
        override(ExperimentConfig(), layer(settings))


def test_a_pair_splits_at_its_first_equals_sign() -> None:
    assert parse_pair("training.learning_rate=1e-4") == ("training.learning_rate", 1e-4)
    assert parse_pair(" data.root = a=b") == ("data.root", "a=b")
    assert parse_pair("schedule={kind: gamma, gamma: 2}") == ("schedule", {"kind": "gamma", "gamma": 2})


@pytest.mark.parametrize("text", ["seed", "=3", "  =3", ""])
def test_a_pair_without_key_or_value_is_echoed(text: str) -> None:
    with pytest.raises(ConfigError, match="key=value") as refusal:
        parse_pair(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["2024-13-45", "? [a]\n: 1", "{{a: 1}: 2}", "9" * 5000, "a: !!float abc", "a: !!timestamp x"]
)
def test_odd_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
