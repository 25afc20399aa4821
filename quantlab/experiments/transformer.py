"""Coded queries and keys of a transformer: logits, softmax, and the output after the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.balancing import balance
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.experiments.attention import ATTENTION_DESIGNS
from quantlab.experiments.designs import BALANCED, calibrated, in_basis, made_at
from quantlab.experiments.recording import Head
from quantlab.pairs import EmpiricalPair
from quantlab.sweep import Row

METRICS = ("logits", "kl", "output")


def coded_attention(
    heads: Sequence[Head],
    n_calibration: int,
    bits: int = 4,
    designs: Sequence[str] = ATTENTION_DESIGNS,
    per: str = "head",
) -> list[Row]:
    r"""What coded queries and keys do to attention, on the sequences after the calibration ones.

    .. math:: \mathrm{logits}: \frac{\|S - \hat S\|^2}{\|S\|^2}, \quad
              \mathrm{kl}: D(\mathrm{softmax}\, S \,\|\, \mathrm{softmax}\, \hat S), \quad
              \mathrm{output}: \frac{\|P V - \hat P V\|^2}{\|P V\|^2}

    with S = Q K' times the scaling, P its softmax, both causal where the model is.

    Parameters
    ----------
    heads : sequence of Head
    n_calibration : int
        Sequences to make the codebooks from; the others are measured.
    bits : int
        From 2 to 8.
    designs : sequence of str
        As in `attention_errors`.
    per : {"head", "layer"}
        A codebook pair for each head, or one that a layer's heads share.

    Returns
    -------
    list of dict
        A row for each head and design: `layer`, `head`, `design`, `bits`, `per`, `rho` (of the
        calibration pair), `logits`, `kl` (nats a query), `output`.
    """
    n_levels = 2 ** check.count(bits, "bits", 2, 8)
    if per not in ("head", "layer"):
        raise ValueError(f'per must be "head" or "layer"; got {per!r}')
    total = len(heads[0].queries)
    check.count(n_calibration, "n_calibration", 1, total - 1)
    groups: dict[Any, list[Head]] = {}
    for head in heads:
        groups.setdefault((head.layer, head.head if per == "head" else None), []).append(head)
    made = made_at(designs, n_levels)
    rows = []
    calibration, held_out = slice(n_calibration), slice(n_calibration, None)
    for plain in groups.values():
        rho = _pair([head.part(calibration) for head in plain]).gaussian().rho
        for name in made:
            group = plain
            if name == BALANCED:
                bases = [balance(_pair([head.part(calibration)])) for head in plain]
                group = [in_basis(*each) for each in zip(bases, plain, strict=True)]
            pair = _pair([head.part(calibration) for head in group])
            books = calibrated(pair, name, n_levels)
            for head in group:
                found = outcomes(head.part(held_out), *books)
                rows.append({
                    "layer": head.layer, "head": head.head, "design": name, "bits": bits,
                    "per": per, "rho": rho, **found,
                })  # fmt: skip
    return rows


def outcomes(head: Head, codebook_q: Codebook, codebook_k: Codebook) -> dict[str, float]:
    """The three errors of one head."""
    exact = _logits(head, head.queries, head.keys)
    coded = _logits(head, *(
        encode(x.reshape(-1, x.shape[-1]), book).decode(np.float64).reshape(x.shape)
        for x, book in ((head.queries, codebook_q), (head.keys, codebook_k))
    ))  # fmt: skip
    seen = np.tri(exact.shape[-1], dtype=bool) if head.causal else np.ones(exact.shape[1:], bool)
    error = np.where(seen, coded - exact, 0.0)
    log_p, log_coded = (_log_softmax(np.where(seen, x, -np.inf)) for x in (exact, coded))
    p, p_coded = np.exp(log_p), np.exp(log_coded)
    gap = np.zeros_like(p)  # -inf - -inf where nothing is seen
    np.subtract(log_p, log_coded, out=gap, where=np.broadcast_to(seen, p.shape))
    out, out_coded = p @ head.values, p_coded @ head.values
    return {
        "logits": float(np.square(error).sum() / np.square(np.where(seen, exact, 0.0)).sum()),
        "kl": float((p * gap).sum(axis=-1).mean()),
        "output": float(np.square(out - out_coded).sum() / np.square(out).sum()),
    }


def win_matrix(rows: Sequence[Row], metric: str = "logits") -> list[Row]:
    """One row a design: the share of heads on which it has a lower `metric` than each other."""
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}; got {metric!r}")
    errors: dict[str, list[float]] = {}
    for row in rows:
        errors.setdefault(row["design"], []).append(row[metric])
    return [
        {"design": name, **{
            other: float(np.mean(np.less(own, theirs)))
            for other, theirs in errors.items() if other != name
        }}
        for name, own in errors.items()
    ]  # fmt: skip


def _pair(heads: Sequence[Head]) -> EmpiricalPair:
    """Side by side: the product of the wide matrices sums the heads' logits."""
    queries, keys = (
        np.hstack([x.reshape(-1, x.shape[-1]) for x in each])
        for each in ([head.queries for head in heads], [head.keys for head in heads])
    )
    return EmpiricalPair(queries, keys.T)


def _logits(head: Head, q: NDArray, k: NDArray) -> NDArray[np.float64]:
    return head.scaling * (q.astype(np.float64) @ k.astype(np.float64).swapaxes(1, 2))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
