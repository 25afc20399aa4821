"""Schemes and codebooks for one product of a model, at several numbers of bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantlab.codebook import Codebook
from quantlab.design.empirical import at_least_two, bandwidth
from quantlab.design.weighted_kmeans import weighted_kmeans
from quantlab.model.operands import Array, Operands
from quantlab.pairs import EmpiricalPair
from quantlab.scheme.calibration import Calibration, Parts
from quantlab.scheme.coder import Coder
from quantlab.scheme.fitting import fit
from quantlab.scheme.rounding import feedback_of, one_book, round_feedback

_DIAGONAL = Parts("diagonal", "allocated", "nearest", "fixed", "shape", 1.0)
_BALANCED = Parts("balanced", "equal", "feedback", "fixed", "matrix", 1.0)
_MOST_BITS = 8
_RIDGE = 0.01
_MOST_DIAGONAL = 1024  # inner dimension
Halves = tuple[Coder, Coder]


def scheme_halves(pair: EmpiricalPair, rates: Sequence[int]) -> dict[int, Halves]:
    """Coders for rows of A and columns of B at each rate, by fixed parts of a scheme.

    As `design_scheme` makes them, which has no time to try all its parts on every product of a
    model: up to an inner dimension of 1,024 in the diagonal basis, bits allocated, one shape of
    codebook; above it balanced, one codebook, rounded with feedback. On the third layer of
    all-MiniLM-L6-v2 at 4 bits the first leaves 0.66 of the second's nmse where k = 384, and 6.6
    times it where k = 1536, behind a gelu. A codebook an index leaves less, but takes as much room
    as half of the weights.
    """
    pair, *exponents = pair.unit()
    data = Calibration(pair)
    parts = _DIAGONAL if data.pair.inner_dim <= _MOST_DIAGONAL else _BALANCED
    found = {}
    for rate in rates:
        x, y = (fit(data, parts, which, rate, _MOST_BITS) for which in (0, 1))
        found[rate] = x.in_units(exponents[0]), y.in_units(exponents[1])
    return found


def feed_back(rows: Array, others: Array, book: Codebook) -> Array:
    """Rows (m, t) coded so that the product with `others` (n, t) of the same text loses least.

    `round_feedback` with the text's own moment, 1 % of its mean diagonal added: nothing of it is
    needed to decode.
    """
    moment = others.astype(np.float64).T @ others
    t = len(moment)
    moment += (_RIDGE * np.trace(moment) / t + 1e-30) * np.eye(t)
    upper, order = feedback_of(moment)
    codes = round_feedback(np.ascontiguousarray(rows), upper, *one_book(book, t), order)
    return book.centers[codes].astype(np.float32)


def books_of_values(operands: Operands, levels: int) -> tuple[Codebook, Codebook]:
    r"""Codebooks for attention times values, whose inner index is each text's own.

    .. math:: \min \sum_{s, i, l} (P_{sil} - q(P_{sil}))^2 \lVert V_{sl} \rVert^2, \qquad
              \min \sum_{s, l, j} (V_{slj} - q(V_{slj}))^2 \sum_i P_{sil}^2

    over the texts s: weighted k-means, the probabilities as they are, the values smoothed.
    """
    p, v = (np.concatenate([part.ravel() for part in side]) for side in (operands.x, operands.y))
    on_p, on_v = [], []
    for x, y in zip(operands.x, operands.y, strict=True):
        on_p.append(np.broadcast_to(np.square(y).sum(axis=0), x.shape).ravel())
        on_v.append(np.broadcast_to(np.square(x).sum(axis=0), y.shape).ravel())
    weights = (np.concatenate(each).astype(np.float64) for each in (on_p, on_v))
    books = []
    for entries, weight, smoothing in zip((p, v), weights, (0.0, "auto"), strict=True):
        row = entries[None].astype(np.float64)
        width = bandwidth(row.T, np.ones(1), smoothing)
        centers = weighted_kmeans(row, np.ones(1), weight, levels, width)
        books.append(Codebook(at_least_two(np.unique(centers)), info={"design": "empirical"}))
    return books[0], books[1]
