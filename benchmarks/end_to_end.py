"""An encoder with every product coded: its products' error, its embeddings', its answers found.

python -m benchmarks.end_to_end           all of it: quantlab/data/end_to_end.json, which notebook
                                          10 shows, and benchmarks/results/end_to_end.{md,png}
python -m benchmarks.end_to_end scheme    one part: formats, fitted, scheme or allocation; or
                                          none: the page anew from what is stored
python -m benchmarks.end_to_end --quick   a few texts, formats and laws at 4 bits, prints only

Needs the extras `llm` and `figures`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import quantlab as ql
from benchmarks._harness import machine
from quantlab.data.make_attention import PACKAGE, model_folder
from quantlab.experiments.end_to_end import (
    RUNGS,
    Texts,
    agreement,
    allocation_rows,
    model_rows,
)
from quantlab.model import MODEL_DESIGNS, load_model

RESULTS = Path(__file__).parent / "results"
STORED = Path(ql.__file__).parent / "data" / "end_to_end.json"
BITS = (3, 4, 6, 8)
FITTED = ("empirical", "balanced")
PARTS = {
    "formats": tuple(name for name in MODEL_DESIGNS if name not in (*FITTED, "scheme")),
    "fitted": FITTED,
    "scheme": ("scheme",),
}
#: What allocation is measured with, and at which mean bits.
ALLOCATION, ALLOCATED, MEANS = "allocation", "balanced", (3, 4)


def measured(part: str, bits: Sequence[int], quick: bool) -> dict[str, Any]:
    """What one part adds to the record."""
    model, tokenizer = load_model(model_folder())
    texts = Texts.by(tokenizer, 4 if quick else None)
    about = {
        "model": PACKAGE, "machine": machine(("numpy", "numba", "torch", "transformers")),
        "calibration_texts": len(texts.calibration), "held_out_texts": len(texts.held_out),
    }  # fmt: skip
    start, processor = time.perf_counter(), time.process_time()
    if part == ALLOCATION:
        own = replace(texts, pairs=texts.pairs[::2])
        how: Any = ((3,), "empirical", (2, 4)) if quick else (MEANS, ALLOCATED, RUNGS)
        rows, table = allocation_rows(model, own, *how, progress=_say)
        found: dict[str, Any] = {"allocation": rows, "products": table}
    else:
        rows, _ = model_rows(model, texts, (4,) if quick else bits, PARTS[part], _say)
        found = {"rows": rows}
    spent = (round(time.perf_counter() - start), round(time.process_time() - processor))
    name = part if part == ALLOCATION else f"{part} at {', '.join(map(str, bits))} bits"
    return {**about, **found, "seconds": {name: spent}}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Rows of `old` that `new` has not measured again, and all of `new`."""
    both = {**old, **new, "seconds": old.get("seconds", {}) | new["seconds"]}
    if "rows" in new:
        again = {(row["bits"], row["design"]) for row in new["rows"]}
        rows = [r for r in old.get("rows", []) if (r["bits"], r["design"]) not in again]
        rows += new["rows"]
        order = ("float", *MODEL_DESIGNS)
        both["rows"] = sorted(rows, key=lambda r: (-(r["bits"] == 32), r["bits"],
                                                   order.index(r["design"])))  # fmt: skip
        both["agreement"] = agreement(both["rows"])
    return both


def markdown(found: dict[str, Any]) -> str:
    about = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    spent = ", ".join(
        f"{part} {wall} s ({own} s of one processor)"
        for part, (wall, own) in found["seconds"].items()
    )
    plain, *rows = found["rows"]
    lines = [
        "# End to end", "",
        f"Made by `python -m benchmarks.end_to_end`: {spent}. {about}.", "",
        f"all-MiniLM-L6-v2 ({found['model']}), every product of its six layers coded, weights and "
        "activations: linear layers, queries by keys, attention by values. Operands are coded, "
        "decoded and multiplied in float32: errors, not speed. Coders are made from "
        f"{found['calibration_texts']} texts, and all is measured on {found['held_out_texts']} "
        "others: questions and their answers, of other subjects "
        "(quantlab/data/questions_answers.txt). bits_per_entry: scales and codebooks included, "
        "spread over the operands on the calibration texts. nmse: geometric mean over the "
        "products, each on the float model's operands. embedding: 1 - cosine to the float model's. "
        "loss_more: loss of finding a question's answer among all held-out ones, in nats, above "
        f"the float model's {plain['loss']:.4f}; found first: by the float model "
        f"{plain['found']:.3f} of {found['held_out_texts'] // 2}, so that a share is known to 0.07 "
        "and losses that differ by a few hundredths do not.", "",
        "The parts of the scheme were fixed once, with the errors on held-out texts of some "
        "products of the third layer in sight. Laid on the weights alone its side information "
        "would be 0.16 bits an entry.", "",
        *_table(
            rows, ("bits", "design", "bits_per_entry", "nmse", "linear", "logits", "values",
                   "embedding", "loss_more", "found"),
        ),
        "", "![nmse of the products against the embeddings' error](end_to_end.png)", "",
        "Kendall's tau between the designs' order by the embeddings' error and by nmse: of all "
        "products (tau), and of each kind:", "",
        *_table(found["agreement"]),
    ]  # fmt: skip
    if "allocation" in found:
        given = [name for name in found["products"][0] if name.startswith("at ")]
        lines += [
            "", "## Bits allocated across products", "",
            f"By {ALLOCATED}: every product alone at {', '.join(map(str, RUNGS))} bits on half of "
            "the calibration pairs, the embeddings' error noted; then bits by greedy gain an "
            "entry, weights counted once and activations as often as a mean text has them. Errors "
            "on held-out texts.", "",
            *_table(found["allocation"]), "", "Given to each product:", "",
            *_table(found["products"], ("product", "entries", *given)),
        ]  # fmt: skip
    return "\n".join([*lines, ""])


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> list[str]:
    if not rows:
        return []
    names = names or list(rows[0])
    body = [" | ".join(_cell(row[name]) for name in names) for row in rows]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names),
            *(f"| {line} |" for line in body)]  # fmt: skip


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _say(done: int, total: int, left: float | None) -> None:
    print(f"{done} of {total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", choices=[*PARTS, ALLOCATION, "none", []])
    parser.add_argument("--bits", type=int, nargs="+", default=BITS)
    parser.add_argument("--quick", action="store_true", help="a few texts and designs, print only")
    options = parser.parse_args()
    record: dict[str, Any] = {}
    parts = ["formats"] if options.quick else [*PARTS, ALLOCATION]
    for part in options.part or parts:
        new = measured(part, options.bits, options.quick) if part != "none" else None
        if not options.quick and STORED.exists():
            record = json.loads(STORED.read_text())
        if new:
            record = merged(record, new)
        if not options.quick:
            STORED.write_text(json.dumps(record, indent=0) + "\n")
    if "rows" not in record:
        return
    text = markdown(record)
    print(text)
    if not options.quick:
        from quantlab.experiments.figures import save_figures

        (RESULTS / "end_to_end.md").write_text(text)
        for path in save_figures({"end to end": record["rows"][1:]}, RESULTS):
            if path.suffix == ".html":
                path.unlink()


if __name__ == "__main__":
    main()
