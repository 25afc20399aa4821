"""Codebooks for codes of variable length: the least exact error at a given entropy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.design._product_error import Point, ProductError
from quantlab.design.bilinear import _smooth, design_bilinear
from quantlab.entropy import entropy_bits
from quantlab.pairs import OPERANDS, Operand, Pair
from quantlab.pairs._mixture import NormalMixture
from quantlab.pairs.base import FloatArray

_MOST_BITS = 6.5
_MOST_LEVELS = 511
_COARSE, _FINE = 4.0, 5.0  # bits below which, and from which on, starts are others
_THINNING = 40  # steps from a finer grid down to the entropy
_MOST_NORMALS = 8  # laws of more have two starts: their cells take a hundred times as long
_REACHED = 1e-6  # bits
_WORK, _LEAST_ROUNDS, _MOST_ROUNDS = 3000, 6, 150  # rounds of Lloyd's iteration
_FLAT = 1e-5  # stop when rounds lower the error by smaller shares
_SECANTS = 5
_EMPTY = 1e-10  # a cell of less probability is dropped


@dataclass(frozen=True)
class _State:
    """A pair of codebooks in standard deviations."""

    theta: FloatArray
    point: Point
    problem: ProductError

    @property
    def entropies(self) -> tuple[float, float]:
        mass = self.point.mass
        return entropy_bits(mass.sum(axis=1)), entropy_bits(mass.sum(axis=0))

    @property
    def bits(self) -> float:
        return 0.5 * sum(self.entropies)


def design_entropy_coded(
    pair: Pair, bits: float, inner_dim: int | None = None
) -> tuple[Codebook, Codebook]:
    r"""Codebooks of least exact product error whose codes have a given entropy.

    .. math:: \min \mathrm{mse}(k) \quad\text{where}\quad \tfrac12 (H_X + H_Y) = R, \qquad
              H = -\sum_i p_i \log_2 p_i

    over centres, thresholds and numbers of levels of both codebooks.

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    bits : float
        R, from 0.05 to 6.5 bits an entry: what an ideal entropy coder writes. The levels
        are many more than 2^R, up to 511; `encode` takes 256.
    inner_dim : int, optional
        k of the exact error; 1 unless given.

    Returns
    -------
    (Codebook, Codebook)
        For X and Y, with `info["entropy"]` and `info["nmse"]`, which `codebook_entropy` and
        `exact_mse` confirm.

    Raises
    ------
    ValueError, TypeError
        If bits or inner_dim is not valid, or E[X^2 Y^2] is infinite.

    Notes
    -----
    Entropy-constrained Lloyd on equation (1): given the other codebook and b = E[e], x goes to the
    cell i of least c_i^2 P(x) - 2 c_i Q(x) - mu ln p_i, with P(x) = E[Yq^2 | x] and
    Q(x) = x E[Y Yq | x] + (k - 1) b E[Yq | x]; then centres are re-solved exactly, and all
    thresholds stretched so that the entropy is R again. A round is shortened until the error
    falls; the price mu follows what a round does to the entropy. Starts, each descended and the
    best end returned: the uniform grid of this entropy, with 0 a level or a border, so that no
    uniform grid is better; sqrt(w) of `PointDensity`; below 4 bits grids of one bit more whose
    price grows until the bit is gone; uniform grids of unequal entropies; the fixed-length
    bilinear optimum. Optima are many where |rho| is large and bits are few, and there is no proof
    that the best is among them. The gain is in the centres. A second or a few for Gaussian pairs.
    Student-t and Laplace ones, whose joint cells are sums over many normals, have two starts and
    take minutes.

    Choosing: for codes that are stored or sent through an entropy coder. Codes of fixed length
    want `design_bilinear`.

    Examples
    --------
    >>> from quantlab import GaussianPair, exact_mse
    >>> pair = GaussianPair(rho=0.8)
    >>> books = design_entropy_coded(pair, 2.0)
    >>> round(sum(book.info["entropy"] for book in books) / 2, 9)
    2.0
    >>> f"{exact_mse(pair, *books).nmse:.3f}"
    '0.064'
    """
    rate = check.finite_real(bits, "bits")
    if not 0.05 <= rate <= _MOST_BITS:
        raise ValueError(f"bits must lie in 0.05 .. {_MOST_BITS}; got {rate:g}")
    k = 1 if inner_dim is None else check.count(inner_dim, "inner_dim")
    law, e_x, e_y = pair.unit()
    if not np.isfinite(law.mean_square_product):
        raise ValueError(f"design_entropy_coded needs a finite E[X^2 Y^2]; {pair!r} has none")
    smooth = _smooth(law)
    best: tuple[_State, str] | None = None
    for name, state in _starts(smooth, rate, k):
        # on fine grids a descent from the uniform one is long, and does not lead further
        fine = rate >= _FINE and name == "uniform"
        found = (_at_entropy(state, rate) or state) if fine else _descend(state, rate)
        reached = abs(found.bits - rate) < _REACHED
        if best is None or (reached and found.point.nmse < best[0].point.nmse):
            best = found, name
    assert best is not None
    return _codebooks(*best, smooth, k, (e_x, e_y))


def uniform_at_entropy(
    pair: Pair, bits: float, inner_dim: int | None = None
) -> tuple[Codebook, Codebook]:
    """Uniform cells, one about 0, of entropy `bits` each, with the best centres for the product."""
    law, e_x, e_y = pair.unit()
    k = 1 if inner_dim is None else check.count(inner_dim, "inner_dim")
    smooth = _smooth(law)
    rate = check.finite_real(bits, "bits")
    state = _uniform(smooth, (rate, rate), k, middle=True)
    return _codebooks(state, "uniform", smooth, k, (e_x, e_y), "uniform_entropy")


def _starts(pair: Pair, rate: float, k: int) -> Iterator[tuple[str, _State]]:
    """Names and states; the first is of the entropy that is asked for."""
    yield "uniform", _uniform(pair, (rate, rate), k, middle=True)
    if rate >= 1:
        yield "companded", _companded(pair, rate, k)
    if isinstance(pair, NormalMixture) and pair.components.masses.size > _MOST_NORMALS:
        return
    if rate < _COARSE:
        for middle in (True, False):
            finer = _uniform(pair, (rate + 1, rate + 1), k, middle)
            yield "thinned" + ("" if middle else ", no level at 0"), _thinned(finer, rate)
    if 1 <= rate < 3:
        yield "uniform, no level at 0", _uniform(pair, (rate, rate), k, middle=False)
        yield "unequal", _uniform(pair, (rate + 0.3, rate - 0.3), k, middle=False)
    if rate <= 2.5:
        books = design_bilinear(pair, int(np.ceil(2 ** (rate + 0.3))), k)
        fixed = [part for book in books for part in (book.centers, book.thresholds)]
        scales = np.repeat([pair.sigma_x, pair.sigma_y], 2)
        theta = np.concatenate([part / s for part, s in zip(fixed, scales, strict=True)])
        sizes = (books[0].n_levels, books[1].n_levels)
        state = _settled(ProductError(pair, sizes, k), theta)
        if state is not None:
            yield "bilinear", state


def _thinned(state: _State, rate: float) -> _State:
    """From a finer state: the price of a bit grows until the entropy is down to `rate`."""
    price, most = state.point.nmse * np.log(2), (state.bits - rate) / _THINNING
    for _ in range(3 * _THINNING):
        moved = _lloyd(state, price, 1.0)
        if moved is None or moved.bits <= rate:
            return moved or state
        if state.bits - moved.bits < most:
            price *= 1.05
        state = moved
    return state


def _state(pair: Pair, centers: list[FloatArray], k: int) -> _State:
    theta = np.concatenate([part for c in centers for part in (c, 0.5 * (c[:-1] + c[1:]))])
    problem = ProductError(pair, (centers[0].size, centers[1].size), k)
    found = _settled(problem, theta)
    assert found is not None
    return found


def _settled(problem: ProductError, theta: FloatArray) -> _State | None:
    """With its best centres, and without the cells that hold nothing; None if one is left."""
    point = problem.at(theta)
    kept = [point.mass.sum(axis=axis) > _EMPTY for axis in (1, 0)]
    if min(keep.sum() for keep in kept) < 2:
        return None
    if not all(keep.all() for keep in kept):
        c_x, t_x, c_y, t_y = problem.split(theta)
        parts = []
        for c, t, keep in ((c_x, t_x, kept[0]), (c_y, t_y, kept[1])):
            # a dropped cell joins the one below it; the first kept one takes all below
            parts += [c[keep], t[keep[1:]][-(int(keep.sum()) - 1) :]]
        theta = np.concatenate(parts)
        problem = ProductError(problem.pair, (parts[0].size, parts[2].size), problem.inner_dim)
        point = problem.at(theta)
    point = problem.best_centers(point, 4)
    return _State(point.theta, point, problem)


def _grid_entropy(pair: Pair, operand: Operand, step: float, size: int) -> float:
    cuts = step * (np.arange(size - 1) - (size - 2) / 2)
    return entropy_bits(pair.cell_moments(cuts * pair.sigma(operand), operand)[0])


def _uniform(pair: Pair, rates: tuple[float, float], k: int, middle: bool) -> _State:
    """Uniform grids of these entropies, with a level or a border at 0."""
    size = _MOST_LEVELS if middle else _MOST_LEVELS - 1
    centers = []
    for operand, rate in zip(OPERANDS, rates, strict=True):
        low, high = np.log(2.0**-rate / 8), np.log(64.0)
        for _ in range(60):
            step = float(np.exp(0.5 * (low + high)))
            if _grid_entropy(pair, operand, step, size) > rate:
                low = np.log(step)
            else:
                high = np.log(step)
        grid: FloatArray = np.exp(low) * (np.arange(size, dtype=np.float64) - (size - 1) / 2)
        centers.append(_shortened(pair, operand, grid, rate))
    return _state(pair, centers, k)


def _companded(pair: Pair, rate: float, k: int) -> _State:
    """Centres spread as sqrt(w), as many to a unit as give the entropy."""
    centers = []
    for operand in OPERANDS:
        density = PointDensity.entropy_coded(pair, operand)
        low, high = 1.0, 1e5
        for _ in range(60):
            points = float(np.sqrt(low * high))
            c = _shortened(pair, operand, _spread(density, points), rate)
            t = 0.5 * (c[:-1] + c[1:]) * pair.sigma(operand)
            if entropy_bits(pair.cell_moments(t, operand)[0]) > rate:
                high = points
            else:
                low = points
            if high / low < 1.001:
                break
        centers.append(c)
    return _state(pair, centers, k)


def _spread(density: PointDensity, points: float) -> FloatArray:
    """The middle `_MOST_LEVELS` of centres at distances 1 / points in rank, 0 among them."""
    half = min(int(0.5 * points), _MOST_LEVELS // 2)
    return density.ppf(0.5 + np.arange(-half, half + 1) / (points + 1))


def _shortened(pair: Pair, operand: Operand, c: FloatArray, rate: float) -> FloatArray:
    """Without levels that next to nothing is beyond."""
    mass = pair.cell_moments(0.5 * (c[:-1] + c[1:]) * pair.sigma(operand), operand)[0]
    beyond = np.minimum(np.cumsum(mass), np.cumsum(mass[::-1])[::-1])
    keep = beyond > 2.0 ** -max(34 - 2 * rate, 11 + 2 * rate)
    return c[keep] if keep.sum() >= 2 else c[c.size // 2 - 1 : c.size // 2 + 1]


def _descend(state: _State, rate: float) -> _State:
    """Rounds of Lloyd's iteration, each brought back to the entropy; the error falls in each."""
    state = _at_entropy(state, rate) or state
    price = state.point.nmse * np.log(2)  # -dD/dH_X, where D ~ (4^-H_X + 4^-H_Y) / 2
    share, still = 1.0, 0
    rounds = _WORK // max(state.problem.levels)
    for _ in range(min(max(rounds, _LEAST_ROUNDS), _MOST_ROUNDS)):
        moved = _lloyd(state, price, share)
        found = moved and _at_entropy(moved, rate)
        # bits that a round adds were too cheap
        added = moved.bits - rate if moved else 0.0
        price *= float(np.exp(np.clip(3 * added / share, -0.5, 0.5)))
        if found is None or found.point.nmse >= state.point.nmse:
            if abs(added) < 0.02 * share or found is None:
                share *= 0.5
            if share < 0.02:
                break
            continue
        fall = 1 - found.point.nmse / state.point.nmse
        state, share = found, min(1.0, 1.5 * share)
        still = still + 1 if fall < _FLAT else 0
        if still == 3:
            break
    return state


