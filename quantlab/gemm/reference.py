"""The definition of the coded product: decode, multiply in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.codes import CodedMatrix


def matmul_reference(a: Any, b: Any) -> NDArray[np.float64]:
    """C = dec(a) dec(b) in float64: every backend's oracle; a float operand stands for itself."""
    left, right = (x.decode(np.float64) if isinstance(x, CodedMatrix) else x for x in (a, b))
    return np.asarray(left, np.float64) @ np.asarray(right, np.float64)
