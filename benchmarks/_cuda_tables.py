"""The tables of benchmarks/results/cuda.md."""

from __future__ import annotations

from _cuda_sweep import SWEEP_SHAPE, predicted_seconds, products
from _cuda_time import DATASHEET, Row

NO_GPU = (
    "**No GPU was at hand: nothing here was measured on one.** The measured columns are empty; the "
    "same command fills them in where there is a CUDA device."
)
INTERPRETED = (
    "**A test of this benchmark, not a measurement.** No GPU was at hand: small shapes ran in "
    "Triton's interpreter on the processor, and what stands under ms says nothing of a GPU."
)
PREDICTED = """Predicted: the floor, the sum over stages of max(bytes / bandwidth, operations /
rate), at the dense peaks of NVIDIA's H200 (SXM) datasheet: 4.8 TB/s HBM3e, 989 TFLOP/s bf16, 1979
TOP/s int8 and FP8, 494 TFLOP/s tf32, 67 TFLOP/s float32. No run can be faster; none comes quite
there. Ratio: to the first row of a table. Share: the floor at the copy bandwidth and bf16 rate
measured here, over the time. Calls are recorded in a graph and replayed, so that launches cost
little; inputs rotate through more memory than the second-level cache holds. g128: scales of groups
of 128 along the inner dimension. FP8: the levels of E4M3."""
HEAD = """| | predicted ms | predicted ratio | ms | spread | ratio | share | target |
|---|---:|---:|---:|---:|---:|---:|---|"""
SWEEP_TEXT = """41 rho x 8 K x 5 designs x 100 trials. Codebooks are designed before; the CPU's
seconds are scaled up from a sample of trials on the machine above.

| products | predicted floor s | s on CUDA | s on the CPU | ratio | target |
|---:|---:|---:|---:|---:|---|"""


def markdown(rows: list[Row], record: dict) -> str:
    """The tables that people read; `record` may lack what was not measured yet."""
    device, peaks = record["device"], record.get("peaks")
    lines = [
        "# Coded products on CUDA",
        "",
        f"Made by `python benchmarks/cuda_products.py`.  \n{record['about']}",
        "",
    ]
    if device is None:
        lines += [INTERPRETED if record["interpreted"] else NO_GPU, ""]
    elif peaks:
        copy, rate = peaks["bytes"] / 1e12, peaks["bf16"] / 1e12
        lines += [
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
    cuda, cpu = (record.get(key) for key in ("cuda_s", "cpu_s"))
    cells = [f"{products():,}", f"{predicted_seconds():.2f}"]
    cells += [f"{cuda:.2f}" if cuda else "", f"{cpu:.0f}" if cpu else ""]
    cells += [f"{cpu / cuda:.0f}" if cuda and cpu else "", "10 s, 20 x the CPU"]
    lines += [f"## Phase diagram of products (m, k, n) = {SWEEP_SHAPE}", "", SWEEP_TEXT]
    return "\n".join([*lines, f"| {' | '.join(cells)} |", ""])


def table_line(row: Row, first: Row, peaks: dict[str, float] | None) -> str:
    floor = row.floor(DATASHEET)
    cells = [row.name, f"{1e3 * floor:.4f}", f"{first.floor(DATASHEET) / floor:.2f}"]
    if row.seconds is None:
        cells += ["", "", "", ""]
    else:
        ratio = f"{first.seconds / row.seconds:.2f}" if first.seconds else ""
        share = f"{row.floor(peaks) / row.seconds:.0%}" if peaks else ""
        cells += [f"{1e3 * row.seconds:.4f}", f"{row.spread:.0%}", ratio, share]
    cells.append("; ".join(filter(None, [row.target, row.note * row.note.startswith("not")])))
    return f"| {' | '.join(cells)} |"
