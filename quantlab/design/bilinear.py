"""Codebooks that minimise the exact error of the product at finite K and k."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Literal

import numpy as np

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.design._product_error import Point, ProductError, minimize
from quantlab.design.lloyd_max import design_lloyd_max
from quantlab.pairs import OPERANDS, Operand, Pair
from quantlab.pairs.base import FloatArray
from quantlab.progress import Meter, Progress

# at |rho| = 1 the error has corners where thresholds of X and Y meet: it is smoothed by this much
_SMOOTHING = 1e-9
_CENTER_ROUNDS = 3
_MOST_LOPSIDED = 64  # levels: "auto" tries no more, which would take long and gain little


def design_bilinear(
    pair: Pair,
    n_levels: int | tuple[int, int],
    inner_dim: int | None = None,
    *,
    symmetric: bool | Literal["auto"] = "auto",
    progress: Progress = None,
) -> tuple[Codebook, Codebook]:
    r"""Codebooks of least exact product error, centres and thresholds of both at once.

    .. math::
        \min_{c_X, t_X, c_Y, t_Y}\; k E[e^2] + k (k-1) (E[e])^2, \qquad e = XY - \hat X \hat Y

    At the optimum, with b = E[e], P(x) = E[Yq^2 | x] and Q(x) = x E[Y Yq | x] + (k-1) b E[Yq | x],
    each centre is sum Q / sum P over its cell and each threshold is where Q / P passes the mean
    of its two centres (the "bilinear Lloyd-Max" conditions), and the same for Y.

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    n_levels : int or (int, int)
        K, or (K_X, K_Y); each at least 2.
    inner_dim : int, optional
        k, the number of products summed in one entry of C; None means 1.
    symmetric : bool or "auto"
        "auto": the better of the two (up to K = 64; symmetric beyond). True: each codebook is
        symmetric about 0, as the law is; thresholds and centres of X and of Y may still differ
        from each other, and do at large |rho|. False: no such constraint, and more starts; about
        four times slower.
    progress : callable or True, optional
        progress(done, total, seconds left) at each start's end; True: a bar of tqdm's.

    Returns
    -------
    (Codebook, Codebook)
        For X and for Y, in the data's own unit, scaled so that both have the same relative
        energy E[Xq^2] / sigma_X^2. `info["trace"]` is the nmse after each step of the start that
        won, strictly falling; `info["nmse"]` its last value; `info["start"]` that start's name;
        `info["symmetric"]` whether both codebooks are symmetric.

    Raises
    ------
    ValueError, TypeError
        If a number of levels is below 2 or inner_dim below 1, or not an integer; ValueError too
        if E[X^2 Y^2] is infinite, or symmetric is something else.

    Notes
    -----
    Derived in notebooks/04. The error is not convex: damped Newton (closed gradient and Hessian
    from the joint cell moments, centres re-solved exactly after each step) descends from several
    starts, and the best end is returned. From |rho| = 0.85 or so the best symmetric pair is
    STAGGERED: thresholds of one codebook lie between those of the other. There the best pair of
    all SHARES THE WORK: X resolves one half of the line with large centres, Y the other half,
    and where one resolves the other is small and nearly constant, so that an entry's code is not
    near the entry while the product is right. It has 0.87 of the symmetric optimum's error at
    rho .95, K 7, k 64, and half of it at K 3. Much of that error is of rare products, of two large
    centres that meet: a sample may hold none of them, and beside that law it may be anything. For
    data take `symmetric=True`, which is what `DESIGNS` holds, or `design_empirical`. As |rho| -> 1
    the centres run away, and the descent ends where float64 cannot tell the error to a millionth.
    At |rho| = 1 the design is that of |rho| = 1 - 1e-9.

    Choosing: the best codebooks for a known law. `design_companding` is its limit as K grows with
    k fixed; for two given matrices use `design_empirical`.

    Examples
    --------
    >>> from quantlab import GaussianPair, exact_mse
    >>> pair = GaussianPair(rho=0.8)
    >>> cb_x, cb_y = design_bilinear(pair, n_levels=16, inner_dim=256)
    >>> cb_x.centers[8:].round(3)
    array([0.213, 0.615, 0.984, 1.342, 1.708, 2.112, 2.6  , 3.323])
    >>> f"{exact_mse(pair, cb_x, cb_y, inner_dim=256).nmse:.3e}"
    '1.911e-04'
    """
    levels = check.levels(n_levels)
    k = 1 if inner_dim is None else check.count(inner_dim, "inner_dim")
    law, e_x, e_y = pair.unit()
    if not np.isfinite(law.mean_square_product):
        raise ValueError(f"design_bilinear needs a finite E[X^2 Y^2]; {pair!r} has none")
    if not (isinstance(symmetric, bool) or symmetric == "auto"):
        raise ValueError(f'symmetric must be True, False or "auto"; got {symmetric!r}')
    pair = _smooth(law)
    starts = _starts(pair, levels, symmetric)
    best: tuple[ProductError, Point, dict[str, object]] | None = None
    with Meter(progress, len(starts), label="design_bilinear") as meter:
        for name, kind, theta in starts:
            problem = ProductError(pair, levels, k, kind)
            start = problem.best_centers(problem.at(theta), _CENTER_ROUNDS)
            point, trace = minimize(problem, start)
            if best is None or point.nmse < best[1].nmse * (1 - 1e-9):
                info = {
                    "design": "bilinear", "inner_dim": k, "start": name, "symmetric": kind,
                    "nmse": point.nmse, "trace": trace,
                }  # fmt: skip
                best = problem, point, info
            meter.add()
    assert best is not None
    cb_x, cb_y = _codebooks(*best)
    return cb_x.in_units(e_x), cb_y.in_units(e_y)


def _smooth(pair: Pair) -> Pair:
    """The pair itself, or its neighbour inside |rho| < 1."""
    if abs(pair.rho) <= 1 - _SMOOTHING:
        return pair
    if not is_dataclass(pair) or "rho" not in {f.name for f in fields(pair)}:
        raise ValueError(f"design_bilinear needs |rho| < 1 for {type(pair).__name__}")
    return replace(pair, rho=float(np.sign(pair.rho)) * (1 - _SMOOTHING))


def _starts(
    pair: Pair, levels: tuple[int, int], symmetric: bool | str
) -> list[tuple[str, bool, FloatArray]]:
    """Names, whether the descent keeps to symmetric codebooks, and where it starts."""
    books = design_lloyd_max(pair, levels, weighted=True)
    odd = [(name, True, theta) for name, theta in _symmetric_starts(pair, books)]
    if symmetric is True or (symmetric == "auto" and max(levels) > _MOST_LOPSIDED):
        return odd
    free = [(name, False, theta) for name, theta in _lopsided_starts(pair, books)]
    # of these the others find nothing that is better by more than 3e-4
    return odd + free[:1] if symmetric == "auto" else free


def _symmetric_starts(
    pair: Pair, books: tuple[Codebook, Codebook]
) -> Iterator[tuple[str, FloatArray]]:
    """Named starts (c_x, t_x, c_y, t_y) in standard deviations."""
    yield "weighted_lloyd_max", _midpoint_theta(_unit_centers(pair, books))
    levels = [book.n_levels for book in books]
    for name, sign in (("staggered", 1.0), ("staggered_back", -1.0)):
        spread = [
            _quantiles(pair, operand, k, spread=side * sign)
            for operand, k, side in zip(OPERANDS, levels, (1.0, -1.0), strict=True)
        ]
        yield name, _midpoint_theta(spread)
        if levels[0] == levels[1]:
            break  # the other way round is the same with X and Y exchanged


def _lopsided_starts(
    pair: Pair, books: tuple[Codebook, Codebook]
) -> Iterator[tuple[str, FloatArray]]:
    """The same; a start with both operands mirrored would find the mirrored end."""
    levels = [book.n_levels for book in books]
    sides = (1.0, -1.0 if pair.rho >= 0 else 1.0)
    yield "interleaved", _midpoint_theta([
        _quantiles(pair, operand, k, shift=0.25 * side)
        for operand, k, side in zip(OPERANDS, levels, sides, strict=True)
    ])  # fmt: skip
    yield from _symmetric_starts(pair, books)
    centers = _unit_centers(pair, books)
    yield "shifted", _midpoint_theta([c + 0.3 * s for c, s in zip(centers, sides, strict=True)])
    yield (
        "leaning",
        _midpoint_theta([c + 0.3 * abs(s) for c, s in zip(centers, sides, strict=True)]),
    )


def _unit_centers(pair: Pair, books: tuple[Codebook, Codebook]) -> list[FloatArray]:
    return [book.centers / pair.sigma(side) for book, side in zip(books, OPERANDS, strict=True)]


def _quantiles(
    pair: Pair, operand: Operand, k: int, *, spread: float = 0.0, shift: float = 0.0
) -> FloatArray:
    """Centres of the closed form, ranks spread (1) or drawn in (-1) by half a cell, or shifted."""
    rank = 0.5 + ((np.arange(k) + 0.5 + shift) / k - 0.5) * (1 + 0.5 * spread / k)
    return PointDensity.optimal(pair, operand).ppf(rank)


def _midpoint_theta(centers: list[FloatArray]) -> FloatArray:
    return np.concatenate([part for c in centers for part in (c, 0.5 * (c[:-1] + c[1:]))])


def _codebooks(
    problem: ProductError, point: Point, info: dict[str, object]
) -> tuple[Codebook, Codebook]:
    """Only the product of the two scales matters: balance them, and go back to the data's unit."""
    c_x, t_x, c_y, t_y = problem.split(point.theta)
    energy_x = point.mass.sum(axis=1) @ c_x**2
    energy_y = point.mass.sum(axis=0) @ c_y**2
    balance = (energy_y / energy_x) ** 0.25
    s_x, s_y = problem.pair.sigma_x, problem.pair.sigma_y
    return (
        Codebook(c_x * (balance * s_x), t_x * s_x, {**info, "operand": "x"}),
        Codebook(c_y * (s_y / balance), t_y * s_y, {**info, "operand": "y"}),
    )
