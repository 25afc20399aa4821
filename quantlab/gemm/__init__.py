"""Products of coded matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codes import CodedMatrix
from quantlab.gemm.reference import matmul_reference


def matmul(a: CodedMatrix, b: CodedMatrix, backend: str = "auto") -> NDArray[np.float32]:
    """C = dec(a) dec(b), float32 (m, n)."""
    check.multipliable(a.shape, b.shape)
    if backend == "reference":
        return matmul_reference(a, b).astype(np.float32)
    return a.decode() @ b.decode()
