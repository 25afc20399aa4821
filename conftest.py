"""Set before any test imports quantlab: without a GPU, Triton's kernels run in its interpreter."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec


def _has_cuda() -> bool:
    if shutil.which("nvidia-smi") is None or find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


os.environ.setdefault("TRITON_INTERPRET", "0" if _has_cuda() else "1")

# modules of kernels have nothing to collect where Triton does not exist (macOS, Windows)
collect_ignore = (
    []
    if find_spec("triton")
    else [
        "quantlab/codes/device_kernels.py",
        "quantlab/gemm/cuda/kernels.py",
        "quantlab/gemm/cuda/launch.py",
    ]
)
