"""Codebooks by the (weighted) Lloyd-Max conditions."""

from __future__ import annotations

import numpy as np

from quantlab.codebook import Codebook
from quantlab.design.companding import design_companding
from quantlab.pairs import OPERANDS, Pair

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(16)


def design_lloyd_max(
    pair: Pair,
    n_levels: int | tuple[int, int],
    inner_dim: int | None = None,
    *,
    weighted: bool = False,
) -> tuple[Codebook, Codebook]:
    """Nearest-centre codebooks whose centres are the (weighted) centroids of their cells."""
    name = "weighted_lloyd_max" if weighted else "lloyd_max"
    books = []
    start = design_companding(pair, n_levels, weighted=weighted)
    for operand, book in zip(OPERANDS, start, strict=True):
        sigma = pair.sigma(operand)
        c = book.centers.copy()
        for _ in range(20000):
            t = np.concatenate([[-12 * sigma], (c[1:] + c[:-1]) / 2, [12 * sigma]])
            half = np.diff(t)[:, None] / 2
            x = (t[1:] + t[:-1])[:, None] / 2 + half * _NODES
            mass = pair.pdf(x, operand) * (pair.weight(x, operand) if weighted else 1.0)
            mass = mass * half * _NODE_WEIGHTS
            new = (mass * x).sum(1) / mass.sum(1)
            moved = np.abs(new - c).max()
            c = new
            if moved < 1e-12 * sigma:
                break
        books.append(Codebook(c, info={"design": name, "operand": operand}))
    return books[0], books[1]
