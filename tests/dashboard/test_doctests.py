"""The examples in the dashboard's docstrings, under the names that it is imported by."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import quantlab.dashboard

MODULES = [
    module.name
    for module in pkgutil.walk_packages(quantlab.dashboard.__path__, "quantlab.dashboard.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert _run(name).failed == 0


def test_the_examples_are_found() -> None:
    assert sum(_run(name).attempted for name in MODULES) > 0


def _run(name: str) -> doctest.TestResults:
    return doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
