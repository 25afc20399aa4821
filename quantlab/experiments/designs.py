"""Every design by its name, made once a process: what the experiments compare."""

from __future__ import annotations

from functools import lru_cache

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.design import DESIGNS, FORMATS
from quantlab.distortion import ExactError, exact_mse
from quantlab.pairs import Pair

#: The designs of a law: they exist at every K, from the plainest to the best.
LAW_DESIGNS = tuple(DESIGNS)
GAIN = "+gain"


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