def _at_entropy(state: _State, rate: float) -> _State | None:
    """Thresholds stretched about 0 until the entropy is `rate`; None if that cannot be."""
    pair, problem = state.problem.pair, state.problem
    c_x, t_x, c_y, t_y = problem.split(state.theta)

    def bits(stretch: float) -> float:
        masses = (
            pair.cell_moments(stretch * t * pair.sigma(operand), operand)[0]
            for t, operand in zip((t_x, t_y), OPERANDS, strict=True)
        )
        return 0.5 * sum(map(entropy_bits, masses))

    low, high = 0.5, 2.0  # wider cells, fewer bits
    if not bits(high) < rate < bits(low):
        return None
    from scipy.optimize import brentq

    stretch = float(brentq(lambda s: bits(s) - rate, low, high, xtol=1e-13))
    return _settled(problem, np.concatenate([c_x, stretch * t_x, c_y, stretch * t_y]))


def _lloyd(state: _State, price: float, share: float) -> _State | None:
    """New thresholds of X, then of Y, moved by `share` of the way; best centres after each."""
    for side in (0, 1):
        problem = state.problem
        parts = problem.split(state.theta)
        own = parts[2 * side + 1]
        cuts = own + share * (_cuts(state, side, price) - own)
        # borders that cross: the cells between them are empty
        behind = np.minimum.accumulate(cuts[::-1])[::-1]
        parts[2 * side + 1] = 0.5 * (np.maximum.accumulate(cuts) + behind)
        found = _settled(problem, np.concatenate(parts))
        if found is None:
            return None
        state = found
    return state


