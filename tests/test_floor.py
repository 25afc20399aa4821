"""The information-theoretic floor."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from quantlab import GaussianPair, design_bilinear, exact_mse
from quantlab.floor import floor_nmse


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
