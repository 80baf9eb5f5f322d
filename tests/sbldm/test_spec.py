import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, SerializeAsAny, ValidationError

from sbldm.errors import ConfigError
from sbldm.spec import Registry, Spec, did_you_mean, digest_of


class Shape(Spec):
    kind: str


SHAPES = Registry("shape", Shape)


@SHAPES.register
class Circle(Shape):
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


@SHAPES.register
class Square(Shape):
    kind: Literal["square"] = "square"
    side: float = 1.0


class Drawing(Spec):
    shape: Annotated[SerializeAsAny[Shape], BeforeValidator(SHAPES.parse)] = Circle()


def test_a_misspelled_setting_fails_at_once() -> None:
    with pytest.raises(ValidationError, match="radiuss"):
        Circle.model_validate({"radiuss": 2})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "wide"])
def test_a_number_must_be_a_finite_number(value: object) -> None:
    with pytest.raises(ValidationError):
        Circle.model_validate({"radius": value})


def test_settings_survive_json_with_their_kind() -> None:
    drawing = Drawing(shape=Square(side=3))
    assert Drawing.model_validate_json(drawing.model_dump_json()) == drawing


def test_digest_names_the_settings_and_nothing_else() -> None:
    assert Drawing(shape=Square(side=3)).digest() == Drawing(shape=Square(side=3.0)).digest()
    assert Drawing(shape=Square(side=3)).digest() != Drawing(shape=Square(side=4)).digest()
    assert Drawing(shape=Square()).digest() != Drawing(shape=Circle()).digest()


def test_digest_is_the_same_in_another_process() -> None:
    code = "from sbldm.spec import digest_of; print(digest_of({'b': 1, 'a': [0.1, 'x']}))"
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == digest_of({"a": [0.1, "x"], "b": 1})


def test_an_unknown_kind_names_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"unknown shape 'circel' - did you mean 'circle'\?; known: circle, square"):
        SHAPES["circel"]


def test_a_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="already Circle"):
        SHAPES.register(Circle)


def test_a_value_without_a_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of circle, square, but got 3"):
        SHAPES.parse(3)


def test_no_hint_is_given_when_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["circle"]) == ""
