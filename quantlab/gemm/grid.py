"""Centres on an integer grid: c_i ~ s q_i, |q_i| <= limit, with the least added error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from quantlab.codes import CodedMatrix

_SAMPLES = 1024
_CANDIDATES = 64


@dataclass(frozen=True)
class Snapped:
    """Integers q by code, scale s; mean squares of c - s q, of the coding error, and of c.

    `table` has 256 entries; with K <= 16 the first 16 recur, for look-ups by whole bytes.
    """

    table: NDArray[np.int16]
    scale: float
    added: float
    coding: float
    energy: float


def snap(coded: CodedMatrix, limit: int) -> Snapped:
    r"""Snap a coded matrix's centres to the grid s q, q integer, |q| <= limit.

    .. math:: \min_{M} \sum_i p_i (c_i - s q_i)^2, \qquad q_i = \mathrm{round}(c_i M / \max |c|)

    with p the codes' frequencies (a sample of 1024) and, for the q found, s the least-squares
    scale sum(p c q) / sum(p q^2): its error is uncorrelated with c, so that it adds no bias to a
    product. The coding error is that of uniform cells, sum(p width^2) / 12.

    Examples
    --------
    >>> from quantlab import Codebook
    >>> coded = CodedMatrix([[0, 1, 2, 3]], Codebook([-0.3, -0.1, 0.1, 0.3]))
    >>> grid = snap(coded, limit=127)
    >>> bool(np.allclose(grid.table[:4] * grid.scale, coded.codebook.centers, rtol=1e-12))
    True
    """
    found = coded._snapped.get(limit)
    if found is None:
        table = np.zeros(256, np.int16)
        centers = coded.codebook.centers
        numbers = _snap_kernel(centers, coded._data, coded._held_bits, coded.shape[1], limit, table)
        found = coded._snapped[limit] = Snapped(table, *numbers)
    return found


@njit(cache=True, nogil=True)
def _snap_kernel(centers, data, bits, columns, limit, table):  # type: ignore[no-untyped-def]
    n_levels = centers.size
    # no code's weight vanishes: one that the sample missed still has to be near
    frequency = np.full(n_levels, 0.01)
    entries = data.shape[0] * columns
    mask = (1 << bits) - 1
    flat = data.reshape(-1)
    gap = 8 * data.shape[1] - columns * bits  # unused bits at the end of a row
    # steps of the golden ratio: spread evenly, in step with neither rows nor columns
    step = max(1, int(0.6180339887498949 * entries))
    entry = 0
    for _ in range(_SAMPLES):
        entry = entry + step - (entries if entry + step >= entries else 0)
        bit = entry * bits + (entry // columns * gap if gap else 0)
        value = np.intp(flat[bit >> 3]) >> (bit & 7)
        if (bit & 7) + bits > 8:
            value |= np.intp(flat[(bit >> 3) + 1]) << (8 - (bit & 7))
        frequency[value & mask] += 1.0
    frequency /= frequency.sum()

    largest = max(abs(centers[0]), abs(centers[-1]))
    best, best_error = 1.0, np.inf
    for candidate in range(_CANDIDATES):
        inverse = (limit - candidate) / largest
        error = 0.0
        for i in range(n_levels):
            position = centers[i] * inverse
            distance = (position - np.rint(position)) / inverse
            error += frequency[i] * distance * distance
        if error < best_error:
            best, best_error = inverse, error

    along, square = 0.0, 0.0
    for i in range(n_levels):
        q = np.rint(centers[i] * best)
        for same in range(i, 256, 16 if n_levels <= 16 else 256):
            table[same] = np.int16(q)
        along += frequency[i] * q * centers[i]
        square += frequency[i] * q * q
    scale = along / square
    added, coding, energy = 0.0, 0.0, 0.0
    for i in range(n_levels):
        width = centers[min(i + 1, n_levels - 1)] - centers[max(i - 1, 0)]
        if 0 < i < n_levels - 1:
            width *= 0.5
        added += frequency[i] * (centers[i] - scale * table[i]) ** 2
        coding += frequency[i] * width * width / 12
        energy += frequency[i] * centers[i] ** 2
    return scale, added, coding, energy
