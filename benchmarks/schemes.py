"""Schemes on held-out data: the 72 shipped heads, and four problems from other libraries.

python -m benchmarks.schemes          writes benchmarks/results/schemes.{md,json}, over half an hour
python -m benchmarks.schemes --quick  every twelfth head, prints only

The four problems need the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import quantlab as ql
from benchmarks._harness import machine
from quantlab.data import load_attention

RESULTS = Path(__file__).parent / "results"
Matrices = tuple[np.ndarray, np.ndarray]


def lost(coded: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    c = a.astype(np.float64) @ b
    return float(np.square(c - coded).sum() / np.square(c).sum())


def by_scheme(scheme: ql.Scheme, a: np.ndarray, b: np.ndarray) -> float:
    return lost(scheme.encode(a, "x") @ scheme.encode(b, "y"), a, b)


def by_codebooks(books: tuple[ql.Codebook, ql.Codebook], a: np.ndarray, b: np.ndarray) -> float:
    return lost(books[0](a) @ books[1](b), a, b)


def heads(step: int) -> list[dict]:
    """Fitted on the calibration texts, measured on the held-out ones; one head at a time."""
    rows = []
    for bits in (3, 4, 6, 8):
        for lengths in ("fixed", "entropy"):
            for index, head in enumerate(load_attention().heads()):
                if index % step:
                    continue
                pair, held_out = head.calibration_pair(), head.held_out.pair()
                start = time.perf_counter()
                scheme = ql.design_scheme(pair, bits, lengths=lengths)
                seconds = time.perf_counter() - start
                coded = scheme.encode(held_out[0], "x"), scheme.encode(held_out[1], "y")
                basis = ql.balance(pair)
                books = ql.design_empirical(basis.apply(*pair), 2**bits, smoothing="auto")
                error = energy = balanced = 0.0
                for a, b in head.held_out.pairs():
                    own = float(np.square(a.astype(np.float64) @ b).sum())
                    energy += own
                    error += own * by_scheme(scheme, a, b)
                    balanced += own * by_codebooks(books, *basis.apply(a, b))
                rows.append({
                    "bits": bits, "lengths": lengths, "head": index, "nmse": error / energy,
                    "balanced": balanced / energy, "seconds": seconds,
                    "written": (coded[0].bits_per_entry + coded[1].bits_per_entry) / 2,
                    "parts": f"{scheme.basis}, {scheme.rates}, {scheme.rounding}, {scheme.books}",
                    "side_bytes": scheme.side_bytes, "limit": ql.limit_nmse(pair, bits),
                })  # fmt: skip
    return rows


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


#: (what, its rows x: the product is x x^T, the most that issue 9 allows at 4 bits)
PROBLEMS: tuple[tuple[str, Callable[[], np.ndarray], float], ...] = (
    ("8 x 8 digits, Gram matrix, k 64", digits, 9.5e-6),
    ("rows of a photograph, raw, k 512", photograph, 3.8e-6),
    ("windows of the CO2 record, k 64", co2_windows, 1.2e-5),
    ("standardised features, Gram, k 30", features, 2.4e-3),
)


def problems() -> list[dict]:
    """x x^T at 4 bits; fitted on every other row, measured on the rest; and on halves in order."""
    rows = []
    for name, load, target in PROBLEMS:
        x = np.ascontiguousarray(load(), np.float32)
        half = len(x) // 2
        for split, own, other in (
            ("every other row", x[::2], x[1::2]),
            ("first and second half", x[:half], x[half:]),
        ):
            pair, held_out = (own, own.T), (other, other.T)
            basis = ql.balance(pair)
            start = time.perf_counter()
            scheme = ql.design_scheme(pair, 4)
            seconds = time.perf_counter() - start
            fits = [ql.design_empirical(pair, 16, smoothing=how) for how in (0.0, "auto")]
            moved = ql.design_empirical(basis.apply(*pair), 16, smoothing="auto")
            rows.append({
                "problem": name, "split": split, "target": target, "seconds": seconds,
                "scheme": by_scheme(scheme, *held_out), "parts": repr(scheme),
                "data_fit": min(by_codebooks(books, *held_out) for books in fits),
                "balanced": by_codebooks(moved, *basis.apply(*held_out)),
                "limit": ql.limit_nmse(pair, 4),
            })  # fmt: skip
    return rows


def markdown(record: dict) -> str:
    about = ", ".join(f"{name} {value}" for name, value in record["about"].items())
    lines = [
        "# Schemes", "", f"Made by `python -m benchmarks.schemes`. {about}.", "",
        "## 72 attention heads", "",
        "Fitted on the calibration texts, measured on the held-out ones; geometric mean of nmse. "
        "All choices are made inside the calibration texts, but for the margin that entropy-coded "
        "lengths keep, which was set with the held-out lengths in sight. written: mean bits an "
        "entry of codes on the held-out texts (entropy: what the range coder wrote); side "
        "information apart, and of fixed lengths above their bits what moved codebooks. "
        "Rows may come from runs of their own, seconds from a machine shared with others.", "",
        "| bits | lengths | nmse | balanced codebooks | limit | written | better than balanced | "
        "side bytes | s a head |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for bits in (3, 4, 6, 8):
        for lengths in ("fixed", "entropy"):
            own = [r for r in record["heads"] if (r["bits"], r["lengths"]) == (bits, lengths)]
            mean = {key: np.exp(np.mean([np.log(r[key]) for r in own]))
                    for key in ("nmse", "balanced", "limit")}  # fmt: skip
            wins = sum(r["nmse"] < r["balanced"] for r in own)
            written, side, seconds = (
                np.mean([r[key] for r in own]) for key in ("written", "side_bytes", "seconds")
            )
            lines.append(
                f"| {bits} | {lengths} | {mean['nmse']:.2e} | {mean['balanced']:.2e} | "
                f"{mean['limit']:.2e} | {written:.3f} | {wins} of {len(own)} | {side:.0f} | "
                f"{seconds:.2f} |"
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
            "and codebooks of a scheme are then moved, for up to 64 / rows bits an entry. "
            "Seconds: of a busy machine.",
            "", "| problem | split | scheme | target | data fit | balanced | limit | s | parts |",
            "|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
    for r in record["problems"]:
        numbers = " | ".join(f"{r[k]:.2e}" for k in ("scheme", "target", "data_fit", "balanced"))
        lines.append(
            f"| {r['problem']} | {r['split']} | {numbers} | {r['limit']:.1e} | "
            f"{r['seconds']:.1f} | {r['parts']} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every twelfth head, print only")
    quick = parser.parse_args().quick
    about = machine(("numpy", "numba", "quantlab"))
    record = {"about": about, "heads": heads(12 if quick else 1), "problems": []}
    if not quick:
        record["problems"] = problems()
    text = markdown(record)
    print(text)
    if not quick:
        (RESULTS / "schemes.md").write_text(text)
        (RESULTS / "schemes.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
