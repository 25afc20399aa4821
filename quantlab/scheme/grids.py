"""Steps of uniform grids for codes of variable length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import Density, own_shapes, shapes
from quantlab.scheme.calibration import Calibration, Parts
from quantlab.scheme.coder import met_by
from quantlab.scheme.lengths import EntropyGrid

FloatArray = NDArray[np.float64]

_NEAR = 2e-3  # bits


def entropy_grid(
    data: Calibration,
    parts: Parts,
    which: int,
    bits: float,
    prices: FloatArray,
    upper: FloatArray,
    order: NDArray[np.intp],
) -> EntropyGrid:
    """Steps c / sqrt(price), for the c at which the rows of the fit are written in the bits.

    Rows that come later get a c of their own: `EntropyGrid.keeping_to`.
    """
    rows = data.sides(parts.basis)[which].rows
    offsets = rows.mean(axis=0)
    unit = 1 / np.sqrt(np.maximum(prices, 1e-12 * prices.max()))
    # 2 pi e / 12 over the rate: where a Gaussian row would land
    sizes = np.log2(np.maximum(rows.std(axis=0) / unit, 1e-300))
    low, high = float(sizes.min()) - 40, float(sizes.max()) + 4.0
    exponent = float(sizes.mean()) + 2.05 - bits
    told = shapes if parts.books == "shape" else own_shapes
    columns = told(rows)

    def grid(columns: list[Density]) -> EntropyGrid:
        # feedback makes up for the errors of plain cells
        nearest = parts.rounding == "nearest"
        return EntropyGrid.of(2.0**exponent * unit, offsets, columns, nearest, parts.books, bits)

    for _ in range(30):
        found = grid(columns)
        if parts.rounding == "feedback":
            found = grid(told(met_by(rows, found, upper, order)))
        spent = found.ideal_bits(found.round(rows, upper, order))
        if abs(spent - bits) < _NEAR:
            break
        low, high = (exponent, high) if spent > bits else (low, exponent)
        following = exponent + spent - bits
        exponent = following if low < following < high else (low + high) / 2
    return found
