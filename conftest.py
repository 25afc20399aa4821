"""Set before any test imports quantlab: Triton's interpreter without a GPU, threads of workers."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


def _has_cuda() -> bool:
    if shutil.which("nvidia-smi") is None or find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


os.environ.setdefault("TRITON_INTERPRET", "0" if _has_cuda() else "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # a worker each core: further threads of BLAS only spin, and wait for a core that is taken
    for library in ("OPENBLAS", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: workers take whole files in this order, and end with short ones."""
    tests = Path(__file__).parent / "tests"
    first = [tests / "browser", tests / "test_notebooks.py", tests / "dashboard"]

    def rank(item: pytest.Item) -> int:
        return next((i for i, p in enumerate(first) if item.path.is_relative_to(p)), len(first))

    items.sort(key=rank)
