"""One formula, two languages: the browser's densities and exact errors are quantlab's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Page

import quantlab as ql
from quantlab.dashboard import browser

RHOS = [*np.random.default_rng(0).uniform(-1, 1, 50), 0.0, 1e-9, ql.CRITICAL_RHO, 0.999999, 1.0]
U = np.linspace(-5, 5, 201)


@pytest.fixture
def javascript(page: Page) -> Callable[..., Any]:
    """Evaluate an expression in `quantlab` (the browser's formulas) and `x` (what is passed)."""
    page.goto("about:blank")
    page.add_script_tag(content=browser.formulas())
    return lambda expression, x: page.evaluate(f"(x) => {expression}", x)


def test_normaliser_density_and_peaks(javascript: Callable[..., Any]) -> None:
    found = javascript(
        """x.rhos.map((rho) => ({
            z: quantlab.normalizer(rho),
            density: Array.from(quantlab.density(Float64Array.from(x.u), rho)),
            peaks: quantlab.peaks(rho),
        }))""",
        {"rhos": RHOS, "u": U.tolist()},
    )
    for rho, drawn in zip(RHOS, found, strict=True):
        # both integrals are right to 1e-13 or better (gaussian_normalizer's docstring)
        assert_allclose(drawn["z"], ql.gaussian_normalizer(rho), rtol=1e-12)
        python = ql.PointDensity.optimal(ql.GaussianPair(rho))(U)
        # Python's 1 - rho^2 loses digits next to |rho| = 1: 1e-14 of a density up to 0.23
        assert_allclose(drawn["density"], python, rtol=1e-12, atol=1e-14)
        assert_allclose(drawn["peaks"], ql.gaussian_peaks(rho), rtol=1e-12)


@pytest.mark.parametrize("n_levels", [2, 7, 16, 256])
def test_companding_centres(javascript: Callable[..., Any], n_levels: int) -> None:
    found = javascript(
        "x.rhos.map((rho) => Array.from(quantlab.centers(rho, x.K)))",
        {"rhos": RHOS, "K": n_levels},
    )
    for rho, centers in zip(RHOS, found, strict=True):
        density = ql.PointDensity.optimal(ql.GaussianPair(rho))
        python = ql.design_companding(ql.GaussianPair(rho), n_levels)[0].centers
        # both invert F, which is right to 1e-14; where the density is small (0 at u = 0 and
        # |rho| = 1) that leaves less of u
        assert_allclose((centers - python) * np.maximum(density(python), 1e-6), 0, atol=1e-13)


@pytest.mark.parametrize("inner_dim", [1, 256])
def test_asymptotic_law(javascript: Callable[..., Any], inner_dim: int) -> None:
    found = javascript(
        "x.rhos.map((rho) => quantlab.asymptoteAtOne(rho, x.k) / (16 * 16))",
        {"rhos": RHOS, "k": inner_dim},
    )
    for rho, law in zip(RHOS, found, strict=True):
        pair = ql.GaussianPair(rho)
        assert_allclose(
            law, ql.asymptotic_mse(pair, 16, inner_dim) / pair.energy(inner_dim), rtol=1e-11
        )  # Z^3 triples the normaliser's error


@pytest.mark.parametrize("nu", [None, 4.5, 12])
def test_exact_errors_of_any_codebooks(javascript: Callable[..., Any], nu: float | None) -> None:
    rng = np.random.default_rng(1)
    law = {"family": "gaussian" if nu is None else "student_t", "nu": nu or 0}
    for rho in (0.8, -0.6, 0.0, 1.0, 1e-3):
        books = [ql.Codebook(np.sort(rng.normal(0.2, 1.3, n_levels))) for n_levels in (16, 3)]
        k = int(rng.choice([1, 64, 4096]))
        found = javascript(
            "quantlab.exact.error(quantlab.laws.law(x.law), ...x.books, x.k)",
            {"law": {**law, "rho": rho}, "books": [book.to_dict() for book in books], "k": k},
        )
        pair = ql.GaussianPair(rho) if nu is None else ql.StudentTPair(rho, nu=nu)
        exact, energy = ql.exact_mse(pair, *books, k), pair.energy(k)
        for name in ("variance", "bias"):
            part = getattr(exact, name) / energy
            assert_allclose(found[name], part, rtol=1e-9, atol=1e-12 * exact.nmse)
        for name in ("nmse", "gain", "nmse_with_gain"):
            assert_allclose(found[name], getattr(exact, name), rtol=1e-9, err_msg=name)
