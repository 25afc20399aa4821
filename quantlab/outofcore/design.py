"""design_empirical, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.design import design_empirical as design_in_memory
from quantlab.design.empirical import at_least_two, gain_sample, or_ones, spread
from quantlab.design.weighted_kmeans import N_BINS, FloatArray, weighted_kmeans_of_blocks
from quantlab.outofcore.reading import MEMORY, Array, blocks, checked, entries_in, steps, tiles
from quantlab.pairs import OPERANDS, EmpiricalPair
from quantlab.progress import Meter, Progress

_PASSES = 3  # over both matrices: weights, range and histogram


def design_empirical(
    a: Array,
    b: Array,
    n_levels: int | tuple[int, int],
    *,
    fit_gain: bool = True,
    memory: int = MEMORY,
    progress: Progress = None,
) -> tuple[Codebook, Codebook]:
    """`quantlab.design_empirical` of two matrices that are read in blocks, each a few times.

    Parameters
    ----------
    a, b : array
        (m, k) and (k, n); see `encode`.
    n_levels : int or (int, int)
        K, or (K_X, K_Y).
    fit_gain : bool
        Multiply the centres of a by the gain, from some of its rows and of b's columns.
    memory : int
        Bytes for the blocks.
    progress : callable or True, optional
        progress(done, total, seconds left) at each block that is read; True: a bar of tqdm's.

    Returns
    -------
    (Codebook, Codebook)
        Up to the bins' borders those of `quantlab.design_empirical`, which takes small matrices.

    Raises
    ------
    ValueError, TypeError
        As `encode`; and if the inner dimensions differ.

    Examples
    --------
    >>> import quantlab as ql
    >>> a, b = ql.GaussianPair(rho=0.8).sample_matrices(64, 256, 64)
    >>> cb_a, cb_b = design_empirical(a, b, 16, memory=100_000)
    >>> cb_a.n_levels
    16
    """
    k_x, k_y = check.levels(n_levels)
    (m, k), (_, n) = shapes = checked(a, "a"), checked(b, "b")
    check.multipliable(*shapes)
    entries = entries_in(memory)
    if max(m * k, k * n) <= max(N_BINS, entries // 8):
        whole = EmpiricalPair(np.asarray(a[:, :]), np.asarray(b[:, :]))
        return design_in_memory(whole, n_levels, fit_gain=fit_gain)
    n_blocks = sum(len(list(tiles(shape, entries))) for shape in shapes)
    with Meter(progress, _PASSES * n_blocks, label="design_empirical") as meter:

        def read_blocks(source: Array, name: str) -> Iterator[tuple[slice, slice, NDArray]]:
            for block in blocks(source, entries, name):
                yield block
                meter.add()

        row_weight, column_weight = np.zeros(k), np.zeros(k)
        for _, c, block in read_blocks(a, "a"):
            row_weight[c] += np.square(block, dtype=np.float64).sum(axis=0)
        for r, _, block in read_blocks(b, "b"):
            column_weight[r] += np.square(block, dtype=np.float64).sum(axis=1)

        ones_m, ones_n = np.ones(m), np.ones(n)
        weights = {"x": (ones_m, or_ones(column_weight)), "y": (or_ones(row_weight), ones_n)}
        books = []
        for operand, source, levels in zip(OPERANDS, (a, b), (k_x, k_y), strict=True):
            rows, columns = (weight / weight.max() for weight in weights[operand])

            def weighted(
                source: Array = source, rows: FloatArray = rows, columns: FloatArray = columns
            ) -> Iterator[tuple[NDArray, FloatArray, FloatArray]]:
                for r, c, block in read_blocks(source, "matrix"):
                    yield np.ascontiguousarray(block), rows[r], columns[c]

            size = source.shape[0] * source.shape[1]
            centers = weighted_kmeans_of_blocks(weighted, size, levels)
            info = {"design": "empirical", "operand": operand}
            books.append(Codebook(at_least_two(centers), info=info))
    cb_x, cb_y = books
    if fit_gain:
        return cb_x.scaled(_gain(a, b, books, entries)), cb_y
    return cb_x, cb_y


def _gain(a: Array, b: Array, books: list[Codebook], entries: int) -> float:
    """`product_gain` of as many rows and columns, a few at a time."""
    inner_dim = a.shape[1]
    most, few = gain_sample(inner_dim), max(1, entries // (8 * inner_dim))
    rows, columns = (spread(size, most) for size in (a.shape[0], b.shape[1]))
    cross = own = 0.0
    for some in steps(columns.size, few):
        right = _columns(b, columns[some], entries)
        coded_right = books[1].quantize(right)
        for others in steps(rows.size, few):
            left = np.concatenate([np.asarray(a[i : i + 1, :]) for i in rows[others]])
            coded = books[0].quantize(left) @ coded_right
            cross += float(np.vdot(left @ right, coded))
            own += float(np.vdot(coded, coded))
    return cross / own if cross > 0 and own > 0 else 1.0


def _columns(b: Array, columns: NDArray[np.int64], entries: int) -> FloatArray:
    chosen = np.empty((b.shape[0], columns.size))
    for r, c, block in blocks(b, entries, "b"):
        inside = (columns >= c.start) & (columns < c.stop)
        chosen[r, inside] = block[:, columns[inside] - c.start]
    return chosen
