"""A whole encoder with every product coded: does less error of the products mean a better model?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.data.make_attention import paragraphs
from quantlab.data.texts import questions_answers
from quantlab.model import (
    MODEL_DESIGNS,
    Operands,
    Outcome,
    allocate_bits,
    designs_at,
    mean_bits,
    record_products,
    run_model,
)
from quantlab.model.coding import code_at, side_bits
from quantlab.model.loading import layer_of
from quantlab.model.operands import KINDS
from quantlab.progress import Meter, Progress
from quantlab.sweep import Row

_SHARPNESS = 20.0  # of cosines, where sentence encoders are trained to tell answers apart
RUNGS = (2, 3, 4, 6)  # bits that allocation chooses from
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Texts:
    """Token ids: paragraphs and pairs to calibrate on, and pairs to measure on.

    Attributes
    ----------
    calibration : list of list of int
        All texts that coders are made from.
    pairs : list of list of int
        Of these the questions, and behind them their answers: what allocation measures on.
    held_out : list of list of int
        Questions, and behind them their answers.
    """

    calibration: list[list[int]]
    pairs: list[list[int]]
    held_out: list[list[int]]

    @classmethod
    def by(cls, tokenizer: Any, few: int | None = None) -> Texts:
        """The shipped texts as this tokenizer reads them; of each kind `few` where that is given.

        Raises
        ------
        ValueError
            If it makes no token of a text.
        """
        own, held_out = (
            [each[side] for side in (0, 1) for each in pairs[:few]] for pairs in questions_answers()
        )
        read = [[*tokenizer(part)["input_ids"]] for part in (paragraphs()[:few], own, held_out)]
        if not all(ids for part in read for ids in part):
            raise ValueError("the tokenizer makes no token of a text")
        longer, pairs, others = read
        return cls(longer + pairs, pairs, others)


def ranking(embeddings: FloatArray) -> dict[str, float]:
    r"""How well questions find their answers.

    .. math:: \mathrm{loss} = -\frac1n \sum_i \log \frac{e^{20 \cos(q_i, a_i)}}
              {\sum_j e^{20 \cos(q_i, a_j)}}

    Parameters
    ----------
    embeddings : ndarray, shape (2 n, d)
        Of length 1: questions, and behind them their answers.

    Returns
    -------
    dict
        loss (nats), reciprocal_rank and found (first): means over the questions.
    """
    questions, answers = np.split(embeddings, 2)
    cosines = questions @ answers.T
    right = np.diag(cosines)
    rank = 1 + (cosines > right[:, None]).sum(axis=1)
    scaled = _SHARPNESS * cosines
    most = scaled.max(axis=1)
    total = most + np.log(np.exp(scaled - most[:, None]).sum(axis=1))
    return {
        "loss": float(np.mean(total - np.diag(scaled))),
        "reciprocal_rank": float(np.mean(1 / rank)), "found": float(np.mean(rank == 1)),
    }  # fmt: skip


def embedding_error(exact: FloatArray, coded: FloatArray) -> float:
    """1 - cosine of a text's two embeddings, both of length 1: mean over the texts."""
    return float(np.mean(0.5 * np.square(exact - coded).sum(axis=1)))


def model_rows(
    model: Any,
    texts: Texts,
    bits: Iterable[int],
    designs: Sequence[str] | None = None,
    progress: Progress = None,
) -> tuple[list[Row], list[Row]]:
    """One row for each number of bits and design, every product of the model's layers coded by it.

    Parameters
    ----------
    model : transformers model
        From `load_model`.
    texts : Texts
    bits : iterable of int
        From 2 to 8.
    designs : sequence of str, optional
        Some of `MODEL_DESIGNS`; those that do not exist at so many bits are left out.

    progress : callable or True, optional
        progress(done, total, seconds left) at each design.

    Returns
    -------
    (list of dict, list of dict)
        First a row for each number of bits and design: bits_per_entry (scales and codebooks
        included, spread over the operands on the calibration texts), nmse
        (geometric mean over the products, on the float model's operands), linear, logits, values
        (the same of each kind), embedding (`embedding_error` on the held-out texts), and
        `ranking`'s, with loss_more: above the float model's. Its first row is the float model's,
        with bits 32. Then a row for each number of bits and key head: layer, head, rho of queries
        and keys on the calibration texts, and the logits' nmse by each design.

    Raises
    ------
    ValueError
        If no design is left, or the model cannot be watched.
    """
    products = record_products(model, texts.calibration)
    exact = run_model(model, texts.held_out).pooled()
    plain = ranking(exact)
    rows: list[Row] = [{"bits": 32, "design": "float", **plain}]
    rates = [*bits]
    jobs = {
        name: own for name in MODEL_DESIGNS if designs is None or name in designs
        if (own := [rate for rate in rates if name in designs_at(rate)])
    }  # fmt: skip
    if not jobs:
        raise ValueError(f"designs must be some of {MODEL_DESIGNS}, at bits they have")
    heads: dict[tuple[int, str], Row] = {
        (rate, name): {
            "bits": rate, "layer": layer_of(name), "head": int(name.rpartition(".")[2]),
            "rho": each.pair().gaussian().rho,
        }
        for rate in rates
        for name, each in products.items() if each.kind == "logits"
    }  # fmt: skip
    with Meter(progress, sum(map(len, jobs.values())), label="model") as meter:
        for design, own in jobs.items():
            for rate, coders in code_at(products, design, own).items():
                errors = run_model(model, texts.held_out, coders, carry="exact").nmse
                coded = run_model(model, texts.held_out, coders).pooled()
                found = ranking(coded)
                rows.append({
                    "bits": rate, "design": design,
                    "bits_per_entry": rate + side_bits(coders, products),
                    "nmse": _mean(errors.values()), **_by_kind(products, errors),
                    "embedding": embedding_error(exact, coded), **found,
                    "loss_more": found["loss"] - plain["loss"],
                })  # fmt: skip
                for name, each in products.items():
                    if each.kind == "logits":
                        heads[rate, name][design] = errors[name]
                meter.add()
    first, *others = rows
    return [first, *sorted(others, key=lambda row: row["bits"])], list(heads.values())


