"""Coded products and encoding on the CPU beside what else a user could pick, in one process.

python benchmarks/cpu.py                 writes results/cpu_PROCESSOR.{md,json}, ten minutes
python benchmarks/cpu.py --quick         fewer shapes and rounds, prints only
python benchmarks/cpu.py --out PATH      writes PATH.md and PATH.json
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import _peers
import numpy as np
import torch
from _harness import Contenders, Report, Timing, machine, race

import quantlab as ql
from quantlab import _threads
from quantlab.codes import CodedMatrix

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "torch", "numba", "llvmlite", "onnxruntime", "openvino", "bitsandbytes")
SHAPES = [
    (1, 4096, 4096), (1, 8192, 8192), (16, 4096, 4096), (128, 256, 128), (1024, 1024, 1024),
    (2048, 2048, 2048), (1000, 1500, 777),
]  # fmt: skip
QUICK = [(1, 4096, 4096), (128, 256, 128), (1024, 1024, 1024)]
PAIR = ql.GaussianPair(rho=0.7)
# a scale for 32, 128, 32 and 16 entries along the inner dimension
GROUPED = ("int8_g32", "int8_g128", "mxfp4", "nvfp4")


def fresh(coded: CodedMatrix) -> CodedMatrix:
    """The same codes with nothing remembered: the grid is fitted again, as for a new matrix."""
    return CodedMatrix._trusted(coded._data, coded._held_bits, coded.shape, coded.codebook)


def product(a: CodedMatrix, b: CodedMatrix, **options: str) -> Callable[[], object]:
    return lambda: ql.matmul(fresh(a), fresh(b), **options)


def prepared_product(a: CodedMatrix, b: CodedMatrix) -> Callable[[], object]:
    """b stays, with its grid and its second layout; a is new each time."""
    return lambda: ql.matmul(fresh(a), b)


def grouped_product(made: ql.formats.GroupFormat, a: np.ndarray, b: np.ndarray) -> Callable:
    left, right = made.encode(a), made.encode(b, "y")
    return lambda: left @ right


def product_contenders(shape: tuple[int, int, int], rng: np.random.Generator) -> Contenders:
    m, k, n = shape
    a, b = (rng.standard_normal(size, dtype=np.float32) for size in ((m, k), (k, n)))
    books = {levels: ql.design_companding(PAIR, levels) for levels in (16, 256)}
    coded = {
        levels: (ql.encode(a, book[0]), ql.encode(b, book[1])) for levels, book in books.items()
    }
    a16, b16 = coded[16]
    b4, b_mx = b16.pack(), ql.GROUP_FORMATS["mxfp4"].encode(b, "y").pack()
    a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
    contenders: dict[str, Callable[[], object]] = {
        "torch fp32": lambda: a_torch @ b_torch,
        "numpy fp32": lambda: a @ b,
        "quantlab 4 x 4 bit": product(a16, b16),
        **{
            f"quantlab {name}": grouped_product(ql.GROUP_FORMATS[name], a, b)
            for name in (GROUPED if min(shape) >= 1000 else ())
        },
        "quantlab 4 x 4 bit, packed": product(a16.pack(), b16.pack()),
        **(
            {"quantlab 4 x 4 bit, b prepared": prepared_product(a16, b16.pack().prepare())}
            if m <= 16
            else {}
        ),
        "quantlab 4 x 4 bit, from float32": lambda: ql.matmul(
            ql.encode(a, books[16][0]), ql.encode(b, books[16][1])
        ),
        "quantlab 8 x 8 bit": product(*coded[256]),
        "quantlab 8 x 8 bit, route fp32": product(*coded[256], route="fp32"),
        "quantlab float32 x 4 bit": lambda: ql.matmul(a, b16),
        "quantlab float32 x 4 bit, packed": lambda: ql.matmul(a, b4),
        "quantlab float32 x mxfp4, packed": lambda: ql.matmul(a, b_mx),
    }
    centers = [book.centers.astype(np.float32) for book in books[16]]
    contenders["np.take of both, numpy fp32"] = lambda: (
        np.take(centers[0], a16.codes) @ np.take(centers[1], b16.codes)
    )
    left, right = (
        torch.from_numpy(rng.integers(-127, 128, x.shape).astype(np.int8)) for x in (a, b)
    )
    contenders["torch._int_mm, int8 given"] = lambda: torch._int_mm(left, right)
    return contenders


def products(shape: tuple[int, int, int], rng: np.random.Generator, budget: float) -> list[Timing]:
    """One race of torch, numpy and quantlab, then each weight-only peer against torch alone.

    Alone, since their threads spin for a while after a call, at the others' cost.
    """
    timings = race(product_contenders(shape, rng), "torch fp32", budget)
    m, k, n = shape
    a, b = (rng.standard_normal(size, dtype=np.float32) for size in ((m, k), (k, n)))
    a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
    for name, contender in _peers.weight_only(a, b):
        pair = {"torch fp32": lambda: a_torch @ b_torch, name: contender}
        timings.append(race(pair, "torch fp32", budget)[1])
    return timings


def encode_contenders(levels: int, rng: np.random.Generator) -> Contenders:
    matrix = rng.standard_normal((2048, 2048), dtype=np.float32)
    book = ql.design_companding(PAIR, levels)[0]
    thresholds = book.thresholds.astype(np.float32)
    tensor, borders = torch.from_numpy(matrix), torch.from_numpy(thresholds)
    target = np.empty_like(matrix)
    out = np.empty(matrix.shape, np.uint8)
    return {
        "np.digitize": lambda: np.digitize(matrix, thresholds),
        "np.searchsorted": lambda: np.searchsorted(thresholds, matrix),
        "torch.bucketize": lambda: torch.bucketize(tensor, borders),
        "copy of the float32 matrix": lambda: np.copyto(target, matrix),
        "quantlab": lambda: ql.encode(matrix, book),
        "quantlab, out=": lambda: ql.encode(matrix, book, out=out),
        "quantlab, packed": lambda: ql.encode(matrix, book, packed=True),
    }


def cold_starts(rounds: int) -> dict[str, list[Timing]]:
    """Seconds, in fresh processes: import, first encode and product, and all of it."""
    script = """
