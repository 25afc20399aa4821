"""Nearest points of A2, D4 and E8; D4's and E8's are doubled, so that they are integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab.lattices.kernels import nearest_kernel

#: Second moment a dimension over volume^(2 / n): what a uniform source pays; a sphere in the limit
#: has 1 / (2 pi e) = 0.05855. Conway, Sloane, Sphere Packings, Lattices and Groups, table 2.3.
SECOND_MOMENTS = {"Z": 1 / 12, "A2": 5 / (36 * 3**0.5), "D4": 0.0766032, "E8": 929 / 12960}
DIMENSIONS = {"D4": 4, "E8": 8}


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
    n = rows.shape[1]
    blocks = rows if n == 8 else np.pad(rows, ((0, 0), (0, 8 - n)))
    found = np.empty(blocks.shape, np.int32)
    nearest_kernel(blocks, lattice == "E8", found)
    return found[:, :n]


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
