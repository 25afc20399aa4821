"""Joint laws: closed forms against quadrature, cells against the fall-back, samples too."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

import quantlab as ql
from quantlab.pairs import EllipticalPair, Pair
from quantlab.pairs._normal import bivariate_cdf
from quantlab.pairs._quadrature import resolve_steps
from tests import oracle

ELLIPTICAL = {
    "gaussian": ql.GaussianPair,
    "t5": lambda rho, *s: ql.StudentTPair(rho, 5.0, *s),
    "t4.1": lambda rho, *s: ql.StudentTPair(rho, 4.1, *s),
    "t100": lambda rho, *s: ql.StudentTPair(rho, 100.0, *s),
    "laplace": ql.LaplacePair,
    "mixture": lambda rho, *s: ql.GaussianMixturePair(rho, (1.0, 12.0), (0.85, 0.15), *s),
}
OTHER = {
    "intermittent": lambda rho, *s: ql.IntermittentPair(rho, 0.9, *s),
    "uniform": ql.UniformCopulaPair,
}
LAWS = ELLIPTICAL | OTHER
T_X, T_Y = np.array([-1.2, -0.1, 0.3, 1.6]), np.array([-0.6, 0.2, 0.9])


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_marginal_has_the_stated_deviation(make):
    pair = make(0.6, 2.0, 0.5)
    for operand in ("x", "y"):
        sigma = pair.sigma(operand)
        low, high = pair.support(operand)

        def moment(p, operand=operand, low=low, high=high):
            inner = min(high, 8 * pair.sigma(operand))
            pieces = [(low, -inner), (-inner, 0), (0, inner), (inner, high)]
            return sum(
                quad(lambda x: x**p * pair.pdf(x, operand), *piece, epsrel=1e-10)[0]
                for piece in pieces
            )

        # heavy tails: quad's own error over an infinite interval
        assert_allclose([moment(0), moment(2)], [1, sigma**2], rtol=1e-6)


@pytest.mark.parametrize("rho", [0.0, -0.45, 0.8])
@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_weight_is_the_conditional_second_moment(make, rho):
    pair = make(rho, 2.0, 0.5)
    for operand, u in (("x", 0.3), ("y", 1.1)):
        other = "y" if operand == "x" else "x"
        x = u * pair.sigma(operand)

        def joint(y, operand=operand, x=x):
            return pair.joint_pdf(x, y) if operand == "x" else pair.joint_pdf(y, x)

        low, high = pair.support(other)
        inner = min(high, 10 * pair.sigma(other))
        pieces = [(low, -inner), (-inner, 0), (0, inner), (inner, high)]
        mass = sum(quad(joint, *piece, epsrel=1e-9)[0] for piece in pieces)
        second = sum(quad(lambda y: y * y * joint(y), *piece, epsrel=1e-9)[0] for piece in pieces)
        # quad's own error, with power-law tails and the copula's infinite slopes at its ends
        assert_allclose(mass, pair.pdf(x, operand), rtol=1e-6)
        assert_allclose(second / mass, pair.weight(x, operand), rtol=1e-6)


@pytest.mark.parametrize("rho", [0.3, -0.88])
@pytest.mark.parametrize("name", [name for name in LAWS if name != "uniform"])
def test_cells_equal_the_numerical_fall_back(name, rho):
    """`Pair`'s own quadrature needs only pdf, weight and joint_pdf."""
    pair = LAWS[name](rho, 2.0, 0.5)
    t_x, t_y = 2.0 * T_X, 0.5 * T_Y
    tolerance = 1e-12  # both are quadratures or closed forms good to about 1e-13
    for weighted in (False, True):
        for operand, t in (("x", t_x), ("y", t_y)):
            assert_allclose(
                pair.cell_moments(t, operand, weighted=weighted),
                Pair.cell_moments(pair, t, operand, weighted=weighted),
                atol=tolerance,
            )
    x = np.array([-3.0, 0.4, 1.1])
    for ours, theirs in zip(
        pair.conditional_cells(x, t_y), Pair.conditional_cells(pair, x, t_y), strict=True
    ):
        assert_allclose(ours, theirs, atol=tolerance)
    for ours, theirs in zip(
        pair.joint_cells(t_x, t_y), Pair.joint_cells(pair, t_x, t_y), strict=True
    ):
        assert_allclose(ours, theirs, atol=tolerance)


