"""An encoder with every product coded: its products' error, its embeddings', its answers found.

python -m benchmarks.end_to_end           ten minutes on two cores: quantlab/data/end_to_end.json,
                                          which notebook 10 shows, and
                                          benchmarks/results/end_to_end.{md,png}
python -m benchmarks.end_to_end --quick   a few texts and designs, prints only

Needs the extras `llm` and `figures`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import quantlab as ql
from benchmarks._harness import machine
from quantlab.data.make_attention import PACKAGE, model_folder
from quantlab.experiments.end_to_end import Texts, agreement, allocation_rows, model_rows
from quantlab.model import load_model

RESULTS = Path(__file__).parent / "results"
STORED = Path(ql.__file__).parent / "data" / "end_to_end.json"
BITS, QUICK_BITS = (3, 4, 6, 8), (4,)
QUICK_DESIGNS = ("int_absmax", "int4_g32", "nvfp4", "empirical")
#: What allocation is measured with, and at which mean bits.
ALLOCATED, MEANS = ("empirical", "scheme"), (3, 4, 6)


def record(quick: bool) -> dict[str, Any]:
    model, tokenizer = load_model(model_folder())
    texts = Texts.by(tokenizer, 6 if quick else None)
    start = time.perf_counter()
    rows, heads = model_rows(
        model, texts, QUICK_BITS if quick else BITS, QUICK_DESIGNS if quick else None, progress=_say
    )
    designs = time.perf_counter() - start
    allocated, products = [], {}
    for design in ALLOCATED[:1] if quick else ALLOCATED:
        found, table = allocation_rows(
            model, texts, MEANS[:1] if quick else MEANS, design, *([(3, 4)] if quick else [])
        )
        allocated += found
        products[design] = table
        print(f"allocation by {design} after {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "model": PACKAGE, "machine": machine(("numpy", "numba", "torch", "transformers")),
        "calibration_texts": len(texts.calibration), "held_out_texts": len(texts.held_out),
        "seconds": [round(designs), round(time.perf_counter() - start - designs)],
        "rows": rows, "agreement": agreement(rows), "allocation": allocated,
        "products": products, "heads": heads,
    }  # fmt: skip


def markdown(found: dict[str, Any]) -> str:
    about = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    plain, *rows = found["rows"]
    lines = [
        "# End to end", "",
        f"Made by `python -m benchmarks.end_to_end`: designs {found['seconds'][0]} s, allocation "
        f"{found['seconds'][1]} s. {about}.", "",
        f"all-MiniLM-L6-v2 ({found['model']}), every product of its six layers coded, weights and "
        "activations: linear layers, queries by keys, attention by values. Operands are coded, "
        "decoded and multiplied in float32: errors, not speed. Coders are made from "
        f"{found['calibration_texts']} texts, and all is measured on {found['held_out_texts']} "
        "others: 48 questions and their answers, of other subjects "
        "(quantlab/data/questions_answers.txt). bits: of an entry, scales of groups included, "
        "codebooks not. nmse: geometric mean over the products, each on the float model's "
        "operands. embedding: 1 - cosine to the float model's. loss: of finding an answer among "
        f"48, in nats, above the float model's {plain['loss']:.4f}; found first: by the float "
        f"model {plain['found']:.3f}.", "",
        *_table(
            rows, ("bits", "design", "bits_per_entry", "nmse", "linear", "logits", "values",
                   "embedding", "loss_more", "found"),
        ),
        "", "![nmse of the products against the embeddings' error](end_to_end.png)", "",
        "Kendall's tau between the designs' order by nmse and by the embeddings' error:", "",
        *_table(found["agreement"]), "", "## Bits allocated across products", "",
        "Every product alone at 2, 3, 4, 5, 6 and 8 bits on the calibration pairs, the embeddings' "
        "error noted; then bits by greedy gain an entry, weights counted once and activations as "
        "often as a mean text has them. Errors on held-out texts.", "",
        *_table(found["allocation"]),
    ]  # fmt: skip
    for design, table in found["products"].items():
        given = [name for name in table[0] if name.startswith("at ")]
        lines += ["", f"Given to each product, by {design}:", ""]
        lines += _table(table, ("product", "entries", *given))
    return "\n".join([*lines, ""])


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> list[str]:
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
    parser.add_argument("--quick", action="store_true", help="a few texts and designs, print only")
    quick = parser.parse_args().quick
    found = record(quick)
    text = markdown(found)
    print(text)
    if not quick:
        from quantlab.experiments.figures import save_figures

        STORED.write_text(json.dumps(found, indent=0) + "\n")
        (RESULTS / "end_to_end.md").write_text(text)
        for path in save_figures({"end to end": found["rows"][1:]}, RESULTS):
            if path.suffix == ".html":
                path.unlink()


if __name__ == "__main__":
    main()
