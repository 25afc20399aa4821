"""The information-theoretic floor, and the limit of two matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from quantlab import EmpiricalPair, GaussianPair, design_bilinear, exact_mse
from quantlab.limits import floor_nmse, limit_nmse


def test_known_values() -> None:
    assert floor_nmse(0) == 1.0
    assert_allclose(floor_nmse(1), 0.5 - 1 / 16, rtol=1e-15)
    assert_allclose(floor_nmse(8), 2.0**-15 - 2.0**-32, rtol=1e-15)


def test_is_the_convex_hull_of_the_curve_and_the_point_at_rate_zero() -> None:
    rate = np.linspace(0, 3, 3001)
    floor = np.array([floor_nmse(r) for r in rate])
    curve = 2.0 ** (1 - 2 * rate) - 2.0 ** (-4 * rate)
    assert np.all(floor <= curve + 1e-15)
    assert np.all(np.diff(floor, 2) >= -1e-12)
    straight = np.diff(floor[:900])
    assert_allclose(straight, straight[0], rtol=1e-9)
    touches = rate[np.flatnonzero(np.isclose(floor, curve, rtol=1e-12))[1]]
    assert_allclose(touches, 0.9063, atol=1e-3)  # THEORY: R* is about 0.906


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_no_codebook_is_below(bits: int) -> None:
    pair = GaussianPair(rho=0.0)
    books = design_bilinear(pair, 2**bits, inner_dim=64)
    assert exact_mse(pair, *books, inner_dim=64).nmse > floor_nmse(bits)


def test_bad_rates() -> None:
    with pytest.raises(ValueError, match="at least 0; got -1"):
        floor_nmse(-1)
    with pytest.raises(ValueError, match="finite"):
        floor_nmse(float("nan"))


def stationary(k: int, r: float) -> np.ndarray:
    return r ** np.abs(np.subtract.outer(np.arange(k), np.arange(k)))


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("bits", [0, 0.1, 0.9, 0.907, 1, 2.5, 4, 8])
def test_equal_directions_have_the_floor(k: int, bits: float) -> None:
    assert_allclose(limit_nmse(np.full(k, 3.0), bits), floor_nmse(bits), rtol=1e-12)


def test_the_stationary_example_in_closed_form() -> None:
    k, r, bits = 32, 0.9, 20
    s = np.linalg.eigvalsh(stationary(k, r))
    mean_square = np.square(stationary(k, r)).sum() / k
    closed = 2 * 4.0**-bits * (1 - r * r) ** (2 * (k - 1) / k) / mean_square
    # the curve's second term, 4^-2R, is 1e-11 of the first
    assert_allclose(limit_nmse(s, bits), closed, rtol=1e-9)


@pytest.mark.parametrize("case", range(4))
def test_the_limit_falls_and_is_convex_down_to_no_bits(case: int) -> None:
    rng = np.random.default_rng(case)
    s = [np.ones(4), np.array([1.0, 0, 0]), np.exp(rng.normal(size=9)), stationary(8, 0.9)[0]][case]
    rate = np.linspace(0, 6, 601)
    limit = np.array([limit_nmse(s, r) for r in rate])
    assert limit[0] == 1
    assert np.all(np.diff(limit) < 0)
    assert np.all(np.diff(limit, 2) >= -1e-13)
    assert np.all(limit <= [floor_nmse(r) + 1e-13 for r in rate])  # equal s are the hardest


@pytest.mark.parametrize("bits", [0.2, 0.7, 1.5, 3])
def test_no_other_split_of_the_bits_is_better(bits: float) -> None:
    """Against a greedy spending of the bits in small steps, which is optimal for convex curves."""
    s = np.array([2.0, 1.0, 1.0, 0.3, 0.02])
    step = 1e-3
    rates = np.zeros(5)
    for _ in range(round(5 * bits / step)):
        now = np.array([floor_nmse(r) for r in rates])
        then = np.array([floor_nmse(r + step) for r in rates])
        rates[np.argmax(s**2 * (now - then))] += step
    spent = s**2 @ [floor_nmse(r) for r in rates] / (s @ s)
    limit = limit_nmse(s, bits)
    # a step too coarse for the optimum costs its square
    assert limit <= spent * (1 + 1e-12)
    assert_allclose(spent, limit, rtol=1e-4)


def test_two_matrices_are_their_product_singular_values() -> None:
    rng = np.random.default_rng(0)
    for m, k, n in ((30, 8, 20), (5, 8, 6), (40, 8, 3), (1, 8, 1)):
        a = rng.normal(size=(m, k)) * np.arange(1, k + 1)
        b = rng.normal(size=(k, n))
        moments = (a.T @ a / m) @ (b @ b.T / n)
        s = np.sqrt(np.abs(np.linalg.eigvals(moments)))
        s[s < 1e-6 * s.max()] = 0  # rank-deficient: rounding alone
        for bits in (0.5, 3):
            assert_allclose(limit_nmse((a, b), bits), limit_nmse(s, bits), rtol=1e-6)
            assert limit_nmse(EmpiricalPair(a, b), bits) == limit_nmse((a, b), bits)


def test_many_bits_for_one_direction() -> None:
    """k R = 4096 bits for the only direction: its error is below the least number of float64."""
    assert limit_nmse(np.eye(1, 512)[0], 8) == 0
    assert_allclose(limit_nmse(np.eye(1, 4)[0], 2), floor_nmse(8), rtol=1e-12)


def test_bad_spectra() -> None:
    with pytest.raises(ValueError, match="not negative, one at least; got -1"):
        limit_nmse([1.0, -1.0], 2)
    with pytest.raises(ValueError, match="got none"):
        limit_nmse([], 2)
    with pytest.raises(ValueError, match="zero here"):
        limit_nmse([0.0], 2)
    with pytest.raises(ValueError, match="zero here"):
        limit_nmse((np.zeros((2, 3)), np.ones((3, 2))), 2)
    with pytest.raises(ValueError, match="at least 0; got -1"):
        limit_nmse([1.0], -1)
    with pytest.raises(ValueError, match="share the inner dimension"):
        limit_nmse((np.ones((2, 3)), np.ones((2, 3))), 2)
