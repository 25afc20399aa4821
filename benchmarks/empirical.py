"""design_empirical of two 1024 x 1024 matrices on one core, beside k-means as one writes it.

    OMP_NUM_THREADS=1 python -m benchmarks.empirical

The naive peer is Lloyd's iteration in numpy, 20 rounds from the same start: a local optimum.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import quantlab as ql


def naive(x: NDArray, weight: NDArray, centers: NDArray) -> NDArray:
    for _ in range(20):
        cell = np.digitize(x, 0.5 * (centers[1:] + centers[:-1]))
        mass = np.bincount(cell, weight, centers.size)
        total = np.bincount(cell, weight * x, centers.size)
        centers = np.where(mass > 0, total / np.maximum(mass, 1e-300), centers)
    return centers


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main() -> None:
    a, b = ql.GaussianPair(rho=0.6).sample_matrices(1024, 1024, 1024, rng=0)
    pair = ql.EmpiricalPair(a, b)
    x = a.ravel().astype(np.float64)
    weight = np.broadcast_to(pair.column_weight, a.shape).ravel()
    print("| K | both operands, s | without the gain, s | numpy Lloyd / ours, one operand each |")
    print("|---|---|---|---|")
    for k in (16, 256):
        ql.design_empirical((a, b), k)
        whole = median_seconds(lambda k=k: ql.design_empirical((a, b), k), 5)
        bare = median_seconds(lambda k=k: ql.design_empirical((a, b), k, fit_gain=False), 5)
        start = ql.design_companding(pair.gaussian(), k)[0].centers
        lloyd = median_seconds(lambda start=start: naive(x, weight, start), 1)
        print(f"| {k} | {whole:.3f} | {bare:.3f} | {lloyd / (bare / 2):.0f} |")


if __name__ == "__main__":
    main()
