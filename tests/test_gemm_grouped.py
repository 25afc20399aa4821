"""Integer products a group, scaled and added: every tile against the decoded product."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.gemm import cpu, plan, vector
from quantlab.gemm.grouped import group_size

CACHES = (vector.best_tile, cpu._kernels)


@pytest.fixture(params=vector.available())
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("QUANTLAB_TILE", request.param)
    for cached in CACHES:
        cached.cache_clear()
    yield request.param
    monkeypatch.undo()
    for cached in CACHES:
        cached.cache_clear()


@pytest.mark.parametrize(
    ("left", "right", "shape"),
    [
        ("int8_g32", "int8_g32", (7, 100, 65)), ("nvfp4", "mxfp4", (13, 256, 70)),
        ("int4_g128", "int4_g32", (6, 300, 130)), ("int8_row", "q8_0", (1, 96, 3)),
        ("q6_k", "int4_row", (30, 520, 64)), ("int8_g32", "int8_g128", (64, 9000, 66)),
    ],
)  # fmt: skip
def test_products_are_those_of_the_decoded(
    tile: str, left: str, right: str, shape: tuple[int, int, int]
) -> None:
    m, k, n = shape
    if tile == "portable" and k > 1000:
        pytest.skip("the same code, slowly")
    a, b = ql.GaussianPair(rho=0.3).sample_matrices(m, k, n, rng=1)
    a *= np.linspace(0.1, 3, k, dtype=np.float32)
    x, y = ql.GROUP_FORMATS[left].encode(a), ql.GROUP_FORMATS[right].encode(b, "y")
    expected = x.decode(np.float64) @ y.decode(np.float64)
    tolerance = 3e-6 * np.sqrt(k) * np.abs(expected).std()
    assert_allclose(ql.matmul(x, y, route="grouped"), expected, rtol=1e-5, atol=tolerance)
    if not isinstance(x, ql.CodedMatrix) or not isinstance(y, ql.CodedMatrix):
        return
    assert_allclose(
        ql.matmul(x.pack(), y.pack(), route="grouped"), expected, rtol=1e-5, atol=tolerance
    )
    assert plan(x, y).route == ("fp32" if tile == "portable" else "grouped")


@pytest.mark.skipif(vector.best_tile() != "avx512vnni", reason="multiplied by another route")
@pytest.mark.parametrize("right", ["int4_g32", "mxfp4", "by column"])
def test_few_rows_are_decoded_and_fused(right: str) -> None:
    a, b = ql.GaussianPair(rho=0.3).sample_matrices(5, 300, 130, rng=1)
    made = ql.GROUP_FORMATS["int8_g32"]
    if right == "by column":
        y = ql.encode(b, ql.Codebook(np.arange(-7.0, 8.0)))
    else:
        y = ql.GROUP_FORMATS[right].encode(b, "y")
    y = y.pack()
    x = made.encode(a[:4])
    assert plan(x, y).route == "fused"
    assert plan(made.encode(a), y).route == "grouped"
    expected = x.decode(np.float64) @ y.decode(np.float64)
    assert_allclose(x @ y, expected, rtol=1e-5, atol=3e-6 * np.sqrt(300) * np.abs(expected).std())


def test_plans() -> None:
    a = np.random.default_rng(2).standard_normal((40, 96))
    book = ql.Codebook(np.arange(-7.0, 8.0))
    by = {g: ql.encode_blocks(a, book, g) for g in (6, 8, 24, 32, 48)}
    sides = {g: ql.encode_blocks(a.T, book, g, "y") for g in (8, 16, 24, 32, 48)}
    assert group_size(by[32], sides[32]) == group_size(by[32], ql.encode(a.T, book)) == 32
    assert group_size(by[48], sides[24]) == group_size(by[24], sides[48]) == 24
    assert group_size(by[32], sides[24]) is group_size(by[6], sides[24]) is None
    assert plan(by[8], sides[8]).route == plan(by[32], sides[24]).route == "fp32"
    fine = ql.Codebook(np.tanh(np.linspace(-3, 3, 256)))
    found = plan(ql.encode_blocks(a, fine, 32), ql.encode_blocks(a.T, fine, 32, "y"))
    assert (found.route, "byte" in found.reason) == ("fp32", True)
    with pytest.raises(ValueError, match="'grouped' is not possible here"):
        plan(ql.encode(a, book), ql.encode(a.T, book), "grouped")
    with pytest.raises(ValueError, match="'int8' is not possible here: scales vary"):
        plan(by[32], sides[32], "int8")
