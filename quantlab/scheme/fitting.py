"""Fit one operand's half of a scheme to its rows and to the moment that its errors meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.design.empirical import at_least_two, bandwidth, or_ones
from quantlab.design.weighted_kmeans import weighted_kmeans
from quantlab.scheme.books import IndexBooks, densities, fitted, grained, shape_of, shaped_books
from quantlab.scheme.calibration import Calibration, Parts
from quantlab.scheme.coder import Coder, Usual, cross_moment, met_by, steering
from quantlab.scheme.grids import entropy_grid
from quantlab.scheme.lengths import EntropyGrid
from quantlab.scheme.rates import allocated_bits, equal_bits

FloatArray = NDArray[np.float64]

_REFITS = 1  # with feedback an index meets other values than its own, but by little


def fit(data: Calibration, parts: Parts, which: int, bits: float, most_bits: int) -> Coder:
    """The half for A (`which` 0) or for B (1)."""
    side = data.sides(parts.basis)[which]
    others = data.sides(parts.basis)[1 - which].rows
    upper, order, prices = data.feedback(parts, which, bits)
    # where A = B^T rows at hand tell what their errors meet
    partners = len(side.rows) if data.alike and parts.rounding == "feedback" else 0

    def coder(books: IndexBooks | EntropyGrid) -> Coder:
        made = Coder(side.forward, side.inverse, upper, order, books)
        if isinstance(books, EntropyGrid):
            return made
        usual = Usual(side.rows.mean(axis=0), side.rows.std(axis=0), prices, 0.0)
        made = replace(made, usual=usual, partners=partners)
        codes = books.round(side.rows, upper, order)
        error = made.lost(side.rows, codes, steering(upper))
        made = replace(made, usual=replace(usual, error=error))
        if books.kind != "matrix":
            return made
        return replace(made, grids=_on_grids(books, codes, side.rows, others))

    if parts.lengths == "entropy":
        return coder(entropy_grid(data, parts, which, bits, prices, upper, order))
    if parts.books == "matrix":
        return coder(_shared_book(data, parts, which, bits, prices, upper, order))
    shaped = parts.books == "shape"
    if parts.rates == "equal":
        each = equal_bits(prices * side.rows.var(axis=0), bits, most_bits)
    elif shaped:
        own = side.rows.var(axis=0)[:, None] * shape_of(side.rows).errors(most_bits)
        each = allocated_bits(prices[:, None] * own, bits)
    else:
        errors = data.ladders(parts.basis, which, parts.smoothing, most_bits)
        each = allocated_bits(prices[:, None] * errors, bits)
    if shaped:
        books = shaped_books(side.rows, each)
    else:
        books = fitted(data.densities(parts.basis, which, parts.smoothing), each)
    if parts.rounding == "feedback":
        for _ in range(_REFITS):
            met = met_by(side.rows, books, upper, order)
            if shaped:
                books = shaped_books(met, each)
            else:
                books = fitted(densities(met, parts.smoothing), each)
    return coder(books)


def _shared_book(
    data: Calibration,
    parts: Parts,
    which: int,
    bits: float,
    prices: FloatArray,
    upper: FloatArray,
    order: NDArray[np.intp],
) -> IndexBooks:
    side = data.sides(parts.basis)[which]
    key = parts.basis, which, bits, parts.smoothing
    if key not in data.plain:
        own = np.diag(side.moment)
        if parts.basis != "diagonal":  # as design_empirical weights entries
            own = np.square(data.sides(parts.basis)[1 - which].rows).mean(axis=0)
        data.plain[key] = _one_book(side.rows, own, bits, parts.smoothing)
    if parts.rounding == "nearest":
        return data.plain[key]
    met = met_by(side.rows, data.plain[key], upper, order)
    return _one_book(met, prices, bits, parts.smoothing)


def _one_book(rows: FloatArray, prices: FloatArray, bits: float, smoothing: float) -> IndexBooks:
    """One codebook for all indices, weighted by their prices."""
    n_levels = check.count(round(2**bits), "n_levels", 2, 256)
    weight = or_ones(prices)
    width = bandwidth(rows, weight, "auto" if smoothing else 0.0)
    centers = weighted_kmeans(rows, np.ones(len(rows)), weight, n_levels, width)
    apart = np.diff(centers) > 1e-12 * np.abs(centers).max()  # else no threshold is between them
    centers = at_least_two(centers[np.append(True, apart)])
    return IndexBooks.one(Codebook(grained(centers)), rows.shape[1])


def _on_grids(
    books: IndexBooks, codes: NDArray, rows: FloatArray, others: FloatArray
) -> tuple[float, float]:
    """What a product with the others loses on each grid, over what it loses by the codes."""
    from quantlab.gemm.dispatch import GRID_LIMITS
    from quantlab.gemm.grid import snap

    n = int(books.n_levels[0])
    coded = CodedMatrix(codes, Codebook(books.centers[0, :n], books.thresholds[0, : n - 1]))
    values, moment = books.values(codes), cross_moment(others, others)

    def lost(errors: FloatArray) -> float:
        return float(np.vdot(errors @ moment, errors))

    own = max(lost(values - rows), np.finfo(float).tiny)
    found = (snap(coded, GRID_LIMITS[name]) for name in ("int8", "int16"))
    bytes_, words = (
        min(lost(grid.scale * grid.table[codes] - values) / own, 1e30) for grid in found
    )
    return bytes_, words
