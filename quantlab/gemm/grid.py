"""Centres on an integer grid: c_i ~ s q_i, |q_i| <= limit, with the least added error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantlab._jit import kernel
from quantlab.codes import CodedMatrix

_LEAST_SAMPLES, _MOST_SAMPLES = 1 << 12, 1 << 14
_CANDIDATES = 256


@dataclass(frozen=True, eq=False)
class Snapped:
    """Integers q by code, scale s; mean squares of c - s q, of the coding error, and of c.

    `table` has 256 entries, int16 (float32 on the grid of FP8); with K <= 16 the first 16 integers
    recur, for look-ups by whole bytes.
    """

    table: NDArray
    scale: float
    added: float
    coding: float
    energy: float

    @cached_property
    def signed(self) -> NDArray[np.int8]:
        """The table as bytes."""
        return self.table.astype(np.int8)

    @cached_property
    def unsigned(self) -> NDArray[np.uint8]:
        """The table as bytes, 128 added."""
        return (self.table + 128).astype(np.uint8)


def snap(coded: CodedMatrix, limit: int) -> Snapped:
    r"""Snap a coded matrix's centres to the grid s q, q integer, |q| <= limit.

    .. math:: \min_{M} \sum_i p_i (c_i - s q_i)^2, \qquad q_i = \mathrm{round}(c_i M / \max |c|)

    with p the codes' frequencies in a sample (4096 codes or 1 in 128, at most 16,384) and, for the
    q found, s the least-squares scale sum(p c q) / sum(p q^2): the grid's error is uncorrelated
    with q, so that it adds no bias to a product. The coding error is that of uniform cells,
    sum(p width^2) / 12.

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


@kernel
def _snap_kernel(centers, data, bits, columns, limit, table):  # type: ignore[no-untyped-def]
    n_levels = centers.size
    entries = data.shape[0] * columns
    flat = data.reshape(-1)
    mask = (1 << bits) - 1
    gap = 8 * data.shape[1] - columns * bits  # unused bits at the end of a row
    samples = min(entries, min(max(entries // 128, _LEAST_SAMPLES), _MOST_SAMPLES))
    # steps of the golden ratio: spread evenly, in step with neither rows nor columns
    step = max(1, int(0.6180339887498949 * entries)) if samples < entries else 1
    counts = np.zeros((4, 256), np.int32)  # in turn: one count need not wait for the last
    entry = entries - step
    for sample in range(samples):
        entry += step if entry + step < entries else step - entries
        if bits == 8:
            counts[sample & 3, flat[entry]] += 1
            continue
        bit = entry * bits + (entry // columns * gap if gap else 0)
        value = int(flat[bit >> 3]) >> (bit & 7)
        if (bit & 7) + bits > 8:
            value |= int(flat[(bit >> 3) + 1]) << (8 - (bit & 7))
        counts[sample & 3, value & mask] += 1
    frequency = counts[:, :n_levels].sum(axis=0) / samples

    # quarters of the largest integer, or whole steps: every integer format is among them
    largest = max(abs(centers[0]), abs(centers[-1]))
    scales = largest / (limit - max(0.25, limit // 512) * np.arange(_CANDIDATES))
    inverses = 1 / scales
    errors = np.zeros(_CANDIDATES)
    for i in range(n_levels):
        # a code that the sample missed still has to be near
        weight = frequency[i] + 1e-5
        for candidate in range(_CANDIDATES):
            position = centers[i] * inverses[candidate]
            distance = (position - np.rint(position)) * scales[candidate]
            errors[candidate] += weight * distance * distance
    best = inverses[np.argmin(errors)]

    along, square = 0.0, 0.0
    for i in range(n_levels):
        q = np.rint(centers[i] * best)
        for same in range(i, 256, 16 if n_levels <= 16 else 256):
            table[same] = np.int16(q)
        along += frequency[i] * q * centers[i]
        square += frequency[i] * q * q
    scale = along / square if square > 0 else 1 / best
    added, coding, energy = 0.0, 0.0, 0.0
    for i in range(n_levels):
        width = centers[min(i + 1, n_levels - 1)] - centers[max(i - 1, 0)]
        if 0 < i < n_levels - 1:
            width *= 0.5
        added += frequency[i] * (centers[i] - scale * table[i]) ** 2
        coding += frequency[i] * width * width / 12
        energy += frequency[i] * centers[i] ** 2
    return scale, added, coding, energy