@pytest.mark.parametrize("rho", [0.5, -0.999, 1.0])
@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_cells_add_up(make, rho):
    if "Intermittent" in repr(make(0.0)):
        rho *= 0.9  # its share
    pair = make(rho, 2.0, 0.5)
    mass, first = pair.joint_cells(2.0 * T_X, 0.5 * T_Y)
    cells_x = pair.cell_moments(2.0 * T_X, "x")
    cells_y = pair.cell_moments(0.5 * T_Y, "y")
    # rounding; the uniform law's panels are good to 1e-13
    assert_allclose(mass.sum(axis=1), cells_x[0], atol=1e-12)
    assert_allclose(mass.sum(axis=0), cells_y[0], atol=1e-12)
    assert_allclose(first.sum(), pair.mean_product, atol=1e-12)
    weighted = pair.cell_moments(2.0 * T_X, "x", weighted=True)
    assert_allclose(weighted[0].sum(), 0.25, atol=1e-12)  # E[w(X)] = sigma_y^2
    p, e = pair.conditional_cells(2.0 * np.array([-1.5, 0.0, 0.7]), 0.5 * T_Y, "x")
    assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    assert np.all(p >= 0)
    # Y lies inside its cell
    inside = p > 1e-9
    borders = np.concatenate([[-np.inf], 0.5 * T_Y, [np.inf]])
    mean = e[inside] / p[inside]
    assert np.all(mean >= np.broadcast_to(borders[:-1], p.shape)[inside] - 1e-9)
    assert np.all(mean <= np.broadcast_to(borders[1:], p.shape)[inside] + 1e-9)


def line_cells(t_x, t_y, sign):
    """Cells of a uniform X, deviation 1, and Y = sign X: intervals, by hand."""
    end = np.sqrt(3)
    x, y = (np.concatenate([[-end], t, [end]]) for t in (t_x, t_y))
    y_low, y_high = (y[:-1], y[1:]) if sign > 0 else (-y[1:], -y[:-1])
    low = np.maximum(x[:-1, None], y_low)
    high = np.maximum(low, np.minimum(x[1:, None], y_high))
    return (high - low) / (2 * end), sign * (high**3 - low**3) / (6 * end)


@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_uniform_copula_on_a_line_and_near_it(sign, levels):
    """A step of the conditional law costs the same few panels however narrow it is."""
    t_x = np.sqrt(3) * np.linspace(-0.97, 0.98, levels - 1)
    t_y = np.sqrt(3) * np.linspace(-0.93, 0.96, levels)
    expected = line_cells(t_x, t_y, sign)
    tracemalloc.start()
    for gap in (0.0, 1.2e-16, 1e-12, 1e-9, 1e-6, 1e-4):
        pair = ql.UniformCopulaPair(sign * (1 - gap), 2.0, 0.5)
        cells = pair.joint_cells(2.0 * t_x, 0.5 * t_y)
        # thresholds of X and Y that are closer than the law is wide share the mass between
        width = np.sqrt(gap)
        for ours, line in zip(cells, expected, strict=True):
            assert_allclose(ours, line, atol=1e-14 + width)
        assert_allclose(cells[0].sum(axis=1), pair.cell_moments(2.0 * t_x)[0], atol=1e-14)
        assert_allclose(cells[0].sum(axis=0), pair.cell_moments(0.5 * t_y, "y")[0], atol=1e-14)
        assert_allclose(cells[1].sum(), pair.mean_product, atol=1e-14)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("gap", [1e-4, 1e-8, 1e-12])
