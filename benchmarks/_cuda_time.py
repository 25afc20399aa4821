"""Time on a CUDA device: device events, warm-up, rotated inputs, graphs; and the limits.

Without a device, in Triton's interpreter, calls run on the processor: a test of the benchmark.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from quantlab.gemm.cuda.tune import _chosen

#: NVIDIA's H200 (SXM) datasheet: dense rates, half of those it gives with sparsity. Per second.
DATASHEET = {
    "bytes": 4.8e12, "bf16": 989e12, "int8": 1979e12, "fp8": 1979e12, "tf32": 494e12, "fp32": 67e12,
}  # fmt: skip
#: inputs of a rotation are larger than this: four times the second-level cache
ROTATION = 240e6
_REPLAYS = 21
_FEW = 2  # in the interpreter


@dataclass
class Stage:
    """Work after the stage before it: bytes moved, operations, and the unit that does them."""

    bytes: float
    ops: float = 0.0
    unit: str = "bf16"

    def seconds(self, peaks: dict[str, float]) -> float:
        return max(self.bytes / peaks["bytes"], self.ops / peaks[self.unit])


@dataclass
class Row:
    """A contender: `make(seed)` gives a call on fresh random inputs of `input_bytes`."""

    setting: str
    name: str
    stages: Sequence[Stage]
    make: Callable[[int], Callable[[], object]]
    input_bytes: float
    target: str = ""
    recordable: bool = True
    seconds: float | None = None
    spread: float | None = None
    note: str = ""

    def floor(self, peaks: dict[str, float]) -> float:
        return sum(stage.seconds(peaks) for stage in self.stages)


def measure(row: Row) -> dict:
    """Seconds of a call, their spread, how it was launched, and the tiles that were chosen."""
    sets = max(2, min(32, int(-(-ROTATION // row.input_bytes)))) if torch.cuda.is_available() else 1
    known = set(_chosen)
    calls = [row.make(seed) for seed in range(sets)]
    seconds, spread, how = time_calls(calls, row.recordable)
    tiles = {str(key[0]): _chosen[key] for key in _chosen.keys() - known}
    return {"s": seconds, "spread": spread, "note": how, "tiles": tiles}


def time_calls(
    calls: Sequence[Callable[[], object]], recordable: bool = True
) -> tuple[float, float, str]:
    """Median seconds of one call, its relative interquartile range, and how it was launched."""
    if not torch.cuda.is_available():
        return _time_on_host(calls)
    for call in calls:
        call()  # compiles, and chooses tiles
        call()
    torch.cuda.synchronize()
    how, run = "graph", _graph(calls) if recordable else None
    if run is None:
        how, run = "launches", lambda: [call() for call in calls]
    times = []
    for _ in range(_REPLAYS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(1e-3 * begin.elapsed_time(end) / len(calls))
    low, middle, high = statistics.quantiles(times, n=4)
    return middle, (high - low) / middle, how


def _time_on_host(calls: Sequence[Callable[[], object]]) -> tuple[float, float, str]:
    times = []
    for call in calls[:1] * _FEW:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times), 0.0, "interpreter"


def _graph(calls: Sequence[Callable[[], object]]) -> Callable[[], object] | None:
    """The calls as one graph: launches cost little then; None if they cannot be recorded."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for call in calls:
                call()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph.replay


def measured_peaks() -> dict[str, float]:
    """The datasheet's rates, with copy bandwidth and the bf16 rate as this device shows them.

    The other units' rates are scaled as bf16's: what the power limit leaves of the datasheet.
    """
    device = torch.device("cuda")
    x = torch.randint(-128, 127, (1 << 31,), dtype=torch.int8, device=device)
    out = torch.empty_like(x)
    copy, _, _ = time_calls([partial(out.copy_, x)])
    bandwidth = 2 * x.numel() / copy
    del x, out
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    product, _, _ = time_calls([partial(torch.mm, a, b)])
    share = 2 * 8192**3 / product / DATASHEET["bf16"]
    peaks = {unit: rate * share for unit, rate in DATASHEET.items()}
    return peaks | {"bytes": bandwidth}