import time; start = time.perf_counter()
import quantlab as ql
imported = time.perf_counter()
import numpy as np
book = ql.Codebook(np.linspace(-2, 2, 16) ** 3)
x = np.random.default_rng(0).standard_normal((128, 256), dtype=np.float32)
a, b = ql.encode(x, book), ql.encode(x.T, book)
encoded = time.perf_counter()
ql.matmul(a, b)
print(imported - start, encoded - imported, time.perf_counter() - encoded)
"""
    rows = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        if turn:  # the first one fills the kernel cache
            parts = [float(value) for value in done.stdout.split()]
            rows.append([*parts, time.perf_counter() - start])
    names = ("import quantlab", "first encode (numba included)", "first matmul", "whole process")
    medians, nan = np.median(rows, axis=0), float("nan")
    return {
        "fresh process, kernel cache warm": [
            Timing(name, float(t), nan, nan, nan, float(best), nan, nan)
            for name, t, best in zip(names, medians, np.min(rows, axis=0), strict=True)
        ]
    }


def accuracy(trials: int) -> str:
    """Measured nmse of the int8 route beside the exact product's, K = 16."""
    lines = ["| rho | design | exact | int8 | difference |", "|---|---|---:|---:|---:|"]
    for rho in (0.0, 0.7, 0.9):
        pair = ql.GaussianPair(rho)
        for name, books in (
            ("companding", ql.design_companding(pair, 16)),
            ("bilinear", ql.design_bilinear(pair, 16, inner_dim=256)),
        ):
            total = dict.fromkeys(("fp32", "int8"), 0.0)
            for trial in range(trials):
                a, b = pair.sample_matrices(128, 256, 128, rng=trial)
                coded = ql.encode(a, books[0]), ql.encode(b, books[1])
                for route in total:
                    error = a @ b - ql.matmul(*coded, route=route)
                    total[route] += float(np.mean(error.astype(float) ** 2)) / trials
            exact, snapped = (total[route] / pair.energy(256) for route in ("fp32", "int8"))
            change = snapped / exact - 1
            lines.append(f"| {rho} | {name} | {exact:.4e} | {snapped:.4e} | {change:+.2%} |")
    return "\n".join(lines)


