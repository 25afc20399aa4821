"""Uniform grids for codes of variable length, as coarse as rows that are left out ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import Density, own_shapes, shapes
from quantlab.scheme.calibration import Calibration, Parts, Side
from quantlab.scheme.coder import met_by
from quantlab.scheme.lengths import EntropyGrid

FloatArray = NDArray[np.float64]

_MARGIN = 1.5  # standard errors over the blocks; settled by benchmarks/settle.py
_NEAR = 2e-3  # bits


def entropy_grid(
    data: Calibration, parts: Parts, which: int, bits: float, rough: bool
) -> EntropyGrid:
    """Steps c / sqrt(price); c for which rows left out keep to the bits, with a margin.

    Each block of rows is written as fits to the others would: their basis, prices and tables.
    The mean length, and some of its standard errors more, are the bits.
    """
    own = Grids.of(data, parts, which, bits)
    others = [
        (own if fold is data else Grids.of(fold, parts, which, bits), rows[which])
        for fold, rows in ([(data, data.rows)] if rough else data.left_out)
    ]
    word = 32 / own.side.rows.size  # the coder ends in one
    # 2 pi e / 12 over the rate: where a Gaussian row would land
    sizes = np.log2(np.maximum(own.side.rows.std(axis=0) / own.unit, 1e-300))
    low, high = float(sizes.min()) - 40, float(sizes.max()) + 4.0
    exponent = float(sizes.mean()) + 2.05 - bits
    for _ in range(30):
        lengths = [grids.length(exponent, rows) for grids, rows in others]
        spread = np.std(lengths, ddof=1) if len(lengths) > 1 else 0.0
        spent = float(np.mean(lengths) + word + _MARGIN * spread / np.sqrt(len(lengths)))
        if abs(spent - bits) < _NEAR:
            break
        low, high = (exponent, high) if spent > bits else (low, exponent)
        following = exponent + spent - bits
        exponent = following if low < following < high else (low + high) / 2
    return own.at(exponent)


@dataclass(frozen=True, eq=False)
class Grids:
    """The uniform grids of one operand, as fine as one says."""

    parts: Parts
    side: Side
    upper: FloatArray
    order: NDArray[np.intp]
    unit: FloatArray  # (k,): steps of 2^exponent units cost each index alike
    columns: list[Density]

    @classmethod
    def of(cls, data: Calibration, parts: Parts, which: int, bits: float) -> Grids:
        side = data.sides(parts.basis)[which]
        upper, order, prices = data.feedback(parts, which, bits)
        unit = 1 / np.sqrt(np.maximum(prices, 1e-12 * prices.max()))
        return cls(parts, side, upper, order, unit, cls._told(parts, side.rows))

    @staticmethod
    def _told(parts: Parts, rows: FloatArray) -> list[Density]:
        return shapes(rows) if parts.books == "shape" else own_shapes(rows)

    def at(self, exponent: float) -> EntropyGrid:
        grid = self._grid(exponent, self.columns)
        if self.parts.rounding == "nearest":
            return grid
        met = met_by(self.side.rows, grid, self.upper, self.order)
        return self._grid(exponent, self._told(self.parts, met))

    def length(self, exponent: float, rows: FloatArray) -> float:
        """Mean bits of an entry of rows (m, k), which need not be those of the fit."""
        grid, forward = self.at(exponent), self.side.forward
        there = rows if forward is None else rows @ forward
        return grid.ideal_bits(grid.round(there, self.upper, self.order))

    def _grid(self, exponent: float, columns: list[Density]) -> EntropyGrid:
        # feedback makes up for the errors of plain cells
        fitted = self.parts.rounding == "nearest"
        offsets = self.side.rows.mean(axis=0)
        return EntropyGrid.of(2.0**exponent * self.unit, offsets, columns, fitted, self.parts.books)