def _cuts(state: _State, side: int, price: float) -> FloatArray:
    """Thresholds of one operand: where neighbours cost the same, sought in between centres."""
    problem, pair = state.problem, state.problem.pair
    parts = problem.split(state.theta)
    c, t = parts[2 * side : 2 * side + 2]
    other_c, other_t = parts[2 - 2 * side : 4 - 2 * side]
    operand, other = OPERANDS[side], OPERANDS[1 - side]
    mass = state.point.mass.sum(axis=1 - side)
    length = -np.log(mass)
    pull = (problem.inner_dim - 1) * state.point.mean_error
    scale, other_scale = pair.sigma(operand), pair.sigma(other)

    def excess(x: FloatArray) -> FloatArray:
        """What the upper neighbour costs more, at one x for each border."""
        p, first = pair.conditional_cells(x * scale, other_t * other_scale, operand)
        square = p @ other_c**2
        along = x * (first @ other_c) / other_scale + pull * (p @ other_c)
        told = (c[1:] ** 2 - c[:-1] ** 2) * square - 2 * (c[1:] - c[:-1]) * along
        return told + price * problem.scale / np.log(2) * (length[1:] - length[:-1])

    low = np.concatenate([[t[0] - (t[1] - t[0] if t.size > 1 else 1.0)], t[:-1]])
    high = np.concatenate([t[1:], [t[-1] + (t[-1] - t[-2] if t.size > 1 else 1.0)]])
    at_low, at_high = excess(low), excess(high)
    good = (at_low > 0) & (at_high < 0)
    # regula falsi from where the borders are; an end that stays counts half the next time
    # (Illinois), so that both come near
    f_low, f_high, middle = at_low, at_high, t
    for _ in range(_SECANTS):
        value = excess(middle)
        above = value > 0
        f_low, f_high = np.where(above, value, 0.5 * f_low), np.where(above, 0.5 * f_high, value)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = (low * f_high - high * f_low) / (f_high - f_low)
        middle = np.where((middle >= low) & (middle <= high), middle, 0.5 * (low + high))
    found = np.where(good, middle, t)
    # no crossing between the neighbouring borders: move there
    found = np.where(at_high >= 0, 0.5 * (t + high), found)
    return np.where(at_low <= 0, 0.5 * (t + low), found)


def _codebooks(
    state: _State,
    start: str,
    pair: Pair,
    k: int,
    exponents: tuple[int, int],
    design: str = "entropy_coded",
) -> tuple[Codebook, Codebook]:
    c_x, t_x, c_y, t_y = state.problem.split(state.theta)
    energy_x = state.point.mass.sum(axis=1) @ c_x**2
    energy_y = state.point.mass.sum(axis=0) @ c_y**2
    balance = (energy_y / energy_x) ** 0.25 if energy_x > 0 < energy_y else 1.0
    books = []
    for side, (c, t) in enumerate(((c_x * balance, t_x), (c_y / balance, t_y))):
        scale = pair.sigma(OPERANDS[side])
        info = {
            "design": design, "operand": OPERANDS[side], "inner_dim": k, "start": start,
            "entropy": state.entropies[side], "nmse": state.point.nmse,
        }  # fmt: skip
        books.append(Codebook(c * scale, t * scale, info).in_units(exponents[side]))
    return books[0], books[1]
