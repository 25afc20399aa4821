"""The pictures show the numbers that they were given."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab import views

PAIR = ql.GaussianPair(rho=0.8)


def elements(picture: hv.Overlay, kind: type) -> list:
    return picture.traverse(lambda element: element, [kind])


def test_density_curves_and_their_peaks() -> None:
    densities = {"product": ql.PointDensity.optimal(PAIR), "entries": ql.PointDensity.mse(PAIR)}
    picture = views.density_curves(densities)
    lines, peaks = elements(picture, hv.Curve), elements(picture, hv.Points)
    assert [line.label for line in lines] == ["product", "entries"]
    for line, density in zip(lines, densities.values(), strict=True):
        assert_array_equal(line.dimension_values(1), density(line.dimension_values(0)))
    assert_allclose(peaks[0].dimension_values(0), [-1.198958, 1.198958], atol=1e-6)
    assert_array_equal(peaks[1].dimension_values(0), [0.0])


def test_bifurcation_shows_where_one_stands() -> None:
    picture = views.bifurcation(ql.gaussian_peaks, ql.CRITICAL_RHO, rho=0.8)
    (here,) = elements(picture, hv.Points)
    assert_array_equal(here.dimension_values(0), [0.8, 0.8])
    assert_array_equal(here.dimension_values(1), ql.gaussian_peaks(0.8))
    highest = max(line.dimension_values(1).max() for line in elements(picture, hv.Curve))
    assert_allclose(highest, np.sqrt(2), rtol=1e-12)


def test_rug_has_a_row_a_codebook() -> None:
    books = {"closed form": ql.design_companding(PAIR, 8)[0]}
    (row,) = elements(views.codebook_rug(books, scale=2.0), hv.Scatter)
    assert_array_equal(row.dimension_values(0), books["closed form"].centers / 2)


def test_points_lie_over_curves_on_their_axes() -> None:
    picture = views.curves({"law": ([1, 10], [2, 20])}, "k", "e", {"exact": ([5], [9])}, logx=True)
    (line,), (dots,) = elements(picture, hv.Curve), elements(picture, hv.Scatter)
    assert_array_equal(line.dimension_values(1), [2, 20])
    assert_array_equal(dots.dimension_values(0), [5])
    assert [line.label, dots.label] == ["law", "exact"]
    options = hv.Store.lookup_options("bokeh", picture, "plot").kwargs
    assert options["logx"]
    assert options["width"] == views.SIZE["width"]


def test_errors_carry_their_intervals() -> None:
    books = ql.design_companding(PAIR, 4)
    result = ql.measure(PAIR, *books, inner_dim=8, m=4, n=4, trials=4)
    picture = views.error_against_levels({"closed form": {4: result}}, {"K^-2": ([2, 8], [1, 0.1])})
    (bars,), (points,) = elements(picture, hv.ErrorBars), elements(picture, hv.Scatter)
    assert_allclose(bars.dimension_values(1) - bars.dimension_values(2), [result.low])
    assert_allclose(bars.dimension_values(1) + bars.dimension_values(3), [result.high])
    assert_array_equal(points.dimension_values(1), [result.nmse])


def test_matrix_image_is_centred_on_zero() -> None:
    image = views.matrix_image(np.array([[1.0, -3.0], [0.0, 2.0]]))
    assert hv.Store.lookup_options("bokeh", image, "plot").kwargs["clim"] == (-3.0, 3.0)
    assert_array_equal(image.dimension_values(2, flat=False)[::-1], [[1.0, -3.0], [0.0, 2.0]])


@pytest.mark.parametrize(
    "picture",
    [
        views.density_curves({"product": ql.PointDensity.optimal(PAIR)}),
        views.bifurcation(ql.gaussian_peaks, ql.CRITICAL_RHO, 0.3),
        views.codebook_rug({"a": ql.Codebook([0.0, 1.0])}),
        views.matrix_image(np.eye(3)),
    ],
    ids=["density", "bifurcation", "rug", "matrix"],
)
def test_every_picture_renders(picture) -> None:
    assert hv.render(picture, backend="bokeh").renderers
