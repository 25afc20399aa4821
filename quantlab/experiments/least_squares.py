"""Least squares from coded products: the normal equations, and gradient descent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.design import design_empirical
from quantlab.experiments.designs import codebooks
from quantlab.formats import FORMATS
from quantlab.pairs import EmpiricalPair, GaussianPair
from quantlab.sweep import Row

Matrix = NDArray[np.float32]

METHODS = ("cross", "once", "twice", "descent")
#: "gaussian_compander" is the closed form at rho = 0.
LEAST_SQUARES_DESIGNS = (
    "int_absmax", "gaussian_compander", "lloyd_max", "closed_form", "weighted_lloyd_max",
    "bilinear", "empirical",
)  # fmt: skip


def least_squares_errors(
    rng: np.random.Generator,
    rho: float,
    method: str = "cross",
    n_levels: int = 16,
    designs: Sequence[str] = LEAST_SQUARES_DESIGNS,
    samples: int = 512,
    features: int = 1,
    targets: int = 32,
    steps: int = 30,
) -> list[Row]:
    r"""One trial: how far coded products lead the solution of a least-squares problem astray.

    .. math:: W^\star = \arg\min_W \|X W - Y\|_F, \qquad
              \mathrm{error} = \|W - W^\star\|_F / \|W^\star\|_F

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the problem.
    rho : float
        Correlation of every feature with every target, and of features with each other, in
        (-1, 1): X^T and Y are the matrices of a Gaussian pair.
    method : {"cross", "once", "twice", "descent"}
        Which products are coded. The normal equations X^T X W = X^T Y with: "cross" X^T Y coded,
        X^T X exact; "once" X and Y coded for X^T Y, and the coded X used in X^T X too; "twice"
        both products coded, each by codebooks of its own. "descent": from W = 0,
        W <- W - X^T (X W - Y) / eig_max(X^T X), both products coded anew at every step.
    n_levels : int
        K of both operands.
    designs : sequence of str
        Names of `LEAST_SQUARES_DESIGNS` or `FORMATS`. Those of a law take rho and the scales of
        each product's own operands (`EmpiricalPair.gaussian`); formats and "empirical" take the
        operands.
    samples, features, targets : int
        Shapes of X (samples, features) and of Y (samples, targets).
    steps : int
        Of gradient descent.

    Returns
    -------
    list of dict
        A row a design: `design`, `error`; and `floor`, the error of the same method without
        quantization (finitely many steps of descent have not converged).

    Notes
    -----
    W's error is (X^T X)^-1 times the products'. With several features it counts least along their
    shared direction, where the product's error, and what a design for the product gains, is
    largest; and with X coded in X^T X too, much of the error of X^T Y cancels. A design for the
    product is therefore no safe choice here: the experiment shows where it helps and where not.

    Examples
    --------
    >>> rows = least_squares_errors(np.random.default_rng(0), 0.6, designs=["closed_form"])
    >>> 0.001 < rows[0]["error"] < 0.3
    True
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; got {method!r}")
    pair = GaussianPair(rho)
    if abs(pair.rho) == 1 and features > 1:
        raise ValueError(f"rho must lie in (-1, 1) for more than one feature; got {rho}")
    transposed, y = pair.sample_matrices(features, samples, targets, rng)
    x = np.ascontiguousarray(transposed.T)
    best = np.linalg.lstsq(x.astype(np.float64), y.astype(np.float64))[0]
    floor = _distance(_solve(x, y, method, None, n_levels, steps), best)
    return [
        {
            "design": design,
            "error": _distance(_solve(x, y, method, design, n_levels, steps), best),
            "floor": floor,
        }
        for design in designs
    ]


def _solve(
    x: Matrix, y: Matrix, method: str, design: str | None, n_levels: int, steps: int
) -> NDArray:
    if method == "descent":
        rate = np.float32(1.0 / np.linalg.norm(x, 2) ** 2)
        w = np.zeros((x.shape[1], y.shape[1]), np.float32)
        for step in range(check.count(steps, "steps")):
            fitted = _product(x, w, design, n_levels) if step else 0.0
            w = w - rate * _product(x.T, fitted - y, design, n_levels)
        return w
    left, right = _coded(x.T, y, design, n_levels)
    gram = {
        "cross": lambda: x.T @ x,
        "once": lambda: left @ left.T,
        "twice": lambda: _product(x.T, x, design, n_levels),
    }[method]()
    return np.linalg.solve(gram.astype(np.float64), (left @ right).astype(np.float64))


def _product(a: Matrix, b: Matrix, design: str | None, n_levels: int) -> Matrix:
    coded_a, coded_b = _coded(a, b, design, n_levels)
    return coded_a @ coded_b


def _coded(a: Matrix, b: Matrix, design: str | None, n_levels: int) -> tuple[Matrix, Matrix]:
    """Both operands after coding by `design`, fitted to them; None: as they are."""
    if design is None:
        return a, b
    cb_x, cb_y = _fitted(a, b, design, n_levels)
    return encode(a, cb_x).decode(), encode(b, cb_y).decode()


def _fitted(a: Matrix, b: Matrix, design: str, n_levels: int) -> tuple[Codebook, Codebook]:
    if design == "empirical":
        return design_empirical((a, b), n_levels)
    if design in FORMATS:
        return FORMATS[design]((a, b), n_levels)
    law = EmpiricalPair(a, b).gaussian()
    # a codebook of unit scales for each hundredth of rho: descent asks for hundreds of them
    cb_x, cb_y = codebooks(GaussianPair(round(law.rho, 2)), design, n_levels, a.shape[1])
    return _stretched(cb_x, law.sigma_x), _stretched(cb_y, law.sigma_y)


def _stretched(book: Codebook, scale: float) -> Codebook:
    return Codebook(book.centers * scale, book.thresholds * scale, book.info)


def _distance(w: NDArray, best: NDArray) -> float:
    return float(np.linalg.norm(w - best) / np.linalg.norm(best))
