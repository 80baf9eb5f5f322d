"""What the documentation of the public functions shows is what they do."""

import doctest
import importlib

import pytest

import evaluation

MODULES = sorted(
    {getattr(evaluation, name).__module__ for name in evaluation.__all__ if callable(getattr(evaluation, name))}
)


@pytest.mark.parametrize("module", ["evaluation", *MODULES])
def test_the_examples_hold(module):
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in ("evaluation", *MODULES)]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 8
