"""Coded products, encoding and sweeps on CUDA, beside cuBLAS and others, against the limits.

python benchmarks/cuda.py            writes benchmarks/results/cuda.{md,json}, a few minutes
python benchmarks/cuda.py --quick    small shapes, prints only
Without a CUDA device: predictions from the datasheet beside empty columns, and exit status 0.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _cuda_rows import encodings, products
from _cuda_time import DATASHEET, Row, Stage, measure, measured_peaks
from _harness import machine

import quantlab as ql
from quantlab.measure_cuda import device_trials

RESULTS = Path(__file__).parent / "results"
SWEEP = {"rhos": 41, "levels": (2, 4, 8, 16, 32, 64, 128, 256), "trials": 100}
SWEEP_SHAPE = (128, 256, 128)
NO_GPU = (
    "**No GPU was at hand: nothing here was measured on one.** The measured columns are empty; the "
    "same command fills them in where there is a CUDA device."
)
PREDICTED = """Predicted: the floor, the sum over stages of max(bytes / bandwidth, operations /
rate), at the dense peaks of NVIDIA's H200 (SXM) datasheet: 4.8 TB/s HBM3e, 989 TFLOP/s bf16, 1979
TOP/s int8, 494 TFLOP/s tf32, 67 TFLOP/s float32. No run can be faster; none comes quite there.
Ratio: to the first row of a table. Share: the floor at the copy bandwidth and bf16 rate measured
here, over the time. Calls are recorded in a graph and replayed, so that launches cost little;
inputs rotate through more memory than the second-level cache holds."""
HEAD = """| | predicted ms | predicted ratio | ms | spread | ratio | share | target |
|---|---:|---:|---:|---:|---:|---:|---|"""
SWEEP_TEXT = """41 rho x 8 K x 5 designs x 100 trials. Codebooks are designed before; the CPU's
seconds are scaled up from a sample of trials on the machine above.

