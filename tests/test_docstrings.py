"""Every public name, and every public method, says what a reader of the reference needs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import quantlab as ql
from website.reference import CONSTANTS, public_methods

ARRAYS = ("ArrayLike", "NDArray", "FloatArray", "CodedMatrix")
SHAPES = (".. math::", "shape", "(m, k)", "(k, n)")
# what a value is, when nothing is computed
PLAIN = {None, "None", inspect.Signature.empty}


def documented(name: str) -> Iterator[tuple[str, str, Any, bool]]:
    """Place, docstring, the function or class, and whether it is read as an attribute."""
    value = getattr(ql, name)
    if not callable(value):
        return
    yield name, inspect.getdoc(value) or "", value, False
    for method, function in public_methods(value).items():
        owners = [vars(owner)[method] for owner in value.__mro__ if method in vars(owner)]
        # an override that says nothing has its base's docstring
        text = next((inspect.cleandoc(o.__doc__) for o in owners if o.__doc__), "")
        yield (
            f"{name}.{method}",
            text,
            function,
            not isinstance(owners[0], (classmethod, staticmethod))
            and not inspect.isfunction(owners[0]),
        )


def missing(text: str, value: Any, attribute: bool) -> list[str]:
    """What a docstring lacks of what it must say."""

    def section(*titles: str) -> bool:
        return any(f"{title}\n{'-' * len(title)}" in text for title in titles)

    signature = inspect.signature(value)
    taken = [name for name in signature.parameters if name not in ("self", "cls")]
    record = section("Attributes") and not section("Parameters")  # made by others, not by hand
    lacks = [] if text else ["a sentence"]
    annotations = [str(p.annotation) for p in signature.parameters.values()]
    annotations.append(str(signature.return_annotation))
    if any(word in each for word in ARRAYS for each in annotations) and not any(
        word in text for word in SHAPES
    ):
        lacks.append("an equation or shapes")
    if not attribute:
        if taken and not section("Parameters", "Attributes"):
            lacks.append("Parameters")
        if not record and (unsaid := [t for t in taken if t not in text]):
            lacks.append(f"parameters {unsaid}")
        gives = inspect.isfunction(value) and signature.return_annotation not in PLAIN
        if gives and not section("Returns", "Yields"):
            lacks.append("Returns")
        if taken and not record and not section("Raises"):
            lacks.append("Raises")
    if ">>>" not in text:
        lacks.append("an example")
    return lacks


@pytest.mark.parametrize("name", ql.__all__)
def test_it_says_what_the_reference_needs(name: str) -> None:
    found = {
        place: lacks
        for place, text, value, attribute in documented(name)
        if (lacks := missing(text, value, attribute))
    }
    assert found == {}


def test_every_constant_is_described() -> None:
    constants = {name for name in ql.__all__ if not callable(getattr(ql, name))}
    assert constants == set(CONSTANTS)
    assert all(">>>" in text for text in CONSTANTS.values())
