"""The definition of the coded product: decode, multiply in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab.codes import CodedMatrix


def matmul_reference(a: CodedMatrix, b: CodedMatrix) -> NDArray[np.float64]:
    """C = dec(a) dec(b) in float64: every backend's oracle."""
    return a.decode(np.float64) @ b.decode(np.float64)
