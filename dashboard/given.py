"""Matrices that are given, not drawn from a law: of an attention head, or of the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quantlab.data import load_attention
from quantlab.data import problem as load_problem
from quantlab.pairs import EmpiricalPair

Matrices = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Given:
    """The pair that the calibration part stands for, and the products held out to measure on."""

    pair: EmpiricalPair
    held_out: tuple[Matrices, ...]


@lru_cache(maxsize=72)
def attention(layer: int, head: int) -> Given:
    """Queries and keys of one head, a product for each held-out sequence; read once a server."""
    data = load_attention().head(layer, head)
    return Given(EmpiricalPair(*data.calibration_pair()), tuple(data.held_out.pairs()))


@lru_cache(maxsize=16)
def gallery_problem(name: str) -> Given:
    """A problem of the gallery, with its one product held out; read once a server."""
    one = load_problem(name)
    return Given(EmpiricalPair(*one.calibration), (one.held_out,))
