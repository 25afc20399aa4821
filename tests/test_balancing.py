"""The best basis of the inner dimension: against the theorem, and against what it wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm

import quantlab as ql
from quantlab.balancing import second_moment
from quantlab.experiments.attention import attention_errors


def oblique(m: int, k: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian matrices whose columns and rows lie along different axes."""
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    left, right = (rng.normal(size=(k, k)) * np.geomspace(1, 0.05, k) for _ in range(2))
    return a @ left.T, right @ b


def cost(basis: np.ndarray, inverse: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """Sum of p_l q_l, by its definition."""
    return float(np.sum(np.diag(basis.T @ left @ basis) * np.diag(inverse @ right @ inverse.T)))


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_no_basis_is_better(m: int, k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = oblique(m, k, n, rng)
    basis = ql.balance((a, b))
    assert_allclose(basis.inverse @ basis.forward, np.eye(k), atol=1e-6)
    moved = basis.apply(a, b)
    assert_allclose(moved[0] @ moved[1], a @ b, atol=1e-7 * np.linalg.norm(a) * np.linalg.norm(b))
    left, right = second_moment(a), second_moment(b.T)
    least = np.linalg.norm(sqrtm(left).real @ sqrtm(right).real, "nuc") ** 2 / k
    found = cost(basis.forward, basis.inverse, left, right)
    # square roots of matrices with condition numbers up to 1e6
    assert_allclose(found, least, rtol=1e-5)
    assert_allclose(basis.ratio, least / cost(np.eye(k), np.eye(k), left, right), rtol=1e-5)
    other = basis.forward @ (np.eye(k) + 0.1 * rng.normal(size=(k, k)) / k)
    assert cost(other, np.linalg.inv(other), left, right) >= found * (1 - 1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 31, 32, 100])
def test_every_column_comes_out_alike(k: int) -> None:
    a, b = oblique(4000, k, 3000, np.random.default_rng(k))
    basis = ql.balance((a, b))
    left, right = second_moment(a), second_moment(b.T)
    p = np.diag(basis.forward.T @ left @ basis.forward)
    q = np.diag(basis.inverse @ right @ basis.inverse.T)
    assert_allclose(p, p.mean(), rtol=1e-6)
    assert_allclose(q, p, rtol=1e-6)


def test_the_measured_error_falls_as_predicted() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1500, 16)) * np.geomspace(1, 0.1, 16) for _ in range(2))
    a, b = a.astype(np.float32), (b @ np.linalg.qr(rng.normal(size=(16, 16)))[0]).T.astype("f4")
    basis = ql.balance((a, b))
    errors = []
    for x, y in ((a, b), basis.apply(a, b)):
        books = ql.design_empirical((x, y), 64)
        product = ql.matmul(ql.encode(x, books[0]), ql.encode(y, books[1]), route="fp32")
        errors.append(np.mean((a.astype(float) @ b - product) ** 2))
    assert basis.ratio < 0.6
    # the prediction is of codebooks that fit their columns; one for all columns is worse off
    assert 0.7 * basis.ratio < errors[1] / errors[0] < 1.05 * basis.ratio


def test_it_wins_on_real_heads() -> None:
    heads = [(layer, head) for layer in range(6) for head in range(2, 12, 4)]
    for bits in (4, 8):
        names = ("closed_form", "lloyd_max", "empirical", "balanced")
        table = attention_errors(bits, names, heads)
        assert all(table.wins("balanced", over=name) >= 17 for name in names[:-1])
        assert table.ratio("balanced", over="empirical") < 0.75


def test_matrices_without_a_direction() -> None:
    alike = ql.balance((np.eye(3), np.eye(3)))
    assert_allclose(alike.ratio, 1.0, rtol=1e-12)
    empty = ql.balance((np.zeros((4, 3)), np.ones((3, 5))))
    assert np.isfinite(empty.forward).all()
    assert_allclose(empty.inverse @ empty.forward, np.eye(3), atol=1e-12)


def test_bad_matrices() -> None:
    with pytest.raises(ValueError, match=r"must share the inner dimension k"):
        ql.balance((np.ones((2, 3)), np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"a must be finite; a\[0, 1\] = nan"):
        ql.balance(([[1.0, np.nan]], [[1.0], [2.0]]))
    with pytest.raises(ValueError, match="b must not be empty"):
        ql.balance((np.ones((2, 3)), np.ones((3, 0))))


def test_shrinkage_is_for_few_rows() -> None:
    """40 rows say little of 32 directions: stretched by what they say, others lose more."""
    rng = np.random.default_rng(3)
    wide = np.geomspace(1, 0.2, 32)
    fitted, others = (
        [(rng.normal(size=(m, 32)) * wide, (rng.normal(size=(m, 32)) * wide).T) for m in sizes]
        for sizes in ((40,) * 6, (400,) * 6)
    )
    ratio = []
    for (own_a, own_b), (a, b) in zip(fitted, others, strict=True):
        shrunk = ql.balance((own_a, own_b))
        # the same rows a thousand times over: the same moments, and nothing left to shrink
        raw = ql.balance((np.tile(own_a, (1000, 1)), np.tile(own_b, (1, 1000))))
        moments = a.T @ a / len(a), b @ b.T / b.shape[1]
        costs = [cost(basis.forward, basis.inverse, *moments) for basis in (shrunk, raw)]
        ratio.append(costs[0] / costs[1])
    assert np.mean(ratio) < 0.9


def test_shrinkage_keeps_the_mean_square() -> None:
    """As of the rows: moments of few rows and of many are in one unit."""
    for m in (3, 400):
        rows = np.random.default_rng(m).normal(size=(m, 5))
        assert_allclose(np.trace(second_moment(rows)), np.sum(rows**2) / m, rtol=1e-12)
