"""Entropy-coded codebooks: constants, where their density splits, and designs at an entropy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import erfcx

import quantlab as ql
from quantlab.design.entropy_coded import _uniform
from quantlab.pairs import Pair

# from an independent computation
CONSTANTS = {
    0.0: 1.4232890371, 0.5: 1.3619111698, 3**-0.5: 1.3211063042, 0.8: 1.0931052108,
    0.95: 0.7475015887, 1.0: 0.3995595639,
}  # fmt: skip
LAWS: list[Pair] = [
    ql.GaussianPair(0.6, sigma_x=3.0, sigma_y=0.2), ql.StudentTPair(0.5, nu=9),
    ql.LaplacePair(0.4), ql.GaussianMixturePair(0.5), ql.IntermittentPair(0.3),
    ql.UniformCopulaPair(0.5),
]  # fmt: skip

WIDE = ql.GaussianPair(0.95, sigma_x=2.0, sigma_y=0.1)


@cache
def designed(pair: Pair, bits: float, inner_dim: int = 1) -> tuple[ql.Codebook, ql.Codebook]:
    return ql.design_entropy_coded(pair, bits, inner_dim)


@pytest.mark.parametrize("rho", CONSTANTS)
def test_constants_of_the_gaussian_pair(rho: float) -> None:
    assert_allclose(ql.entropy_constant(ql.GaussianPair(rho)), CONSTANTS[rho], rtol=0, atol=1e-9)
    uniform = ql.entropy_constant(ql.GaussianPair(rho, sigma_x=2.0), "y", uniform=True)
    assert_allclose(uniform, 4 * np.pi * np.e / 6, rtol=1e-12)


@pytest.mark.parametrize("rho", [0.2, 0.8, 1.0])
def test_closed_form_of_the_mean_log_weight(rho: float) -> None:
    c = (1 - rho**2) / rho**2
    inner = quad(erfcx, 0, np.sqrt(c / 2), epsabs=1e-13)[0]
    mean = np.log(rho**2) - np.euler_gamma - np.log(2) + 2 * np.sqrt(np.pi) * inner
    expected = 2 * np.pi * np.e / 12 * np.exp(mean)
    assert_allclose(ql.entropy_constant(ql.GaussianPair(rho)), expected, rtol=1e-10)


@pytest.mark.parametrize("pair", LAWS, ids=lambda pair: type(pair).__name__)
def test_constants_of_every_law(pair: Pair) -> None:
    """Against a plain sum, and never above the uniform grid's."""
    for operand in ("x", "y"):
        u = np.linspace(-60, 60, 2_400_001)
        u = u[(u > pair.support(operand)[0] / pair.sigma(operand))
              & (u < pair.support(operand)[1] / pair.sigma(operand))]  # fmt: skip
        x = u * pair.sigma(operand)
        f, w = pair.pdf(x, operand), pair.weight(x, operand)
        with np.errstate(divide="ignore", invalid="ignore"):
            told = np.where(f > 0, f * (np.log(w) - 2 * np.log(f)), 0).sum() * (x[1] - x[0])
        found = ql.entropy_constant(pair, operand)  # type: ignore[arg-type]
        assert_allclose(found, np.exp(told) / 12, rtol=1e-3)
        assert found <= ql.entropy_constant(pair, operand, uniform=True) * (1 + 1e-12)  # type: ignore[arg-type]


def test_the_density_is_least_at_zero_for_any_correlation() -> None:
    flat = ql.PointDensity.entropy_coded(ql.GaussianPair(0.0))
    assert_allclose(flat(np.array([0.0, 1.0, 5.0])), flat(0.0), rtol=1e-12)
    for rho in (0.05, 0.5, 0.9):
        density = ql.PointDensity.entropy_coded(ql.GaussianPair(rho, sigma_x=3.0))
        u = np.array([0.0, 0.5, 1.0, 3.0])
        assert_allclose(density(u) / density(0.0), np.sqrt(1 + rho**2 / (1 - rho**2) * u**2))
        assert all(abs(mode) > 7 for mode in density.modes)  # the ends of its support
    with pytest.raises(ValueError, match="operand"):
        ql.PointDensity.entropy_coded(ql.GaussianPair(0.5), "z")  # type: ignore[arg-type]