def test_uniform_copula_near_the_line_equals_adaptive_quadrature(gap):
    pair = ql.UniformCopulaPair(1 - gap)
    gap = 1 - pair.rho
    h, k = 0.4, 0.4 + 0.5 * np.sqrt(gap)
    mass = pair.joint_cells([h], [k])[0]
    short = 2 * np.sin(np.pi * gap / 12) ** 2 + np.sqrt(3) * np.sin(np.pi * gap / 6)  # 1 - r
    q = np.sqrt(short * (2 - short))
    z_h, z_k = (ndtri(0.5 + t / np.sqrt(12)) for t in (h, k))

    def above(z):  # X in the lower cell, Y in the upper
        return np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * ndtr((z - z_k - short * z) / q)

    crossed = quad(above, z_h - 12 * q, z_h, epsabs=0, epsrel=1e-10)[0]
    # rounding of z over the width of the step, sqrt(gap)
    assert_allclose(mass[0, 1], crossed, rtol=1e-9 + 1e-14 / np.sqrt(gap))


def test_uniform_copula_on_a_line_has_no_joint_density():
    for rho in (1.0, -1.0):
        pair = ql.UniformCopulaPair(rho)
        assert pair.copula_rho == rho
        with pytest.raises(ValueError, match="lies on a line and has no joint density"):
            pair.joint_pdf(0.1, 0.1)


def test_a_law_of_the_fall_back_on_a_line():
    """At |rho| = 1 the fall-back is one-dimensional, and just inside it takes bounded memory."""

    class Plain(ql.GaussianPair):
        conditional_cells = Pair.conditional_cells
        joint_cells = Pair.joint_cells

    for rho in (1.0, -1.0):
        plain, closed = Plain(rho, 2.0, 0.5), ql.GaussianPair(rho, 2.0, 0.5)
        for ours, theirs in zip(
            plain.joint_cells(2.0 * T_X, 0.5 * T_Y),
            closed.joint_cells(2.0 * T_X, 0.5 * T_Y),
            strict=True,
        ):
            assert_allclose(ours, theirs, atol=1e-13)
    tracemalloc.start()
    plain, closed = Plain(1 - 1e-9), ql.GaussianPair(1 - 1e-9)
    mass, _ = plain.joint_cells(T_X, T_Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    assert_allclose(mass, closed.joint_cells(T_X, T_Y)[0], atol=1e-6)


def test_resolving_steps_takes_few_panels():
    edges, steps = np.linspace(-9.0, 9.0, 37), np.linspace(-3.0, 3.0, 200)
    for width in (0.0, 1e-300, 1e-16, 1e-9, 1e-3, 0.05, 0.2):
        fine = resolve_steps(edges, steps, width)
        assert np.all(np.isin(edges, fine))
        assert fine.size <= edges.size + 10 * steps.size
        middle = 0.5 * (fine[1:] + fine[:-1])
        near = np.abs(middle[:, None] - steps).min(axis=1) < 7 * width
        # spacing of floats of size 3
        assert np.all(np.diff(fine)[near] <= 2 * width * (1 + 1e-9) + 1e-15)
    assert np.all(np.isin(steps, resolve_steps(edges, steps, 0.0)))


def test_uniform_copula_cells_equal_sampled_ones():
    pair = ql.UniformCopulaPair(-0.7, 2.0, 0.5)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2, 400_000))
    z[1] = pair.copula_rho * z[0] + np.sqrt(1 - pair.copula_rho**2) * z[1]
    x, y = np.sqrt(3) * (2 * ndtr(z) - 1) * np.array([[2.0], [0.5]])
    cell = np.searchsorted(2.0 * T_X, x) * 4 + np.searchsorted(0.5 * T_Y, y)
    mass, first = pair.joint_cells(2.0 * T_X, 0.5 * T_Y)
    # five standard errors: sqrt(p / n) at most, times max |XY| = 3 for the moments
    assert_allclose(np.bincount(cell, minlength=20) / x.size, mass.ravel(), atol=5 * 0.5 / 632)
    sampled = np.bincount(cell, x * y, minlength=20) / x.size
    assert_allclose(sampled, first.ravel(), atol=5 * 1.5 / 632)
    assert_allclose(np.mean(x * y), pair.mean_product, atol=5 * 1.2 / 632)
    assert_allclose(np.mean((x * y) ** 2), pair.mean_square_product, atol=5 * 3 / 632)


