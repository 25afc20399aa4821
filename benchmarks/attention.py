"""Coded attention logits of 72 heads, on the shipped sequences or on more of them.

    python -m benchmarks.attention             # 12 sequences to calibrate, 6 held out; a minute
    python -m benchmarks.attention --larger    # 32 and 64, from Python's own help texts; [llm]

Six held-out sequences scatter the ratio of two designs' errors by about 5 % a head, as much as the
best density gains at 8 bits on half of the heads; the larger set scatters by about 1.5 %.
"""

from __future__ import annotations

import argparse
import re

import numpy as np

from quantlab.data import AttentionHead, Sequences, make_attention
from quantlab.experiments.attention import attention_errors

N_TOKENS, N_CALIBRATION, N_HELD_OUT = 64, 32, 64
COMPARED = ("int_absmax", "fp8_e4m3", "nf4", "gaussian_compander", "closed_form", "empirical")


def larger_heads() -> list[AttentionHead]:
    """Heads on paragraphs of Python's help topics (pydoc_data), shuffled with a fixed seed."""
    from pydoc_data.topics import topics

    from transformers import AutoModel, AutoTokenizer

    folder = make_attention.model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    text = "\n\n".join(topics[name] for name in sorted(topics))
    prose = [
        part.replace("\n", " ")
        for part in re.split(r"\n\s*\n", text)
        if sum(c.isalpha() or c.isspace() for c in part) > 0.93 * len(part) > 325
    ]
    np.random.default_rng(0).shuffle(prose)
    sequences = [tokenizer(part)["input_ids"] for part in prose]
    sequences = [ids for ids in sequences if N_TOKENS <= len(ids) <= 256]
    made = [
        make_attention.head_activations(model, ids, N_TOKENS)
        for ids in sequences[: N_CALIBRATION + N_HELD_OUT]
    ]
    queries, keys = np.stack(made, axis=3).astype(np.float32)
    first, rest = slice(N_CALIBRATION), slice(N_CALIBRATION, None)
    return [
        AttentionHead(
            layer,
            head,
            Sequences(queries[layer, head, first], keys[layer, head, first]),
            Sequences(queries[layer, head, rest], keys[layer, head, rest]),
        )
        for layer, head in np.ndindex(queries.shape[:2])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--larger", action="store_true", help="32 + 64 sequences; needs [llm]")
    heads = larger_heads() if parser.parse_args().larger else None
    for bits in (4, 8):
        table = attention_errors(bits, COMPARED, heads) if heads else attention_errors(bits)
        print(table.to_markdown(), "\n")
        for other in ("gaussian_compander", "closed_form"):
            print(f"not better than {other}: {table.lost('empirical', other)}")
        print()


if __name__ == "__main__":
    main()
