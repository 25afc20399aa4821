"""Coded products against fp32 on this machine, each with what it was predicted to take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from quantlab import Codebook, GaussianPair, design_companding, encode, matmul
from quantlab.gemm import plan
from quantlab.gemm.cpu import FEW_LANES
from quantlab.gemm.layouts import Layout, Product

from .background import Task

FP32 = "numpy fp32"
_SECONDS = 4.0
_MOST_ROUNDS = 25
#: Seconds: after others' calls a product's threads need as long to part to two processors.
_BATCH = 0.1


@dataclass(frozen=True)
class Timing:
    """A product's measured and predicted time.

    Attributes
    ----------
    seconds : float
        Median.
    ratio : float
        Median over the rounds of fp32's time over its own.
    rounds : int
    bytes : float
        Of A, B and C as they are held, each once.
    predicted : float or None
        Seconds by `quantlab.gemm.cost`; None where it predicts nothing.
    """

    seconds: float
    ratio: float
    rounds: int
    bytes: float = 0.0
    predicted: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Products of (m, k) by (k, n), and the machine's roofs: bytes and operations a second."""

    m: int
    k: int
    n: int
    bits: int
    timings: dict[str, Timing]
    roofs: dict[str, float] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        return 2 * self.m * self.k * self.n


def compare(m: int, k: int, n: int, bits: int, backend: str, task: Task) -> str | Comparison:
    """Time each product in turn, round after round, for a few seconds; then predict it."""
    from quantlab.gemm.cost import cost, peaks  # here: it imports numba

    task.progress("Measuring …")
    pair = GaussianPair(0.7)
    a, b = pair.sample_matrices(m, k, n, rng=0)
    cb_x, cb_y = design_companding(pair, 2**bits)
    calls: dict[str, Callable[[], object]] = {FP32: lambda: a @ b}
    floats = Layout(32)
    products = {FP32: Product("fp32", m, k, n, floats, floats)}
    if backend == "cuda":
        calls |= _on_cuda(a, b, cb_x, cb_y)
    else:
        left, right = encode(a, cb_x).pack(), encode(b, cb_y).pack()
        calls["from codes"] = lambda: matmul(left, right)
        products["from codes"] = _product(left, right)
        if m <= FEW_LANES:
            ready = right.prepare()
            calls["from codes, B prepared"] = lambda: matmul(left, ready)
            products["from codes, B prepared"] = _product(left, ready)
        calls["float A by codes"] = lambda: matmul(a, right)
        products["float A by codes"] = _product(a, right)
        calls["from float32"] = lambda: matmul(encode(a, cb_x), encode(b, cb_y))
    # the server holds BLAS to one thread: here fp32 gets what the coded product gets
    with threadpool_limits(os.cpu_count(), "blas"):
        seconds = _rounds(calls, task)
        if seconds is None:
            return "Stopped."
        roofs, predicted = {}, {}
        if backend != "cuda":
            task.progress("Measuring what this machine can do, once …")
            found = peaks()
            roofs = {"copy": found.copy, "int8": found.int8, "fp32": found.fp32}
            for name in products.keys() - {FP32}:
                predicted[name] = cost(products[name]).seconds
    reference = np.array(seconds[FP32])
    timings = {
        name: Timing(
            float(np.median(each)), float(np.median(reference / np.array(each))), len(each),
            products[name].bytes if name in products else 0.0, predicted.get(name),
        )
        for name, each in seconds.items()
    }  # fmt: skip
    return Comparison(m, k, n, bits, timings, roofs)


def _product(a: Any, b: Any) -> Product:
    return Product.of(plan(a, b).route, a, b)


def _rounds(calls: dict[str, Callable[[], object]], task: Task) -> dict[str, list[float]] | None:
    """Seconds of each call, round after round; None once the task was cancelled."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + _SECONDS
    for _ in range(_MOST_ROUNDS):
        for name, call in calls.items():
            if task.cancelled:
                return None
            _repeated(call)  # until its threads have parted
            seconds[name].append(_repeated(call))
        if time.perf_counter() > end:
            break
    return seconds


def _repeated(call: Callable[[], object]) -> float:
    """Seconds a call, over as many as fit."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() < start + _BATCH:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def _on_cuda(a: np.ndarray, b: np.ndarray, cb_x: Codebook, cb_y: Codebook) -> dict:
    """The same products on the device, each waited for."""
    import torch

    on_device = torch.from_numpy(a).cuda(), torch.from_numpy(b).cuda()
    coded = encode(on_device[0], cb_x), encode(on_device[1], cb_y)

    def waited(product: Callable[[], object]) -> Callable[[], object]:
        def call() -> None:
            product()
            torch.cuda.synchronize()

        return call

    return {
        "torch fp32, GPU": waited(lambda: on_device[0] @ on_device[1]),
        "from codes, GPU": waited(lambda: matmul(*coded, backend="cuda")),
    }