@pytest.mark.parametrize(
    "name",
    [name for name in LAWS if name not in ("t4.1", "t5")],  # their sample kurtosis wanders
)
def test_sampled_matrices_have_the_law_at_every_entry(name):
    rho = -0.6
    pair = LAWS[name](rho, 2.0, 0.5)
    a, b = pair.sample_matrices(3, 200_000, 2, rng=5)
    assert (a.dtype, b.dtype) == (np.float32, np.float32)
    assert (a.shape, b.shape) == ((3, 200_000), (200_000, 2))
    # five standard errors of moments whose own spread is at most about 6 times their size
    for i, j in ((0, 0), (2, 1)):
        assert_allclose(np.mean(a[i] * b[:, j]), pair.mean_product, atol=5 * 2 / 447)
    assert_allclose(
        np.mean(a.astype(float) ** 2) * np.mean(b.astype(float) ** 2), 1, rtol=5 * 3 / 447
    )
    product = np.mean((a[1] * b[:, 0]).astype(float) ** 2)
    assert_allclose(product, pair.mean_square_product, rtol=5 * 12 / 447)
    again = pair.sample_matrices(3, 200_000, 2, rng=5)
    assert np.array_equal(a, again[0])
    assert np.array_equal(b, again[1])


@pytest.mark.parametrize("make", [ELLIPTICAL["t100"], ql.LaplacePair, ql.UniformCopulaPair])
def test_exact_error_equals_the_measured_one(make):
    pair = make(0.7, 2.0, 0.5)
    books = ql.design_companding(pair, 8)
    measured = ql.measure(pair, *books, inner_dim=64, m=64, n=64, trials=60, rng=2)
    exact = ql.exact_mse(pair, *books, inner_dim=64).nmse
    half = measured.high - measured.nmse
    assert abs(measured.nmse - exact) < 2 * half  # about four standard errors


@pytest.mark.parametrize("name", ["t5", "laplace", "mixture", "intermittent", "uniform"])
def test_bilinear_beats_the_closed_form_for_other_laws(name):
    pair = LAWS[name](0.8)
    report = ql.exact_mse(pair, *ql.design_companding(pair, 6), 64)
    books = ql.design_bilinear(pair, 6, 64)
    best = ql.exact_mse(pair, *books, 64)
    assert best.nmse < 0.99 * report.nmse_with_gain
    assert_allclose(best.nmse, books[0].info["nmse"], rtol=1e-8)
    assert_allclose(best.gain, 1, atol=1e-4)


@pytest.mark.parametrize("make", ELLIPTICAL.values(), ids=ELLIPTICAL)
def test_elliptical_peaks_solve_the_score_equation(make):
    assert make(0.5).peaks() == (0.0,)
    assert make(-ql.CRITICAL_RHO).peaks() == (0.0,)
    for rho in (0.58, -0.8, 1.0):
        pair = make(rho, 2.0, 0.5)
        peaks = np.array(pair.peaks())
        assert peaks.size >= 2
        assert np.array_equal(peaks, -peaks[::-1])
        h = 1e-5
        log_f = np.log(pair.pdf(2.0 * peaks[:, None] * np.exp([-h, h])))
        # central difference of log f: h^2 truncation, eps / h rounding
        assert_allclose(-np.diff(log_f, axis=1) / (2 * h), 3 - 1 / rho**2, atol=1e-8)
        assert_allclose(pair.score(peaks), 3 - 1 / rho**2, atol=1e-12)
        # the bracketed root agrees with the closed forms
        assert_allclose(EllipticalPair.peaks(pair), peaks, rtol=1e-9)


def test_a_mixture_can_have_four_peaks():
    pair = ql.GaussianMixturePair(1.0, (1.0, 12.0), (0.85, 0.15))
    l_star = ql.PointDensity.optimal(pair)
    assert len(pair.peaks()) == 4
    for u in pair.peaks():
        assert l_star(u) > max(l_star(u - 1e-3), l_star(u + 1e-3))


