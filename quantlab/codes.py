"""From matrices to codes and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook


@dataclass(frozen=True, eq=False)
class CodedMatrix:
    """A matrix held as one code per entry and the codebook that decodes it."""

    codes: NDArray[np.uint8]
    codebook: Codebook

    @property
    def shape(self) -> tuple[int, int]:
        return self.codes.shape

    @property
    def bits(self) -> int:
        return self.codebook.bits

    def decode(self, dtype: type = np.float32) -> NDArray:
        return self.codebook.centers.astype(dtype)[self.codes]


def encode(matrix: ArrayLike, codebook: Codebook) -> CodedMatrix:
    """Code every entry of a matrix by its cell."""
    values = check.finite_matrix(matrix, "matrix")
    if codebook.n_levels > 256:
        raise ValueError(f"codes are uint8: at most 256 levels; got {codebook.n_levels}")
    codes = np.searchsorted(codebook.thresholds, values, side="left").astype(np.uint8)
    return CodedMatrix(codes, codebook)