def test_the_transition_of_elliptical_laws_is_at_zero() -> None:
    families = (ql.GaussianPair, ql.LaplacePair, lambda rho: ql.StudentTPair(rho, nu=7))
    for family in families:
        assert ql.critical_rho(family, entropy_coded=True) == 0.0
        assert_allclose(ql.critical_rho(family), 3**-0.5, atol=1e-6)


def test_fine_designs_reach_the_constant() -> None:
    pair = ql.GaussianPair(0.5)
    books = ql.design_entropy_coded(pair, 6)
    found = ql.exact_mse(pair, *books).mse / 2 * 4.0**6
    assert_allclose(found, CONSTANTS[0.5], rtol=0.01)
    assert_allclose(ql.entropy_asymptotic_mse(pair, 6), 2 * CONSTANTS[0.5] / 4**6, rtol=1e-8)


# over the whole grid: benchmarks/results/limits.md
@pytest.mark.parametrize(
    ("bits", "rho", "inner_dim"), [(1.0, 0.95, 1), (1.0, 0.0, 4096), (3.0, 0.5, 1), (4.0, 0.95, 1)]
)
def test_designs_beat_uniform_grids_at_their_entropy(
    bits: float, rho: float, inner_dim: int
) -> None:
    pair = replace(WIDE, rho=rho)
    cb_x, cb_y = designed(pair, bits, inner_dim)
    entropies = ql.codebook_entropy(pair, cb_x), ql.codebook_entropy(pair, cb_y, "y")
    assert_allclose(np.mean(entropies), bits, atol=1e-9)
    assert_allclose([cb_x.info["entropy"], cb_y.info["entropy"]], entropies, atol=1e-9)
    exact = ql.exact_mse(pair, cb_x, cb_y, inner_dim)
    assert_allclose(exact.nmse, cb_x.info["nmse"], rtol=1e-8)
    assert_allclose(exact.gain, 1.0, atol=1e-6)
    unit = ql.GaussianPair(rho)
    for middle in (True, False):
        grid = _uniform(unit, (bits, bits), inner_dim, middle)
        if abs(grid.bits - bits) < 1e-6:
            assert exact.nmse <= grid.point.nmse * (1 + 1e-9)
    assert exact.nmse < 0.98 * grid.point.nmse or rho == 0
    if (bits, rho) == (1.0, 0.95):  # of many optima one that few starts lead to
        assert exact.nmse < 0.08


def test_a_dead_zone_and_a_hole() -> None:
    few = designed(ql.GaussianPair(0.0), 1.0)[0]
    middles = 0.5 * (few.centers[1:] + few.centers[:-1])
    outer = few.thresholds > 0
    assert np.all(few.thresholds[outer] > 1.03 * middles[outer])  # the likelier cell is favoured
    fine = designed(WIDE, 4.0)[0]
    gaps = np.diff(fine.centers[np.abs(fine.centers) < 6])
    assert gaps[gaps.size // 2] > 2 * gaps[0]


def test_five_decibels_at_four_bits() -> None:
    coded = ql.exact_mse(WIDE, *designed(WIDE, 4.0)).nmse
    pair = ql.GaussianPair(0.95)
    fixed = ql.exact_mse(pair, *ql.design_bilinear(pair, 16, symmetric=True)).nmse
    assert 10 * np.log10(fixed / coded) > 5


@pytest.mark.parametrize("pair", LAWS[4:], ids=lambda pair: type(pair).__name__)
def test_other_laws_have_designs(pair: Pair) -> None:
    books = ql.design_entropy_coded(pair, 2.0, 16)
    exact = ql.exact_mse(pair, *books, inner_dim=16)
    assert_allclose(exact.nmse, books[0].info["nmse"], rtol=1e-8)
    assert_allclose(np.mean([b.info["entropy"] for b in books]), 2.0, atol=1e-6)
    fixed = ql.exact_mse(pair, *ql.design_bilinear(pair, 4, 16, symmetric=True), inner_dim=16)
    assert exact.nmse < fixed.nmse


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"bits must lie in 0.05 .. 6.5; got 9"):
        ql.design_entropy_coded(ql.GaussianPair(0.0), 9)
    with pytest.raises(ValueError, match="finite E"):
        ql.design_entropy_coded(ql.StudentTPair(0.0, nu=4), 2)
