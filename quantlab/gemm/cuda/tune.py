"""The fastest of several ways to do the same, found once for each shape."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Sequence
from typing import Any

_REPEATS = 5
_chosen: dict[Hashable, int] = {}


def fastest(key: Hashable, candidates: Sequence[Callable[[], None]], device: Any) -> None:
    """Run the candidate that was fastest when `key` first came on this device.

    On the CPU, and while a CUDA graph is recorded for a key that is new, the first one runs.
    """
    import torch

    if len(candidates) == 1 or device.type != "cuda":
        candidates[0]()
        return
    key = (key, torch.cuda.get_device_name(device), len(candidates))
    if key not in _chosen:
        if torch.cuda.is_current_stream_capturing():
            candidates[0]()
            return
        _chosen[key] = min(range(len(candidates)), key=lambda i: _milliseconds(candidates[i]))
    candidates[_chosen[key]]()


def _milliseconds(call: Callable[[], None]) -> float:
    """Median time of a call after two that warm up; infinite where it cannot run."""
    import torch

    try:
        call()
        call()
        times = []
        for _ in range(_REPEATS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # a tile that asks for more registers or shared memory than this device has
        if "resources" in str(error) or "shared memory" in str(error):
            return float("inf")
        raise
    return statistics.median(times)
