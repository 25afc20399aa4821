"""`quantlab report --model`: what coded products do to a transformer, and its heads' rho."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from quantlab.cli.common import Unusable, progress, telling, to_json

#: Of the heads' table; --json has all designs.
_HEAD_DESIGNS = ("int_absmax", "gaussian_compander", "closed_form", "empirical", "scheme")
_COLUMNS = ("bits_per_entry", "nmse", "linear", "logits", "values", "embedding")


def report_model(options: argparse.Namespace) -> int:
    """All designs at --bits on the model that --model names, on the shipped texts."""
    if options.matrices or options.held_out or options.gallery is not None:
        raise Unusable("--model brings its own matrices: no others, and no --gallery")
    if options.html or options.group:
        raise Unusable("--model goes with --json and --markdown; neither --html nor --group")
    with telling():
        from quantlab.data.make_attention import PACKAGE, model_folder
        from quantlab.experiments.end_to_end import Texts, model_rows
        from quantlab.model import designs_at, load_model

        designs_at(options.bits)
        model, tokenizer = load_model(model_folder() if options.model == PACKAGE else options.model)
        texts = Texts.by(tokenizer)
        rows, heads = model_rows(model, texts, (options.bits,), progress=progress("report"))
    rows = sorted(rows[1:], key=lambda row: row["embedding"])
    if options.json:
        settings = {
            "model": type(model).__name__, "name": options.model, "bits": options.bits,
            "calibration_texts": len(texts.calibration), "held_out_texts": len(texts.held_out),
        }  # fmt: skip
        print(to_json({"settings": settings, "rows": rows, "heads": heads}))
        return 0
    designs = [name for name in _HEAD_DESIGNS if name in heads[0]]
    line = _markdown if options.markdown else _plain
    print(
        f"{type(model).__name__}, {options.bits} bits: made from {len(texts.calibration)} texts, "
        f"measured on {len(texts.held_out)} others.\nnmse: geometric mean over all products, and "
        "of each kind; embedding: 1 - cosine to the float model's mean state.\n"
    )
    print("\n".join(line(["design", *_COLUMNS], [_cells(row, _COLUMNS) for row in rows])))
    print("\nnmse of the logits, a pair of codebooks for each key head:\n")
    body = [[f"{row['layer']}.{row['head']}", f"{row['rho']:.3f}",
             *(f"{row[name]:.2e}" for name in designs)] for row in heads]  # fmt: skip
    print("\n".join(line(["head", "rho", *designs], body)))
    return 0


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [row["design"], f"{row[names[0]]:.3f}", *(f"{row[name]:.2e}" for name in names[1:])]


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _plain(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    return [
        "  ".join([row[0].ljust(wide[0]), *map(str.rjust, row[1:], wide[1:])])
        for row in (head, *body)
    ]