def growth(quick: bool, rng: np.random.Generator) -> tuple[str, dict[str, list[Timing]]]:
    """Four sizes of each of m, k, n and K about 1024 x 1024 x 1024 with 16 levels."""
    sizes = (256, 512, 1024, 2048)
    tables, powers = {}, {}
    for axis, letter in enumerate("mkn"):
        contenders: dict[str, Callable[[], object]] = {}
        for size in sizes:
            shape = [1024, 1024, 1024]
            shape[axis] = size
            contenders[f"{letter} = {size}"] = _of_shape(*shape, levels=16, rng=rng)
        tables[letter] = race(contenders, f"{letter} = 1024", 0.1 if quick else 0.5)
        powers[letter] = _power(sizes, [timing.seconds for timing in tables[letter]])
    by_levels = {
        f"K = {levels}": _of_shape(1024, 1024, 1024, levels, rng) for levels in (4, 16, 64, 256)
    }
    tables["K"] = race(by_levels, "K = 16", 0.1 if quick else 0.5)
    seconds = {timing.name: timing.seconds for timing in tables["K"]}
    sentence = (
        f"Time grows as m^{powers['m']:.2f} k^{powers['k']:.2f} n^{powers['n']:.2f} (fitted to "
        "four sizes of each, the others 1024), and with K where the grid has to be finer: K = 4 "
        f"takes {seconds['K = 4'] / seconds['K = 16']:.2f} times as long as K = 16, K = 64 "
        f"{seconds['K = 64'] / seconds['K = 16']:.2f} and K = 256 "
        f"{seconds['K = 256'] / seconds['K = 16']:.2f} (int16). Memory, beside the operands: the "
        "result, 4 m n bytes; A decoded, m k bytes (2 m k with int16); and a panel of half a "
        "megabyte a thread; with k > 4096 (or int16) also sums of 8 bytes for each entry of C in "
        "the panels at hand."
    )
    return sentence, tables


def _of_shape(
    m: int, k: int, n: int, levels: int, rng: np.random.Generator
) -> Callable[[], object]:
    books = ql.design_companding(PAIR, levels)
    return product(
        ql.encode(rng.standard_normal((m, k)), books[0]),
        ql.encode(rng.standard_normal((k, n)), books[1]),
    )


def _power(sizes: tuple[int, ...], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    torch.set_num_threads(_threads.count())
    about = machine(PACKAGES)
    about["threads"] = str(_threads.count())
    report = Report("CPU products and encoding", "python benchmarks/cpu.py", about)
    budget = 0.2 if options.quick else 1.5

    tables = {
        " x ".join(map(str, shape)): products(shape, rng, budget)
        for shape in (QUICK if options.quick else SHAPES)
    }
    text = (
        "m x k x n. Ratios to torch's fp32 product, above 1 is faster; medians of interleaved "
        "rounds, and of the fastest calls, which a busy machine disturbs least. quantlab: from "
        "codes to a float32 product, nothing remembered between calls; weight-only peers multiply "
        "float32 by a coded B."
    )
    report.add("Products", text, tables)
    tables = {
        f"K = {levels}, 2048 x 2048": race(encode_contenders(levels, rng), "np.digitize", budget)
        for levels in (16, 256)
    }
    report.add("Encoding", "float32 to codes. Ratios to np.digitize.", tables)
    report.add("Accuracy of the int8 route", accuracy(4 if options.quick else 40), {})
    sentence, tables = growth(options.quick, rng)
    report.add("Cost", sentence, tables)
    text = "Medians of seconds."
    report.add("Cold start", text, cold_starts(2 if options.quick else 7))
    if options.out or not options.quick:
        report.write(options.out or RESULTS / f"cpu_{_slug(about['processor'])}")


def _slug(processor: str) -> str:
    """A processor's name in a file's: "AMD EPYC" is amd_epyc."""
    return "_".join(re.findall(r"[a-z0-9]+", processor.lower().replace("(r)", "")))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
