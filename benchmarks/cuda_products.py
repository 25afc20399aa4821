"""Coded products, encoding and sweeps on CUDA, beside cuBLAS and others, against the limits.

python benchmarks/cuda_products.py           writes benchmarks/results/cuda.{md,json}, in minutes
python benchmarks/cuda_products.py --quick    small shapes, prints only
Without a CUDA device: predictions from the datasheet beside empty columns, and exit status 0; with
TRITON_INTERPRET=1 besides, small shapes run on the processor, as a test of the benchmark.

Each row goes to cuda_rows.jsonl in the folder of the results as it comes, the most telling first;
--resume goes on where a run was cut off. On a bare machine: benchmarks/first_gpu_run.sh.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path

import torch
from _cuda_log import Log
from _cuda_rows import encodings, feedbacks, products
from _cuda_sweep import SWEEP_SHAPE, seconds_on_cpu, seconds_on_device
from _cuda_tables import markdown
from _cuda_time import DATASHEET, Row, measure, measured_peaks
from _harness import machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ["torch", "triton", "numpy", "bitsandbytes", "gemlite", "torchao"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small shapes; files only by --output")
    parser.add_argument("--output", type=Path, help="folder of the results")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    given = parser.parse_args()
    on_cuda = torch.cuda.is_available()
    interpreted = not on_cuda and os.environ.get("TRITON_INTERPRET") == "1"
    quick = given.quick or interpreted
    output = given.output or (None if quick else RESULTS)
    # past the rows that are fused; of no whole tiles and groups
    size = 144 if interpreted else 1024 if quick else 8192

    first = [(size,) * 3, (1, size, size), (16, size, size)]
    last = [(128, size, size), (min(2048, 2 * size), size, size)]
    rows = [row for shape in first for row in products(*shape)]
    rows += encodings(size if interpreted else 2 * size)
    before_sweep = len(rows)
    rows += [row for shape in last for row in products(*shape)] + [*feedbacks(size // 4)]
    record = {
        "device": torch.cuda.get_device_name() if on_cuda else None, "interpreted": interpreted,
        "about": ", ".join(f"{key} {value}" for key, value in machine(PACKAGES).items()),
        "datasheet": DATASHEET, "peaks": None, "cuda_s": None, "cpu_s": None,
    }  # fmt: skip

    def write() -> None:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            (output / "cuda.md").write_text(markdown(rows, record))
            held = record | {"rows": [as_record(row) for row in rows]}
            (output / "cuda.json").write_text(json.dumps(held, indent=1) + "\n")

    measured = on_cuda or interpreted
    log = Log(output / "cuda_rows.jsonl" if output and measured else None, given.resume)
    write()
    sweep = f"phase diagram, {SWEEP_SHAPE}"
    if on_cuda:
        found = log.run("limits", "copy and bf16", lambda: {"peaks": measured_peaks()})
        record["peaks"] = found.get("peaks")
    for at, row in enumerate(rows):
        if at == before_sweep:
            if measured:
                found = log.run(sweep, "on the device", lambda: {"s": seconds_on_device()})
                record["cuda_s"] = found.get("s") if on_cuda else None
            if not interpreted:
                found = log.run(
                    sweep, "on the CPU, estimated", lambda: {"s": seconds_on_cpu(quick)}
                )
                record["cpu_s"] = found.get("s")
            write()
        if measured:
            found = log.run(row.setting, row.name, partial(measure, row))
            row.seconds, row.spread, row.note = (found.get(x) for x in ("s", "spread", "note"))
            write()
        if on_cuda:
            torch.cuda.empty_cache()
    if not measured:
        print(markdown(rows, record))
    if not on_cuda:
        print("No GPU was at hand: nothing was measured on one.")


def as_record(row: Row) -> dict:
    return {
        "setting": row.setting, "name": row.name, "predicted_s": row.floor(DATASHEET),
        "s": row.seconds, "spread": row.spread, "launched": row.note, "target": row.target,
    }  # fmt: skip


if __name__ == "__main__":
    main()