@pytest.mark.parametrize("nu", [4.05, 5.0, 30.0])
def test_student_t_cells_are_right_to_rounding_in_the_far_tail(nu):
    pair = ql.StudentTPair(0.8, nu, 2.0, 0.5)
    t = 2.0 * np.array([-1e9, -40.0, 1.5, 60.0, 1e6])
    for weighted in (False, True):
        cells = pair.cell_moments(t, weighted=weighted)
        for i, (low, high) in enumerate(pairwise(t), start=1):
            if low < 0 < high:
                ends = np.array([low, -2.0, 0.0, high])
            else:  # a piece of quad's must not hold many decades
                ends = np.sign(low) * np.geomspace(abs(low), abs(high), 60)
            for p in (0, 1):

                def density(x, p=p, weighted=weighted):
                    return x**p * pair.pdf(x) * (pair.weight(x) if weighted else 1.0)

                pieces = [quad(density, *ab, epsabs=0, epsrel=1e-12)[0] for ab in pairwise(ends)]
                # a cell across 0: its first moment is a difference
                assert_allclose(cells[p, i], sum(pieces), rtol=1e-11, atol=1e-13 * (low < 0 < high))


def test_student_t_reference_peak():
    pair = ql.StudentTPair(0.8, 5)
    assert round(pair.peaks()[1] / np.sqrt(3 / 5), 4) == 1.2551  # in units of the t scale


def test_heavy_tails_say_where_they_end():
    pair = ql.StudentTPair(0.5, 3.0)
    assert pair.mean_square_product == np.inf
    assert np.isfinite(ql.PointDensity.mse(pair).normalizer)
    books = ql.design_lloyd_max(pair, 4)
    for call in (
        lambda: ql.PointDensity.optimal(pair),
        lambda: ql.exact_mse(pair, *books),
        lambda: ql.design_bilinear(pair, 4),
    ):
        with pytest.raises(ValueError, match=r"finite E\[X\^2 Y\^2\]"):
            call()


class Bare(ql.GaussianPair):
    """A law that gives the abstract members only."""

    joint_pdf = Pair.joint_pdf
    conditional_cells = Pair.conditional_cells
    joint_cells = Pair.joint_cells


def test_a_law_without_a_joint_density_says_so():
    pair = Bare(0.5)
    books = ql.design_companding(pair, 4)
    with pytest.raises(NotImplementedError, match="Bare defines no joint_pdf"):
        ql.exact_mse(pair, *books)


