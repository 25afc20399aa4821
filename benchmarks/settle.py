"""Settings of schemes, chosen where no figure of benchmarks/schemes.py is made.

python -m benchmarks.settle          writes benchmarks/results/settle.{md,json}, ten minutes
python -m benchmarks.settle heads    measures one of its two parts, keeps the other
python -m benchmarks.settle --quick  every twelfth head and case, prints only

Entropy-coded lengths: four of the twelve calibration texts of each shipped head are left out in
turn; a scheme is fitted to the other eight and measured on the four. The six held-out texts are not
read. The choice of parts for small sets: on sets and drawn rows that benchmarks/schemes.py does not
measure on (extra `bench`). A setting is taken by a rule that is written beside its table.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from types import ModuleType

import numpy as np

import quantlab as ql
from benchmarks._harness import machine
from benchmarks._problems import cases
from benchmarks.schemes import RESULTS, against_codebooks, by_texts
from quantlab.data import load_attention
from quantlab.data.attention import Sequences
from quantlab.scheme import books, design, lengths

BITS = 4
LEFT_OUT = 4  # of twelve texts
#: (what, where it is, its name, the values that are compared, the usual one first)
SETTINGS: tuple[tuple[str, ModuleType, str, tuple[float, ...]], ...] = (
    ("smoothing of tables", books, "_SMOOTHING", (1.0, 0.5, 2.0)),
    ("probability of an escape", lengths, "_ESCAPE", (1e-4, 1e-5, 1e-3)),
)
HEADS = 6  # every sixth
FLATTERY = (0.0, 0.5, 1.0, 2.0)
EVERY = 2  # of the cases, one is taken


@contextmanager
def setting(module: ModuleType, name: str, value: float) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def texts(own: Sequences, keep: np.ndarray) -> Sequences:
    return replace(own, queries=own.queries[keep], keys=own.keys[keep])


def one_fold(task: tuple[int, int, int, float]) -> dict:
    which, index, fold, value = task
    what, module, name, _ = SETTINGS[which]
    calibration = list(load_attention().heads())[index].calibration
    out = np.arange(len(calibration.queries)) // LEFT_OUT == fold
    own, others = texts(calibration, ~out), texts(calibration, out)
    with setting(module, name, value):
        scheme = ql.design_scheme(
            own.pair(), BITS, lengths="entropy", basis="diagonal", rates="allocated",
            rounding="nearest", books="shape",
        )  # fmt: skip
        coded = scheme.encode(others.pair()[0], "x"), scheme.encode(others.pair()[1], "y")
    written = [each.bits_per_entry for each in coded]
    return {"setting": what, "value": value, "head": index, "fold": fold,
            "written": float(np.mean(written)), "nmse": by_texts(*coded, others)}  # fmt: skip


@cache
def all_cases() -> list:
    return list(cases())[::EVERY]


def one_case(index: int) -> list[dict]:
    name, split, pair, held_out = all_cases()[index]
    rows = []
    # where A = B^T the setting is not used
    for value in FLATTERY if split.startswith("quarter") else [design._FLATTERY]:
        with setting(design, "_FLATTERY", value):
            found = against_codebooks(pair, held_out)
        ratio = found["scheme"] / max(min(found["data_fit"], found["balanced"]), 1e-300)
        rows.append({"set": name, "split": split, "value": value, "ratio": ratio})
    return rows


def pooled(task: Callable, tasks: Sequence, chunk: int) -> list:
    os.environ |= dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(task, tasks, chunksize=chunk))


def heads(step: int) -> list[dict]:
    tasks = [
        (which, index, fold, value)
        for index in range(0, 72, HEADS * step)
        for which, (_, _, _, values) in enumerate(SETTINGS)
        for fold in range(12 // LEFT_OUT)
        for value in values
    ]
    return pooled(one_fold, tasks, 18)


def of_folds(rows: list[dict], what: str, value: float, of: Callable[[list[dict]], float]) -> list:
    own = [r for r in rows if r["setting"] == what and r["value"] == value]
    return [of([r for r in own if r["fold"] == fold]) for fold in range(12 // LEFT_OUT)]


def written(own: list[dict]) -> float:
    return float(np.mean([r["written"] for r in own]))


def nmse(own: list[dict]) -> float:
    return float(np.exp(np.mean([np.log(r["nmse"]) for r in own])))


def markdown(record: dict) -> str:
    about = ", ".join(f"{name} {value}" for name, value in record["about"].items())
    found = {r["head"] for r in record["heads"]}
    lines = [
        "# Settings of schemes", "",
        f"Made by `python -m benchmarks.settle`. {about}.", "",
        f"Entropy-coded lengths: inside the calibration texts of {len(found)} heads, fitted "
        f"to eight texts, measured on the other four, {BITS} bits; held-out texts are not read. "
        "nmse: geometric mean, each fold. What is written needs no setting: rows choose their "
        "steps so that it keeps to the bits. Rule: the least nmse, the usual value unless another "
        "is better by 1 % in each fold.",
    ]  # fmt: skip
    for what, _, _, values in SETTINGS:
        lines += [
            "", f"## {what[0].upper()}{what[1:]}", "",
            "| value | written | nmse |", "|---|---|---|",
        ]  # fmt: skip
        for value in values:
            spent = of_folds(record["heads"], what, value, written)
            left = of_folds(record["heads"], what, value, nmse)
            lines.append(
                f"| {value:g} | {', '.join(f'{w:.3f}' for w in spent)} | "
                f"{', '.join(f'{n:.3e}' for n in left)} |"
            )
    if not record["sets"]:
        return "\n".join([*lines, ""])
    lines += [
        "", "## When a spare takes over", "",
        "Where A is not B^T, a plain design (`design_empirical`, in the basis of `balance` or not) "
        "codes rows at hand in place of the scheme if its error, weighted by the moment that the "
        "scheme was fitted to, is below 1 + value k / rows times the scheme's. "
        "Sets and drawn rows that schemes.md does not list: nmse held out over that of the best "
        "plain design, 4 bits. quarters: A unlike B^T; halves: A = B^T, where the error is known. "
        "Rule: the fewest quarters above 1.02, then the least geometric mean.", "",
        "| value | cases | above 1.02 | above 1.1 | largest | geometric mean |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for value in (*FLATTERY, None):
        ratios = np.array([
            r["ratio"] for r in record["sets"]
            if (r["value"] == value if value is not None else True)
            and r["split"].startswith("half" if value is None else "quarter")
        ])  # fmt: skip
        mean = np.exp(np.mean(np.log(np.maximum(ratios, 1e-9))))
        lines.append(
            f"| {'-' if value is None else f'{value:g}'} | {ratios.size} "
            f"{'halves' if value is None else 'quarters'} | {int((ratios > 1.02).sum())} | "
            f"{int((ratios > 1.1).sum())} | {ratios.max():.2f} | {mean:.3f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("heads", "sets"), help="measure one, keep both")
    parser.add_argument("--quick", action="store_true", help="every twelfth of both, print only")
    asked = parser.parse_args()
    step, stored = 12 if asked.quick else 1, RESULTS / "settle.json"
    record = json.loads(stored.read_text()) if stored.exists() else {"heads": [], "sets": []}
    record["about"] = machine(("numpy", "numba", "quantlab", "constriction"))
    if asked.part != "sets":
        record["heads"] = heads(step)
    if asked.part != "heads":
        found = pooled(one_case, range(0, len(all_cases()), step), 4)
        record["sets"] = [row for each in found for row in each]
    text = markdown(record)
    print(text)
    if not asked.quick:
        (RESULTS / "settle.md").write_text(text)
        stored.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
