"""Schemes on held-out data: the 72 shipped heads, and data from other libraries.

python -m benchmarks.schemes          writes benchmarks/results/schemes.{md,json}, half an hour
python -m benchmarks.schemes --quick  every twelfth head, prints only

Data from other libraries need the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import quantlab as ql
from benchmarks._harness import machine
from benchmarks._problems import lagged, numbers, quarters, standardised
from quantlab.data import load_attention
from quantlab.data.attention import Sequences

RESULTS = Path(__file__).parent / "results"
Matrices = tuple[np.ndarray, np.ndarray]


def lost(coded: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    c = a.astype(np.float64) @ b
    return float(np.square(c - coded).sum() / np.square(c).sum())


def by_scheme(scheme: ql.Scheme, a: np.ndarray, b: np.ndarray) -> float:
    return lost(scheme.encode(a, "x") @ scheme.encode(b, "y"), a, b)


def by_codebooks(books: tuple[ql.Codebook, ql.Codebook], a: np.ndarray, b: np.ndarray) -> float:
    return lost(books[0](a) @ books[1](b), a, b)


def by_texts(x: ql.SchemeMatrix, y: ql.SchemeMatrix, texts: Sequences) -> float:
    """Coded at once, as they are written; multiplied text by text."""
    rows, columns, tokens = x.decode(np.float64), y.decode(np.float64), texts.queries.shape[1]
    error = energy = 0.0
    for text, (a, b) in enumerate(texts.pairs()):
        at, c = slice(text * tokens, (text + 1) * tokens), a.astype(np.float64) @ b
        energy += float(np.square(c).sum())
        error += float(np.square(c - rows[at] @ columns[:, at]).sum())
    return error / energy


def one_head(task: tuple[int, str, int]) -> dict:
    """Fitted on the calibration texts, measured on the held-out ones."""
    bits, lengths, index = task
    head = list(load_attention().heads())[index]
    pair, held_out = head.calibration_pair(), head.held_out.pair()
    start = time.process_time()
    scheme = ql.design_scheme(pair, bits, lengths=lengths)
    seconds = time.process_time() - start
    coded = scheme.encode(held_out[0], "x"), scheme.encode(held_out[1], "y")
    basis = ql.balance(pair)
    books = ql.design_empirical(basis.apply(*pair), 2**bits, smoothing="auto")
    energy = balanced = 0.0
    for a, b in head.held_out.pairs():
        own = float(np.square(a.astype(np.float64) @ b).sum())
        energy += own
        balanced += own * by_codebooks(books, *basis.apply(a, b))
    written = (coded[0].bits_per_entry + coded[1].bits_per_entry) / 2
    return {
        "bits": bits, "lengths": lengths, "head": index,
        "nmse": by_texts(*coded, head.held_out),
        "balanced": balanced / energy, "seconds": seconds, "written": written,
        "with_side": written + 8 * scheme.side_bytes / (pair[0].size + pair[1].size),
        "parts": f"{scheme.basis}, {scheme.rates}, {scheme.rounding}, {scheme.books}",
        "side_bytes": scheme.side_bytes, "limit": ql.limit_nmse(pair, bits),
    }  # fmt: skip


def heads(step: int) -> list[dict]:
    tasks = [
        (bits, lengths, index)
        for bits in (3, 4, 6, 8)
        for lengths in ("fixed", "entropy")
        for index in range(0, 72, step)
    ]
    os.environ |= dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(one_head, tasks, chunksize=6))


def digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().data


def photograph() -> np.ndarray:
    from skimage.data import camera

    return camera()


def co2_windows() -> np.ndarray:
    from statsmodels.datasets import co2

    series = co2.load_pandas().data["co2"].interpolate().to_numpy()
    return np.lib.stride_tricks.sliding_window_view(series - series.mean(), 64)[::2]


def features() -> np.ndarray:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer().data
    return (data - data.mean(axis=0)) / data.std(axis=0)


def learn(name: str) -> np.ndarray:
    return getattr(import_module("sklearn.datasets"), f"load_{name}")().data


#: Small sets: is the choice of parts ever worse than the plain designs? Its rules are settled on
#: other sets, by benchmarks/settle.py.
SMALL: dict[str, Callable[[], np.ndarray]] = {
    "nile, 16 lags": lambda: lagged(numbers("nile")[:, 1], 16),
    "wine": lambda: learn("wine"),
    "wine, standardised": lambda: standardised(learn("wine")),
    "nile, 32 lags": lambda: lagged(numbers("nile")[:, 1], 32),
    "iris": lambda: learn("iris"),
    "iris, standardised": lambda: standardised(learn("iris")),
    "diabetes": lambda: learn("diabetes"),
    "linnerud": lambda: learn("linnerud"),
    "breast cancer": lambda: learn("breast_cancer"),
    "macrodata": lambda: numbers("macrodata"),
    "macrodata, standardised": lambda: standardised(numbers("macrodata")),
    "sunspots, 24 lags": lambda: lagged(numbers("sunspots")[:, 1], 24),
    "sunspots, 64 lags": lambda: lagged(numbers("sunspots")[:, 1], 64),
    "elnino": lambda: numbers("elnino")[:, 1:],
    "elnino, standardised": lambda: standardised(numbers("elnino")[:, 1:]),
    "electric equipment, 12 lags": lambda: lagged(numbers("elec_equip")[:, 0], 12),
    "anes96": lambda: numbers("anes96"),
    "ccard": lambda: numbers("ccard"),
    "copper": lambda: numbers("copper"),
    "engel": lambda: numbers("engel"),
    "grunfeld": lambda: numbers("grunfeld"),
    "longley": lambda: numbers("longley"),
    "modechoice": lambda: numbers("modechoice"),
    "scotland": lambda: numbers("scotland"),
    "spector": lambda: numbers("spector"),
    "stackloss": lambda: numbers("stackloss"),
    "star98": lambda: numbers("star98"),
    "statecrime": lambda: numbers("statecrime"),
    "strikes": lambda: numbers("strikes"),
    "60 x 30 normal": lambda: np.random.default_rng(0).normal(size=(60, 30)),
}

#: (what, its rows x: the product is x x^T, the most that issue 9 allows at 4 bits)
PROBLEMS: tuple[tuple[str, Callable[[], np.ndarray], float], ...] = (
    ("8 x 8 digits, Gram matrix, k 64", digits, 9.5e-6),
    ("rows of a photograph, raw, k 512", photograph, 3.8e-6),
    ("windows of the CO2 record, k 64", co2_windows, 1.2e-5),
    ("standardised features, Gram, k 30", features, 2.4e-3),
)


def splits(x: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    half = len(x) // 2
    at = np.random.default_rng(0).permutation(len(x))
    yield "every other row", x[::2], x[1::2]
    yield "first and second half", x[:half], x[half:]
    yield "second and first half", x[half:], x[:half]
    yield "at random", x[at[:half]], x[at[half:]]


def against_codebooks(pair: Matrices, held_out: Matrices) -> dict:
    """A pair is fitted to, another measured, at 4 bits."""
    basis = ql.balance(pair)
    start = time.process_time()
    scheme = ql.design_scheme(pair, 4)
    seconds = time.process_time() - start
    fits = [ql.design_empirical(pair, 16, smoothing=how) for how in (0.0, "auto")]
    moved = ql.design_empirical(basis.apply(*pair), 16, smoothing="auto")
    return {
        "seconds": seconds, "scheme": by_scheme(scheme, *held_out), "parts": repr(scheme),
        "written": scheme.encode(held_out[0], "x").bits_per_entry,
        "with_side": 4 + 8 * scheme.side_bytes / (pair[0].size + pair[1].size),
        "data_fit": min(by_codebooks(books, *held_out) for books in fits),
        "balanced": by_codebooks(moved, *basis.apply(*held_out)),
        "limit": ql.limit_nmse(pair, 4),
    }  # fmt: skip


def problems() -> list[dict]:
    rows = []
    for name, load, target in PROBLEMS:
        x = np.ascontiguousarray(load(), np.float32)
        for split, own, other in [*splits(x)][:2]:
            row = {"problem": name, "split": split, "target": target}
            rows.append(row | against_codebooks((own, own.T), (other, other.T)))
    return rows


def small_sets() -> list[dict]:
    rows = []
    for name, load in SMALL.items():
        x = np.ascontiguousarray(load(), np.float32)
        halves = ((how, (own, own.T), (other, other.T)) for how, own, other in splits(x))
        for split, pair, held_out in (*halves, *(quarters(x) if len(x) >= 40 else ())):
            row = {"set": name, "split": split, "m": len(pair[0]), "k": x.shape[1],
                   "alike": np.array_equal(pair[0], pair[1].T)}  # fmt: skip
            row |= against_codebooks(pair, held_out)
            rows.append(row | {"ratio": row["scheme"] / min(row["data_fit"], row["balanced"])})
    return rows


def markdown(record: dict) -> str:
    about = ", ".join(f"{name} {value}" for name, value in record["about"].items())
    lines = [
        "# Schemes", "", f"Made by `python -m benchmarks.schemes`. {about}.", "",
        "## 72 attention heads", "",
        "Fitted on the calibration texts, measured on the held-out ones; geometric mean of nmse. "
        "All choices are made inside the calibration texts, what was settled once and for all too "
        "([settings](settle.md)); entropy-coded rows choose their steps so that what is written, "
        "the 16 bits that tell them included, keeps to the bits. (A margin of 1.5 standard errors, "
        "settled inside the calibration texts, left 1.35e-3 at 3.94 of 4 bits; the rows' choice "
        "replaced it when that had been seen, and has no setting.) written: mean bits an "
        "entry of codes on the held-out texts (entropy: what the range coder wrote; fixed: above "
        "their bits what moved codebooks). with side: all that decoding and products need "
        "beside the codes counted too, spread over the entries of the calibration texts. "
        "s a head: of one processor.", "",
        "| bits | lengths | nmse | balanced codebooks | limit | written | with side | "
        "better than balanced | side bytes | s a head |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for bits in (3, 4, 6, 8):
        for lengths in ("fixed", "entropy"):
            own = [r for r in record["heads"] if (r["bits"], r["lengths"]) == (bits, lengths)]
            mean = {key: np.exp(np.mean([np.log(r[key]) for r in own]))
                    for key in ("nmse", "balanced", "limit")}  # fmt: skip
            wins = sum(r["nmse"] < r["balanced"] for r in own)
            written, whole, side, seconds = (
                np.mean([r[key] for r in own])
                for key in ("written", "with_side", "side_bytes", "seconds")
            )
            lines.append(
                f"| {bits} | {lengths} | {mean['nmse']:.2e} | {mean['balanced']:.2e} | "
                f"{mean['limit']:.2e} | {written:.3f} | {whole:.3f} | {wins} of {len(own)} | "
                f"{side:.0f} | {seconds:.2f} |"
            )
    lines += ["", "Chosen at 4 bits, fixed length:", ""]
    chosen = Counter(
        r["parts"] for r in record["heads"] if (r["bits"], r["lengths"]) == (4, "fixed")
    )
    lines += [f"- {count} times {parts}" for parts, count in chosen.most_common()]
    if record["problems"]:
        lines += [
            "", "## Other data, 4 bits, fixed length", "",
            "x x^T, fitted on one half of the rows, measured on the other. data fit: the better of "
            "smoothed and not. limit: Gaussian, so that discrete data can be below it. Halves in "
            "order are another question: what is measured may lie outside of what was fitted to, "
            "and codebooks of a scheme are then moved, for up to 64 / rows bits an entry. Of x x^T "
            "the encoder knows what errors of the rows at hand meet, and feedback follows their "
            "moment too: the photograph's bottom half is unlike its top (feedback by the top's "
            "moment left 2.2e-5, no better than none, 1.7e-5), and shrinking a moment of 256 rows "
            "of 512 entries by two thirds hid most of what could be made up for. "
            "with side: as above. s: of one processor.",
            "", "| problem | split | scheme | target | data fit | balanced | limit | with side | s "
            "| parts |", "|---|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
    for r in record["problems"]:
        numbers = " | ".join(f"{r[k]:.2e}" for k in ("scheme", "target", "data_fit", "balanced"))
        lines.append(
            f"| {r['problem']} | {r['split']} | {numbers} | {r['limit']:.1e} | "
            f"{r['with_side']:.2f} | {r['seconds']:.1f} | {r['parts']} |"
        )
    if record["small"]:
        alike, unlike = (
            np.array([r["ratio"] for r in record["small"] if r["alike"] == same])
            for same in (True, False)
        )
        lines += [
            "", "## Small sets, 4 bits, fixed length", "",
            "nmse by `design_scheme` over that of the best plain design: `design_empirical`, "
            "smoothed or not, or in the basis of `balance`. x x^T, fitted on one half of the rows, "
            "measured on the other; bits: what was written, where codebooks were moved. quarters: "
            "of the rows, A and B fitted to the first two, measured on the others; sets of 40 rows "
            f"and more. At most 1.02 in {int((alike <= 1.02).sum())} of {alike.size} halves (at "
            f"most {alike.max():.2f}), {int((unlike <= 1.02).sum())} of {unlike.size} quarters (at "
            f"most {unlike.max():.2f}). The rules that choose are settled on other sets and on "
            "drawn rows ([settings](settle.md)); earlier ones were settled with the ratios of "
            "these halves in sight.", "",
            "| set | m, k | every other row | first, second half | second, first | at random | "
            "quarters, every fourth row | quarters, at random |",
            "|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for name in SMALL:
            own = [r for r in record["small"] if r["set"] == name]
            cells = " | ".join(
                f"{r['ratio']:.2g}" + (f" ({r['written']:.2f} bits)" if r["written"] > 4 else "")
                for r in own
            )
            cells += " | |" * (len(own) == 4)
            lines.append(f"| {name} | {own[0]['m']}, {own[0]['k']} | {cells} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every twelfth head, print only")
    quick = parser.parse_args().quick
    about = machine(("numpy", "numba", "quantlab"))
    record = {"about": about, "problems": [], "small": []}
    if not quick:
        record |= {"problems": problems(), "small": small_sets()}
    record["heads"] = heads(12 if quick else 1)
    text = markdown(record)
    print(text)
    if not quick:
        (RESULTS / "schemes.md").write_text(text)
        (RESULTS / "schemes.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
