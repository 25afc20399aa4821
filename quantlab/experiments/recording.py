"""Queries, keys and values of every head of a transformer, noted while it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.model.loading import attend, is_causal, watching

Tensor = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Head:
    """One head's queries, keys and values, each float32 (n_sequences, n_tokens, head_dim)."""

    layer: int
    head: int
    queries: Tensor
    keys: Tensor
    values: Tensor
    scaling: float
    causal: bool

    def part(self, sequences: slice) -> Head:
        """The same head on some of the sequences."""
        q, k, v = (x[sequences] for x in (self.queries, self.keys, self.values))
        return Head(self.layer, self.head, q, k, v, self.scaling, self.causal)


def record_heads(
    model: Any, token_ids: Sequence[Sequence[int]], n_tokens: int = 64, rotation: str = "after"
) -> list[Head]:
    """Queries, keys and values of every head on the first `n_tokens` tokens of each sequence.

    Parameters
    ----------
    model : transformers model
        From `load_model`, or made with attn_implementation="quantlab" after it.
    token_ids : sequence of sequences of int
        Each of at least `n_tokens` tokens.
    n_tokens : int
    rotation : {"after", "before"}
        Of rotary models: take queries and keys as the logits use them, or before the positions
        turn them (whose products are not the logits).

    Returns
    -------
    list of Head
        Layer by layer. Keys and values that several heads share are given to each of them.

    Raises
    ------
    ValueError
        If a sequence is too short, or "before" is asked of a model without rotation.
    """
    import torch

    if rotation not in ("after", "before"):
        raise ValueError(f'rotation must be "after" or "before"; got {rotation!r}')
    if short := [len(ids) for ids in token_ids if len(ids) < n_tokens]:
        raise ValueError(f"sequences need at least {n_tokens} tokens; got one of {short[0]}")
    seen: list[tuple[Any, ...]] = []
    made = []
    with _watching(model, seen, rotation), torch.inference_mode():
        for ids in token_ids:
            seen.clear()
            model(input_ids=torch.tensor([list(ids[:n_tokens])]))
            made.append([_heads(*call) for call in seen])
    if not made or not made[0]:
        raise ValueError(f"{type(model).__name__} never called the attention that watches it")
    heads = []
    for layer, calls in enumerate(zip(*made, strict=True)):
        scaling, causal = calls[0][3:]
        q, k, v = (np.stack([call[i] for call in calls], axis=1) for i in range(3))
        heads += [Head(layer, h, q[h], k[h], v[h], scaling, causal) for h in range(len(q))]
    return heads


@contextmanager
def _watching(model: Any, seen: list[tuple[Any, ...]], rotation: str) -> Iterator[None]:
    homes: set[Any] = {sys.modules[type(part).__module__] for part in model.modules()}
    rotating = [home for home in homes if hasattr(home, "apply_rotary_pos_emb")]
    if rotation == "before" and not rotating:
        raise ValueError(f"{type(model).__name__} has no rotary positions")
    kept = [(home, home.apply_rotary_pos_emb) for home in rotating]
    unrotated: list[tuple[Any, Any]] = []

    def noting(rotate: Any) -> Any:
        def rotated(q: Any, k: Any, *rest: Any, **options: Any) -> Any:
            unrotated[:] = [(q, k)]
            return rotate(q, k, *rest, **options)

        return rotated

    def watcher(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
    ) -> Any:
        q, k = unrotated.pop() if unrotated else (query, key)
        scaling = options.get("scaling") or query.shape[-1] ** -0.5
        seen.append((q, k, value, float(scaling), is_causal(module, options)))
        return attend(module, query, key, value, attention_mask, **options)

    try:
        if rotation == "before":
            for home, rotate in kept:
                home.apply_rotary_pos_emb = noting(rotate)
        with watching(watcher):
            yield
    finally:
        for home, rotate in kept:
            home.apply_rotary_pos_emb = rotate


def _heads(q: Any, k: Any, v: Any, scaling: float, causal: bool) -> tuple[Any, ...]:
    """Arrays (heads, tokens, head_dim) of a batch of one; shared keys repeated."""
    q, k, v = (x[0].float().numpy() for x in (q, k, v))
    shared = len(q) // len(k)
    return q, np.repeat(k, shared, axis=0), np.repeat(v, shared, axis=0), scaling, causal


def help_texts() -> list[str]:
    """English paragraphs that come with Python (its help topics), in a fixed order."""
    from pydoc_data.topics import topics

    parts = re.split(r"\n\s*\n", "\n\n".join(topics[name] for name in sorted(topics)))
    prose = [
        part.replace("\n", " ")
        for part in parts
        if sum(c.isalpha() or c.isspace() for c in part) > 0.93 * len(part) > 325
    ]
    np.random.default_rng(0).shuffle(prose)
    return prose
