"""The cost model: what it is fitted to, what it says, and that its sizes are the products'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab import _threads
from quantlab.codes import CodedMatrix
from quantlab.gemm import Plan, cost, lanes, plan
from quantlab.gemm.layouts import Layout, Product
from quantlab.gemm.vector import best_tile

PACKED, BYTES, FLOAT = Layout(4, 16), Layout(8, 64), Layout(32)
KINDS = {
    "int8": (PACKED, PACKED), "int16": (Layout(8, 256), Layout(8, 256)), "fp32": (FLOAT, PACKED),
    "fused": (FLOAT, PACKED), "grouped": (Layout(8, 256, group=32), BYTES),
}  # fmt: skip
#: Seconds a unit of each work, of a machine that was made up.
TRUE = np.array([1e-5, 2e-11, 3e-11, 7e-11, 1e-12, 4e-11, 5e-11, 6e-11])


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Products take what TRUE says; nothing is timed."""

    def rounds(calls: list) -> np.ndarray:
        found = []
        for call in calls:
            left, right = call.args
            found.append(cost._work(Product.of(call.keywords["route"], left, right)) @ TRUE)
        return np.array([found])

    monkeypatch.setattr(cost, "_rounds", rounds)
    monkeypatch.setattr(cost, "peaks", lambda: cost.Peaks(1e10, 1e12, 5e11, 2e11))
    cost._coefficients.cache_clear()
    yield
    cost._coefficients.cache_clear()


@pytest.mark.parametrize("route", KINDS)
def test_a_machine_that_keeps_to_the_model_is_predicted(route: str) -> None:
    a, b = KINDS[route]
    for m, k, n in [(1, 3000, 2000), (16, 512, 300), (7, 64, 64), (200, 1000, 900)]:
        product = Product(route, 1 if route == "fused" else m, k, n, a, b)
        assert_allclose(cost.cost(product).seconds, cost._work(product) @ TRUE, rtol=1e-6)


@pytest.mark.parametrize(
    ("layout", "inner_axis"),
    [(PACKED, 0), (BYTES, 1), (FLOAT, 0), (Layout(8, 256, group=16), 0),
     (Layout(8, 256, group=16), 1), (Layout(2, 16), 1),
     (Layout(4, 16, prepared=lanes.here()), 0)],
)  # fmt: skip
def test_an_example_is_held_as_asked(layout: Layout, inner_axis: int) -> None:
    made = cost.example(layout, (64, 96), inner_axis, np.random.default_rng(0))
    assert made.shape == (64, 96)
    assert Layout.of(made, inner_axis) == layout


def test_a_plan_tells_its_cost_by_parts() -> None:
    book = ql.Codebook(np.linspace(-1, 1, 16))
    codes = np.random.default_rng(0).integers(0, 16, (64, 64), dtype=np.uint8)
    chosen = plan(CodedMatrix(codes, book).pack(), CodedMatrix(codes, book).pack())
    found = chosen.cost
    assert tuple(found.parts) == cost.WORK
    assert_allclose(found.seconds, sum(found.parts.values()))
    assert_allclose(found.memory, (64 * 64 + 4 * 64 * 64) / 1e10)  # half a byte a code, C float32
    assert_allclose(found.arithmetic, 2 * 64**3 / 1e12)
    assert found.limit == max(found.memory, found.arithmetic)
    assert_allclose(found.share, found.limit / found.seconds)
    assert found.bound == "call"
    with pytest.raises(ValueError, match="this one has none"):
        _ = Plan("int8", "by hand", 0.0, 0.0).cost


def test_the_bound_is_what_takes_longest() -> None:
    row = Product("int8", 1, 8192, 8192, PACKED, PACKED)
    assert cost.cost(row).bound == "memory"
    assert cost.cost(replace(row, m=2048)).bound == "arithmetic"


@pytest.mark.parametrize(
    "product",
    [
        Product("int8", 64, 512, 512, BYTES, BYTES), Product("int8", 64, 511, 512, BYTES, BYTES),
        Product("int8", 1, 2048, 1024, PACKED, Layout(4, 16, prepared=lanes.here())),
        Product("int8", 1, 2047, 1024, PACKED, Layout(4, 16, prepared=lanes.here())),
        Product("grouped", 64, 256, 256, Layout(8, 256, group=32), BYTES),
        Product("grouped", 64, 224, 256, Layout(8, 256, group=32), BYTES),
        *(
            pytest.param(
                Product("fused", 16, k, 1024, FLOAT, PACKED),
                marks=pytest.mark.skipif(best_tile() != "avx512vnni", reason="no such route"),
            )
            for k in (1024, 1023)
        ),
    ],
)  # fmt: skip
def test_a_kind_says_whether_the_product_uses_threads(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = []
    monkeypatch.setattr(_threads, "count", lambda: 4)
    monkeypatch.setattr(_threads, "for_each", lambda f, each: tasks.append(len(each)))
    rng = np.random.default_rng(0)
    left = cost.example(product.a, (product.m, product.k), 1, rng)
    right = cost.example(product.b, (product.k, product.n), 0, rng)
    tasks.clear()
    ql.matmul(left, right, route=product.route)
    assert cost._kind(product)[3] == (max(tasks, default=1) > 1)


def test_what_the_machine_can_do_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for words in (False, True):
        assert 1e8 < cost._tile_rate(words) < 1e15