def test_bivariate_cdf_equals_scipy():
    for h, k, rho in [(0.0, 0.0, 0.3), (0.0, -1.0, 0.9), (1.2, -0.4, -0.7), (-2.0, -2.1, 0.99)]:
        ours = bivariate_cdf(np.array(h), np.array(k), rho)
        assert_allclose(ours, oracle.bivariate_cdf(h, k, rho), atol=1e-7)  # scipy asks for 1e-8


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.01,), ValueError, r"rho .* must lie in \[-1, 1\]; got 1.01"),
        ((True,), TypeError, "rho must be a real number; got bool"),
        ((0.5, 0.0), ValueError, "sigma_x must be positive; got 0.0"),
        ((0.5, 1.0, np.inf), ValueError, "sigma_y must be finite; got inf"),
    ],
)
def test_every_law_checks_what_all_share(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(*arguments)
    assert type(make(np.float32(0.5), 2, 3).sigma_y) is float


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ql.GaussianPair(1.01), ValueError, r"must lie in \[-1, 1\]; got 1.01"),
        (lambda: ql.GaussianPair(np.nan), ValueError, "rho must be finite; got nan"),
        (lambda: ql.GaussianPair("0.5"), TypeError, "rho must be a real number; got str"),
        (lambda: ql.GaussianPair(0.5, sigma_x=0.0), ValueError, "sigma_x must be positive"),
        (lambda: ql.GaussianPair(0.5).weight(0.0, "z"), ValueError, 'operand must be "x" or "y"'),
        (lambda: ql.StudentTPair(0.5, 2.0), ValueError, "nu must exceed 2"),
        (lambda: ql.LaplacePair(0.5, sigma_y=-1.0), ValueError, "sigma_y must be positive"),
        (
            lambda: ql.GaussianMixturePair(0.5, (1.0, 2.0), (1.0,)),
            ValueError,
            "one value for each component; got 2 and 1",
        ),
        (
            lambda: ql.GaussianMixturePair(0.5, (1.0, -2.0), (1.0, 1.0)),
            ValueError,
            "variances must be positive",
        ),
        (lambda: ql.IntermittentPair(0.6, 0.5), ValueError, "must not exceed share = 0.5"),
        (lambda: ql.IntermittentPair(0.6, 1.5), ValueError, r"share must lie in \(0, 1\]"),
        (lambda: ql.UniformCopulaPair(-2.0), ValueError, r"must lie in \[-1, 1\]"),
        (lambda: ql.GaussianPair(1.0).joint_pdf(0.0, 0.0), ValueError, "lies on a line"),
        (lambda: ql.LaplacePair(-1.0).joint_pdf(0.0, 0.0), ValueError, "lies on a line"),
        (lambda: ql.GaussianPair(0.5).sample_matrices(0, 1, 1), ValueError, "m must be at least"),
        (lambda: ql.GaussianPair(0.5).energy(0), ValueError, "inner_dim must be at least 1"),
    ],
)
def test_rejects_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "pair",
    [
        ql.StudentTPair(0.7, 5.0), ql.StudentTPair(-0.3, 9.0, 2.0, 0.5), ql.GaussianPair(0.8, 3.0),
        ql.LaplacePair(0.6), ql.UniformCopulaPair(0.4), ql.IntermittentPair(0.3),
        ql.GaussianMixturePair(0.5),
    ],
    ids=repr,
)  # fmt: skip
def test_the_product_s_mean_square_is_that_of_the_weight(pair: ql.Pair) -> None:
    """E[X^2 Y^2] = int x^2 w(x) f(x) dx, by quadrature in a variable that reaches the tails."""

    def integrand(t: float) -> float:
        x = pair.sigma_x * np.sinh(t)
        return float(x * x * pair.weight(x) * pair.pdf(x) * pair.sigma_x * np.cosh(t))

    reach = 60.0 if isinstance(pair, ql.StudentTPair) else 7.0
    ends = [float(np.arcsinh(np.sqrt(3))) * side for side in (-1, 1)]  # the uniform law's
    found = scipy.integrate.quad(integrand, -reach, reach, points=[0.0, *ends], limit=400)[0]
    assert_allclose(pair.mean_square_product, found, rtol=1e-6)


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_single_precision_is_only_the_arguments(make):
    """What is given in float32 is computed in float64."""
    pair = make(0.4, 3.0, 0.7)  # whose quotients float32 would round
    t_x, t_y = (3.0 * T_X).astype(np.float32), (0.7 * T_Y).astype(np.float32)
    x = np.array([-1.3, 0.4, 1.1], np.float32)
    for operand, t in (("x", t_x), ("y", t_y)):
        calls = {
            "pdf": (x,), "weight": (x,), "cell_moments": (t,),
            "conditional_cells": (x, t_y if operand == "x" else t_x),
        }  # fmt: skip
        for name, given in calls.items():
            found = getattr(pair, name)(*given, operand=operand)
            wide = getattr(pair, name)(*(z.astype(np.float64) for z in given), operand=operand)
            assert_array_equal(found, wide, err_msg=name)
    t_x = np.append(t_x, np.float32(70.0))  # far out, where a power law's cells are its own
    wide = pair.joint_cells(t_x.astype(np.float64), t_y.astype(np.float64))
    assert_array_equal(pair.joint_cells(t_x, t_y), wide)


@pytest.mark.parametrize("rho", [0.99999, -0.99999])
def test_the_numerical_fall_back_resolves_the_steps_near_a_line(rho):
    pair = ql.GaussianPair(rho, 2.0, 0.5)
    t_x, t_y = 2.0 * T_X, 0.5 * T_Y
    for ours, theirs in zip(
        pair.joint_cells(t_x, t_y), Pair.joint_cells(pair, t_x, t_y), strict=True
    ):
        assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("make", [ql.GaussianPair, ql.UniformCopulaPair])
def test_without_correlation_cells_are_products(make):
    pair = make(0.0, 2.0, 0.5)
    mass, first = pair.joint_cells(2.0 * T_X, 0.5 * T_Y)
    x, y = pair.cell_moments(2.0 * T_X, "x"), pair.cell_moments(0.5 * T_Y, "y")
    assert_allclose(mass, np.outer(x[0], y[0]), atol=1e-13)
    assert_allclose(first, np.outer(x[1], y[1]), atol=1e-13)