| products | predicted floor s | s on CUDA | s on the CPU | ratio | target |
|---:|---:|---:|---:|---:|---|"""
FIVE = ("gaussian_compander", "closed_form", "lloyd_max", "weighted_lloyd_max", "with gain")


def designs(pair: ql.GaussianPair, levels: tuple[int, ...]) -> dict:
    books = {}
    for n_levels in levels:
        for name in FIVE[:4]:
            books[f"{name} {n_levels}"] = ql.DESIGNS[name](pair, n_levels)
        x, y = books[f"closed_form {n_levels}"]
        books[f"with gain {n_levels}"] = (x.scaled(1.01), y)
    return books


def sweep(on_cuda: bool, quick: bool) -> dict:
    """The phase diagram's seconds on the device, and on this machine's CPU from a sample of it."""
    m, k, n = SWEEP_SHAPE
    levels = SWEEP["levels"]
    cells = SWEEP["rhos"] * len(levels) * len(FIVE) * SWEEP["trials"]
    operands = m * k + k * n
    # quantize: read, index written and read, centre written; then the product and its norm
    stage = Stage(cells * 4 * (5 * operands + 4 * m * n), 2.0 * cells * m * k * n, "fp32")
    record = {"products": cells, "predicted_s": stage.seconds(DATASHEET), "cuda_s": None}
    pair, few = ql.GaussianPair(0.8), 3 if quick else 10
    books = designs(pair, levels)
    ql.measure_designs(pair, books, k, m=m, n=n, trials=2)
    times = []
    for _ in range(3):  # the best: others may use the machine
        start = time.perf_counter()
        ql.measure_designs(pair, books, k, m=m, n=n, trials=few)
        times.append(time.perf_counter() - start)
    record["cpu_s"] = min(times) * cells / (few * len(books))
    if on_cuda:
        pairs = [ql.GaussianPair(float(rho)) for rho in np.linspace(0, 0.99, SWEEP["rhos"])]
        every = [designs(pair, levels) for pair in pairs]
        device = torch.device("cuda")
        list(device_trials(pairs[0], every[0], SWEEP_SHAPE, 2, 0, device))
        torch.cuda.synchronize()
        start = time.perf_counter()
        for pair, books in zip(pairs, every, strict=True):
            list(device_trials(pair, books, SWEEP_SHAPE, SWEEP["trials"], 0, device))
        record["cuda_s"] = time.perf_counter() - start
    return record


def markdown(rows: list[Row], record: dict) -> str:
    """The tables that people read."""
    device, peaks = record["device"], record["peaks"]
    lines = [
        "# Coded products on CUDA",
        "",
        f"Made by `python benchmarks/cuda.py`.  \n{record['about']}",
    ]
    if device is None:
        lines += ["", NO_GPU, ""]
    else:
        copy, rate = peaks["bytes"] / 1e12, peaks["bf16"] / 1e12
        lines += [
            "",
            f"{device}: copies {copy:.2f} TB/s, bf16 {rate:.0f} TFLOP/s, measured first.",
            "",
        ]
    lines += [PREDICTED, ""]
    for setting in dict.fromkeys(row.setting for row in rows):
        group = [row for row in rows if row.setting == setting]
        lines += [
            f"## {setting}",
            "",
            HEAD,
            *(table_line(row, group[0], peaks) for row in group),
            "",
        ]
    s = record["sweep"]
    cuda = ratio = ""
    if s["cuda_s"] is not None:
        cuda, ratio = f"{s['cuda_s']:.2f}", f"{s['cpu_s'] / s['cuda_s']:.0f}"
    lines += [f"## Phase diagram of products (m, k, n) = {SWEEP_SHAPE}", "", SWEEP_TEXT]
    lines += [
        f"| {s['products']:,} | {s['predicted_s']:.2f} | {cuda} | {s['cpu_s']:.0f} | {ratio} | "
        "10 s, 20 x the CPU |",
        "",
    ]
    return "\n".join(lines)


def table_line(row: Row, first: Row, peaks: dict[str, float]) -> str:
    floor = row.floor(DATASHEET)
    cells = [row.name, f"{1e3 * floor:.4f}", f"{first.floor(DATASHEET) / floor:.2f}"]
    if row.seconds is None:
        cells += ["", "", "", ""]
    else:
        ratio = f"{first.seconds / row.seconds:.2f}" if first.seconds else ""
        share = row.floor(peaks) / row.seconds
        cells += [f"{1e3 * row.seconds:.4f}", f"{row.spread:.0%}", ratio, f"{share:.0%}"]
    cells.append("; ".join(filter(None, [row.target, row.note * row.note.startswith("not")])))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small shapes, print only")
    quick = parser.parse_args().quick
    on_cuda = torch.cuda.is_available()
    size = 1024 if quick else 8192
    shapes = [(size,) * 3, (1, size, size), (16, size, size), (128, size, size), (2048, size, size)]
    rows = [row for shape in shapes for row in products(*shape)]
    rows += encodings(2 * size)
    peaks = dict(DATASHEET)
    if on_cuda:
        peaks = measured_peaks()
        for row in rows:
            measure(row)
            torch.cuda.empty_cache()
    packages = ["torch", "triton", "numpy", "bitsandbytes", "gemlite", "torchao"]
    about = ", ".join(f"{key} {value}" for key, value in machine(packages).items())
    record = {
        "device": torch.cuda.get_device_name() if on_cuda else None,
        "about": about, "datasheet": DATASHEET, "peaks": peaks, "sweep": sweep(on_cuda, quick),
    }  # fmt: skip
    text = markdown(rows, record)
    print(text)
    record["rows"] = [
        {"setting": r.setting, "name": r.name, "predicted_s": r.floor(DATASHEET), "s": r.seconds,
         "spread": r.spread, "launched": r.note, "target": r.target}
        for r in rows
    ]  # fmt: skip
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "cuda.md").write_text(text)
        (RESULTS / "cuda.json").write_text(json.dumps(record, indent=1) + "\n")
    if not on_cuda:
        print("No GPU was at hand: nothing was measured on one.")


if __name__ == "__main__":
    main()
