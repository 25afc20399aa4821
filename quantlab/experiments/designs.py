"""Every design by its name, made once a process: what the experiments compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.balancing import Basis
from quantlab.codebook import Codebook
from quantlab.data import Sequences
from quantlab.design import DESIGNS, design_empirical
from quantlab.distortion import ExactError, exact_mse
from quantlab.experiments.recording import Head
from quantlab.formats import FORMATS
from quantlab.pairs import EmpiricalPair, Pair
from quantlab.scheme import Scheme

Activations = TypeVar("Activations", Sequences, Head)
#: The designs of a law: they exist at every K, from the plainest to the best.
LAW_DESIGNS = tuple(DESIGNS)
GAIN = "+gain"
#: Designs of two given matrices: as they are, and in the basis of `balance`.
DATA_DESIGNS = EMPIRICAL, BALANCED = ("empirical", "balanced")
#: What `design_scheme` makes of the calibration data: more than two codebooks.
SCHEME = "scheme"


def exists_at(design: str, n_levels: int) -> bool:
    """Whether `design` has a codebook of `n_levels` levels; ValueError unless it is a design."""
    if design in FORMATS:
        return FORMATS[design].exists_at(n_levels)
    if design not in LAW_DESIGNS:
        raise ValueError(f"design must be one of {(*LAW_DESIGNS, *FORMATS)}; got {design!r}")
    return True


@lru_cache(maxsize=4096)
def codebooks(pair: Pair, design: str, n_levels: int, inner_dim: int) -> tuple[Codebook, Codebook]:
    """The design's codebooks for X and Y, without a gain.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> codebooks(GaussianPair(0.8), "bilinear", 16, 256)[0]
    Codebook(bilinear, K=16, [-3.323 .. 3.323])
    """
    check.count(n_levels, "n_levels", 2)
    if not exists_at(design, n_levels):
        raise ValueError(f"{design} does not exist at {n_levels} levels")
    designer = FORMATS[design] if design in FORMATS else DESIGNS[design]
    return designer(pair, n_levels, inner_dim)


@lru_cache(maxsize=4096)
def exact(pair: Pair, design: str, n_levels: int, inner_dim: int) -> ExactError:
    """Exact error of that design on its own law."""
    return exact_mse(pair, *codebooks(pair, design, n_levels, inner_dim), inner_dim=inner_dim)


def calibrated(pair: EmpiricalPair, design: str, n_levels: int) -> tuple[Codebook, Codebook]:
    """Codebooks for data that `pair` stands for; "balanced" wants a pair in that basis.

    Designs of a law know the data by `EmpiricalPair.gaussian`, formats by the largest entries or
    the spread; the others smooth the data, so that codebooks do not follow single entries.
    """
    if design in DATA_DESIGNS:
        return design_empirical(pair, n_levels, smoothing="auto")
    if design in FORMATS:
        return FORMATS[design](pair, n_levels)
    return DESIGNS[design](pair.gaussian(), n_levels, pair.inner_dim)


def in_basis(basis: Basis, heads: Activations) -> Activations:
    """The same logits from other queries and keys."""
    queries, keys = basis.apply(heads.queries, heads.keys.swapaxes(-1, -2))
    return replace(heads, queries=queries, keys=keys.swapaxes(-1, -2))


def by_scheme(
    scheme: Scheme, data: Sequences | Head
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries and keys after coding by a scheme."""
    shape, d = data.queries.shape, data.queries.shape[-1]
    q = scheme.encode(data.queries.reshape(-1, d), "x").decode(np.float64)
    k = scheme.encode(data.keys.reshape(-1, d).T, "y").decode(np.float64)
    return q.reshape(shape), k.T.reshape(data.keys.shape)


def made_at(designs: Sequence[str], n_levels: int) -> list[str]:
    """Those of `designs` that exist at `n_levels`; ValueError for a name that is no design."""
    known = (*LAW_DESIGNS, *FORMATS, *DATA_DESIGNS)
    for name in designs:
        if name not in known:
            raise ValueError(f"design must be one of {known}; got {name!r}")
    return [name for name in designs if name in DATA_DESIGNS or exists_at(name, n_levels)]
