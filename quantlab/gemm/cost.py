r"""What a product should take on this machine: a cost for each kind of work, and the roofline.

A product of (m, k) by (k, n) on given threads is predicted as

.. math::
    t = c_0 + c_A\,mk + c_B\,kn' + c_E\,e + c_M\,m'kn' + c_C\,mn + c_G\,m'kn'/g
        + c_D\,(D - 8\,\mathrm{MiB})_+

seconds: a call, decoding A, decoding B (fused: once for each tile of rows), the e entries of panels
that are not full, multiplying (m' and n': in whole register tiles), writing C, adding up groups of
g, and what of the D bytes of A, B and C no cache keeps. The c >= 0 are fitted to products of a few
sizes when a kind of product is first asked for: some tenths of a second for each, then remembered
by the process. A machine whose clock or neighbours have changed since is not the one that was
measured.

The roofline is the least time that the processor allows: every byte once at the rate of a copy, or
every multiply-add at the rate of the route's instruction in the nearest cache, whichever is more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from quantlab import _threads
from quantlab._jit import kernel
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.gemm import cpu, fused, grouped, lanes, vector
from quantlab.gemm.dispatch import FUSED_ROWS
from quantlab.gemm.layouts import WORK, Cost, Layout, Product
from quantlab.gemm.multiply import matmul
from quantlab.gemm.vector import tile_dot

# Sizes that costs are fitted to: rows that fill a tile and rows that do not, thin and square.
_PROBES = (
    (1, 256, 256), (1, 1024, 1024), (1, 4096, 4096), (1, 8192, 8192), (4, 64, 64), (5, 2048, 2048),
    (16, 8192, 4096), (8, 512, 512), (12, 512, 256), (16, 1024, 512), (16, 2048, 4096),
    (64, 64, 64), (32, 512, 512), (128, 256, 128), (96, 64, 1024), (300, 64, 300), (512, 64, 1024),
    (256, 512, 256), (64, 2048, 1024), (1, 300, 1000), (2, 3000, 1500), (10, 200, 90),
    (14, 999, 3001), (40, 250, 222), (100, 333, 100), (200, 1500, 700), (90, 5001, 190),
    (500, 130, 444), (777, 777, 777), (512, 512, 512), (768, 1024, 768), (1024, 768, 1024),
)  # fmt: skip
_CACHED = 1 << 23  # bytes that stay near between two products
_COPIED = 1 << 26  # bytes, beyond every cache
_SPINNING = 0.05  # seconds that other libraries' threads wait for more to do, at our cost
_ROUNDS, _BATCH = 9, 1e-3  # the fastest of so many measurements of so many seconds


@dataclass(frozen=True)
class Peaks:
    """What this machine can do on all threads: bytes and operations a second."""

    copy: float
    int8: float
    int16: float
    fp32: float

    def operations(self, route: str) -> float:
        return {"int8": self.int8, "grouped": self.int8, "int16": self.int16}.get(route, self.fp32)


def cost(product: Product) -> Cost:
    """Predict a product; see the module."""
    kind = _kind(product)
    each = _work(product) * _coefficients(*kind)
    limits = peaks()
    return Cost(
        dict(zip(WORK, each.tolist(), strict=True)), product.bytes / limits.copy,
        product.operations / limits.operations(product.route),
    )  # fmt: skip


def _kind(product: Product) -> tuple[str, Layout, Layout, bool]:
    """What products that share costs have in common: route, layouts, and whether threads help."""
    route, m, k, n = product.route, product.m, product.k, product.n
    prepared = product.b.prepared and route == "int8" and m <= cpu.FEW_LANES
    least = (
        lanes.THREADED
        if prepared
        else {"grouped": grouped.THREADED, "fused": fused.THREADED}.get(route, cpu.THREADED)
    )
    rows = (
        max(m, vector.TILES[vector.best_tile()].rows)
        if route in ("int8", "int16") and not prepared
        else m
    )
    threaded = _threads.count() > 1 and rows * k * n >= least
    a, b = replace(product.a, prepared=False), replace(product.b, prepared=prepared)
    return route, a, b, threaded


def _work(product: Product) -> NDArray[np.float64]:
    m, k, n = product.m, product.k, product.n
    tile = vector.TILES[vector.best_tile()]
    whole, left = divmod(m, tile.rows)
    # one or two rows that are left over are multiplied one by one, each at half a tile's time
    rows = tile.rows * (whole + (left / 2 if left <= 2 else 1))
    columns = -(-n // tile.columns) * tile.columns
    edges = tile.columns * (k * (n % tile.columns > 0) + m * (k % tile.columns > 0))
    if product.route == "fp32":
        rows, columns = m, n
    decoded = k * columns
    if product.route == "fused":  # whole lines of codes, decoded once for each tile of rows
        line = 512 // product.b.bits
        rows, columns, edges = m, -(-n // line) * line, 0
        decoded = -(-m // tile.rows) * k * columns
    elif product.b.prepared:
        rows = m
    group = min((g for g in (product.a.group, product.b.group) if g), default=0)
    adding = rows * k * columns / group if group else 0
    beyond = max(0.0, product.bytes - _CACHED)
    return np.array([1, m * k, decoded, edges, rows * k * columns, m * n, adding, beyond])


@cache
def _coefficients(route: str, a: Layout, b: Layout, threaded: bool) -> NDArray[np.float64]:
    """Seconds a unit of each work, fitted to measured products."""
    rng = np.random.default_rng(0)
    works, calls = [], []
    for m, k, n in _PROBES:
        product = Product(route, m, k, n, a, b)
        if _kind(product) != (route, a, b, threaded) or (route == "fused" and m > FUSED_ROWS):
            continue
        left, right = example(a, (m, k), 1, rng), example(b, (k, n), 0, rng)
        works.append(_work(product))
        calls.append(partial(matmul, left, right, route=route))
    relative = np.array(works) / _rounds(calls).min(axis=0)[:, None]
    most = relative.max(axis=0) + 1e-300
    found, _ = nnls(relative / most, np.ones(len(calls)))
    return found / most


def example(layout: Layout, shape: tuple[int, int], inner_axis: int, rng: Any) -> Any:
    """A matrix held so, of random entries; its centres lie on every integer grid."""
    if layout.bits == 32:
        return rng.standard_normal(shape, dtype=np.float32)
    n_levels = min(layout.levels, 1 << layout.bits)
    codes = rng.integers(0, n_levels, shape, dtype=np.uint8)
    scale = None
    if layout.group:
        groups = list(shape)
        groups[inner_axis] = -(-shape[inner_axis] // layout.group)
        scale = rng.uniform(0.5, 1.0, groups)
    centers = np.arange(n_levels) - (n_levels - 1) / 2
    coded = CodedMatrix(codes, Codebook(centers), scale, layout.group or None)
    coded = coded.pack() if layout.bits < 8 else coded
    return coded.prepare() if layout.prepared else coded


def _rounds(calls: Sequence[Callable[[], object]]) -> NDArray[np.float64]:
    """Seconds (rounds, calls); each round goes over all, so that a slow spell hits all alike."""
    time.sleep(_SPINNING)
    repeats = []
    for call in calls:
        call()  # may compile
        start = time.perf_counter()
        call()
        repeats.append(max(1, round(_BATCH / (time.perf_counter() - start))))
    seconds = np.empty((_ROUNDS, len(calls)))
    for turn in range(_ROUNDS):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(repeats[i]):
                call()
            seconds[turn, i] = (time.perf_counter() - start) / repeats[i]
    return seconds


@cache
def peaks() -> Peaks:
    """The best of a few rounds, once a process: copies beyond the caches, instructions within."""
    source, target = np.ones(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)
    spans = _threads.split(_COPIED, 4 * _threads.count(), 4096)

    def copy(span: tuple[int, int]) -> None:
        np.copyto(target[slice(*span)], source[slice(*span)])

    copied = 2 * _COPIED / _rounds([partial(_threads.for_each, copy, spans)]).min()
    square = np.ones((1024, 1024), np.float32)
    fp32 = 2 * 1024**3 / _rounds([partial(np.matmul, square, square)]).min()
    return Peaks(copied, _tile_rate(False), _tile_rate(True), fp32)


def _tile_rate(words: bool) -> float:
    """Operations a second of the register tile with its operands in the nearest cache."""
    tile = vector.TILES[vector.best_tile()]
    words = words or not (tile.dot_bytes or tile.name == "portable")
    if tile.name == "portable":
        each = example(Layout(8, 16), (256, 256), 1, np.random.default_rng(0))
        return 2 * 256**3 / _rounds([partial(matmul, each, each, route="int8")]).min()
    steps, repeats = 128, 10000
    run, size = _peak_kernel(tile.name, words, tile.rows), tile.rows * tile.columns
    a = np.zeros(tile.rows * 4 * steps, np.int8)
    b = np.zeros(4 * steps * tile.columns + 64, np.int8)

    def once(_: int) -> None:
        run(
            a,
            b[-b.ctypes.data % 64 :],
            steps,
            np.empty(tile.rows * tile.columns, np.int32),
            repeats,
        )

    tasks = list(range(_threads.count()))
    done = 2 * size * steps * (2 if words else 4) * repeats * len(tasks)
    return done / _rounds([partial(_threads.for_each, once, tasks)]).min()


@cache
def _peak_kernel(name: str, words: bool, rows: int) -> Callable[..., None]:
    @kernel
    def peak_kernel(a, b, steps, sums, repeats):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            tile_dot(
                name, words, rows, a.ctypes.data, 4 * steps, b.ctypes.data, steps, sums.ctypes.data
            )

    return peak_kernel