def agreement(rows: Sequence[Row]) -> list[Row]:
    """Kendall's tau of designs' ranks by embedding error and by nmse, at each size and over all.

    tau: by the nmse of all products; linear, logits, values: by that of each kind.
    """
    from scipy.stats import kendalltau

    coded = [row for row in rows if "nmse" in row]
    table: list[Row] = []
    for bits in (*dict.fromkeys(row["bits"] for row in coded), "all"):
        own = [row for row in coded if bits in (row["bits"], "all")]
        if len(own) > 1:
            error = [row["embedding"] for row in own]
            table.append({"bits": bits, "designs": len(own), **{
                name: float(kendalltau([row[by] for row in own], error).statistic)
                for name, by in (("tau", "nmse"), *zip(KINDS, KINDS, strict=True))
            }})  # fmt: skip
    return table


def allocation_rows(
    model: Any,
    texts: Texts,
    means: Iterable[float],
    design: str,
    rungs: Sequence[int] = RUNGS,
    progress: Progress = None,
) -> tuple[list[Row], list[Row]]:
    """Bits allocated across products against equal bits, both by one design.

    Parameters
    ----------
    model : transformers model
        From `load_model`.
    texts : Texts
    means : iterable of float
        Mean bits of an entry over both operands of all products, weights counted once and
        activations as often as the mean text of `texts.pairs` has them.
    design : str
        A design that exists at all `rungs`.
    rungs : sequence of int
        Bits that a product may have.
    progress : callable or True, optional
        progress(done, total, seconds left) at each product and number of bits.

    Returns
    -------
    (list of dict, list of dict)
        For each mean two rows, "equal" and "allocated": their mean bits, and `embedding` and
        `loss` on held-out texts; and one row a product (all heads of a layer together), with its
        entries, its loss at each number of bits, and what it was given.
    """
    products = record_products(model, texts.calibration)
    sizes = entries(record_products(model, texts.pairs), len(texts.pairs))
    means = [*means]
    by_bits = code_at(products, design, sorted({*rungs, *map(round, means)}))
    exact = run_model(model, texts.pairs).pooled()
    losses: dict[str, dict[int, float]] = {group: {} for group in sizes}
    with Meter(progress, len(sizes) * len(rungs), label="allocation") as meter:
        for group, own in losses.items():
            names = [name for name, each in products.items() if each.group == group]
            for rate in rungs:
                some = {name: by_bits[rate][name] for name in names}
                own[rate] = embedding_error(exact, run_model(model, texts.pairs, some).pooled())
                meter.add()
    wanted = run_model(model, texts.held_out).pooled()
    plain = ranking(wanted)["loss"]
    rows = []
    given: dict[str, dict[str, int]] = {}
    for mean in means:
        allocated = allocate_bits(losses, sizes, mean)
        for how, bits in (("equal", dict.fromkeys(sizes, round(mean))), ("allocated", allocated)):
            coders = {name: by_bits[bits[own.group]][name] for name, own in products.items()}
            found: Outcome = run_model(model, texts.held_out, coders)
            loss = ranking(found.pooled())["loss"]
            rows.append({
                "mean": mean, "how": how, "design": design, "bits": mean_bits(bits, sizes),
                "embedding": embedding_error(wanted, found.pooled()), "loss": loss,
                "loss_more": loss - plain,
            })  # fmt: skip
        given[f"at {mean:g}"] = allocated
    table = [
        {
            "product": group, "entries": sizes[group],
            **{f"{b} bits": loss for b, loss in losses[group].items()},
            **{name: bits[group] for name, bits in given.items()},
        }
        for group in sizes
    ]  # fmt: skip
    return rows, table


def entries(products: Mapping[str, Operands], n_texts: int) -> dict[str, float]:
    """Entries of both operands of each product that one text meets; heads of a layer together."""
    found: dict[str, float] = {}
    for each in products.values():
        weights = sum(part.size for part in each.y) if each.kind == "linear" else 0
        size = weights + (each.entries - weights) / n_texts
        found[each.group] = found.get(each.group, 0.0) + size
    return found


def _by_kind(products: Mapping[str, Operands], errors: Mapping[str, float]) -> dict[str, float]:
    return {
        kind: _mean(error for name, error in errors.items() if products[name].kind == kind)
        for kind in KINDS
    }


def _mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(np.maximum([*values], 1e-300)))))
