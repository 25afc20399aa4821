"""Nearest points of A2, D4 and E8; D4's and E8's are doubled, so that they are integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab._jit import kernel

#: Second moment a dimension over volume^(2 / n): what a uniform source pays; a sphere in the limit
#: has 1 / (2 pi e) = 0.05855. Conway, Sloane, Sphere Packings, Lattices and Groups, table 2.3.
SECOND_MOMENTS = {"Z": 1 / 12, "A2": 5 / (36 * 3**0.5), "D4": 0.0766032, "E8": 929 / 12960}
DIMENSIONS = {"D4": 4, "E8": 8}


@kernel
def _checkerboard(x, n, shift, found):  # type: ignore[no-untyped-def]
    """found = 2 (nearest point of D_n + shift) to x; the squared distance."""
    total, worst, at, distance = 0, -1.0, 0, 0.0
    for i in range(n):
        t = x[i] - shift
        r = np.rint(t)
        total += int(r)
        off = t - r
        distance += off * off
        if abs(off) > worst:
            worst, at = abs(off), i
        found[i] = int(2 * r + 2 * shift)
    if total & 1:  # the coordinate that is farthest from its integer goes to the other side
        off = x[at] - 0.5 * found[at]
        found[at] += 2 if off >= 0 else -2
        distance += 1 - 2 * abs(off)
    return distance


@kernel
def nearest_kernel(x, n, halves, found, other):  # type: ignore[no-untyped-def]
    """found (n,) = 2 (nearest point to x (n,)) of D_n or, with halves, of D_n and D_n + 1/2."""
    best = _checkerboard(x, n, 0.0, found)
    if halves:
        second = _checkerboard(x, n, 0.5, other)
        if second < best:
            found[:] = other[:]


@kernel
def _nearest_rows(x, halves, found):  # type: ignore[no-untyped-def]
    other = np.empty(x.shape[1], np.int32)
    for i in range(x.shape[0]):
        nearest_kernel(x[i], x.shape[1], halves, found[i], other)


def nearest_points(lattice: str, x: ArrayLike) -> NDArray[np.int32]:
    """Twice the nearest point of "D4" or "E8" to each row of x (m, n).

    Ties: a coordinate halfway between integers goes to the even one; of several coordinates that
    are equally far from theirs the first moves, upwards if it is at its integer; of D8 and
    D8 + 1/2 the first.

    Examples
    --------
    >>> nearest_points("D4", [[0.9, 0.2, 0.0, 0.0]])
    array([[2, 2, 0, 0]], dtype=int32)
    """
    if lattice not in DIMENSIONS:
        raise ValueError(f"lattice must be one of {tuple(DIMENSIONS)}; got {lattice!r}")
    rows = np.ascontiguousarray(x, np.float64)
    if rows.ndim != 2 or rows.shape[1] != DIMENSIONS[lattice] or not np.all(np.isfinite(rows)):
        raise ValueError(f"x must be finite, of shape (m, {DIMENSIONS[lattice]}); got {rows.shape}")
    found = np.empty(rows.shape, np.int32)
    _nearest_rows(rows, lattice == "E8", found)
    return found


def nearest_a2(x: ArrayLike) -> NDArray[np.float64]:
    """Nearest points of the hexagonal lattice with unit distances to each row of x (m, 2).

    Examples
    --------
    >>> nearest_a2([[0.4, 0.8]]).round(4)
    array([[0.5  , 0.866]])
    """
    rows = np.asarray(x, np.float64)
    cell = np.array([1.0, np.sqrt(3.0)])
    # two rectangular lattices, the second moved by half a cell
    first = np.rint(rows / cell) * cell
    second = (np.rint(rows / cell - 0.5) + 0.5) * cell
    nearer = np.sum((rows - second) ** 2, axis=-1) < np.sum((rows - first) ** 2, axis=-1)
    return np.where(nearer[..., None], second, first)
