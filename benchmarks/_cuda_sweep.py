"""The phase diagram's trials, on the device and on this machine's processor."""

from __future__ import annotations

import time

import numpy as np
import torch
from _cuda_time import DATASHEET, Stage

import quantlab as ql
from quantlab.measure_cuda import device_trials

SWEEP: dict = {"rhos": 41, "levels": (2, 4, 8, 16, 32, 64, 128, 256), "trials": 100}
SWEEP_SHAPE = (128, 256, 128)
FIVE = ("gaussian_compander", "closed_form", "lloyd_max", "weighted_lloyd_max", "with gain")


def designs(pair: ql.GaussianPair, levels: tuple[int, ...]) -> dict:
    books = {}
    for n_levels in levels:
        for name in FIVE[:4]:
            books[f"{name} {n_levels}"] = ql.DESIGNS[name](pair, n_levels)
        x, y = books[f"closed_form {n_levels}"]
        books[f"with gain {n_levels}"] = (x.scaled(1.01), y)
    return books


def products() -> int:
    return SWEEP["rhos"] * len(SWEEP["levels"]) * len(FIVE) * SWEEP["trials"]


def predicted_seconds() -> float:
    """The floor on the device, as of a `Row`."""
    m, k, n = SWEEP_SHAPE
    operands = m * k + k * n
    # quantize: read, index written and read, centre written; then the product and its norm
    moved = products() * 4 * (5 * operands + 4 * m * n)
    return Stage(moved, 2.0 * products() * m * k * n, "fp32").seconds(DATASHEET)


def seconds_on_cpu(quick: bool) -> float:
    """All products on this machine's processor, from a sample of trials."""
    m, k, n = SWEEP_SHAPE
    pair, few = ql.GaussianPair(0.8), 3 if quick else 10
    books = designs(pair, SWEEP["levels"])
    ql.measure_designs(pair, books, k, m=m, n=n, trials=2)
    times = []
    for _ in range(3):  # the best: others may use the machine
        start = time.perf_counter()
        ql.measure_designs(pair, books, k, m=m, n=n, trials=few)
        times.append(time.perf_counter() - start)
    return min(times) * products() / (few * len(books))


def seconds_on_device() -> float:
    """All products on the device; without one a few of them, by the same code."""
    on_cuda = torch.cuda.is_available()
    device = torch.device("cuda" if on_cuda else "cpu")
    levels, trials = (SWEEP["levels"], SWEEP["trials"]) if on_cuda else ((2, 4), 2)
    rhos = np.linspace(0, 0.99, SWEEP["rhos"] if on_cuda else 2)
    pairs = [ql.GaussianPair(float(rho)) for rho in rhos]
    every = [designs(pair, levels) for pair in pairs]
    list(device_trials(pairs[0], every[0], SWEEP_SHAPE, 2, 0, device))
    if on_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for pair, books in zip(pairs, every, strict=True):
        list(device_trials(pair, books, SWEEP_SHAPE, trials, 0, device))
    return time.perf_counter() - start
