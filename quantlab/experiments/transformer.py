"""Coded queries and keys of a transformer: logits, softmax, and the output after the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.design import DESIGNS, FORMATS, design_empirical
from quantlab.experiments.attention import ATTENTION_DESIGNS
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
    made = [name for name in designs if name not in FORMATS or FORMATS[name].exists_at(n_levels)]
    rows = []
    for group in groups.values():
        first = [head.part(slice(n_calibration)) for head in group]
        # side by side: the product of the wide matrices sums the heads' logits
        a = np.hstack([head.queries.reshape(-1, head.queries.shape[-1]) for head in first])
        b = np.hstack([head.keys.reshape(-1, head.keys.shape[-1]) for head in first]).T
        pair = EmpiricalPair(a, b)
        for name in made:
            books = _fitted(pair, name, n_levels)
            for head in group:
                found = outcomes(head.part(slice(n_calibration, None)), *books)
                rows.append({
                    "layer": head.layer, "head": head.head, "design": name, "bits": bits,
                    "per": per, "rho": pair.gaussian().rho, **found,
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


def _fitted(pair: EmpiricalPair, name: str, n_levels: int) -> tuple[Codebook, Codebook]:
    if name == "empirical":
        return design_empirical(pair, n_levels, smoothing="auto")
    if name in FORMATS:
        return FORMATS[name](pair, n_levels)
    if name not in DESIGNS:
        raise ValueError(f"design must be one of {(*DESIGNS, *FORMATS, 'empirical')}; got {name!r}")
    return DESIGNS[name](pair.gaussian(), n_levels, pair.inner_dim)


def _logits(head: Head, q: NDArray, k: NDArray) -> NDArray[np.float64]:
    return head.scaling * (q.astype(np.float64) @ k.astype(np.float64).swapaxes(1, 2))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
