"""Exact errors and designs: how good over a grid of settings, and how fast beside naive versions.

python benchmarks/design.py            writes benchmarks/results/design.{md,json}, a few minutes
python benchmarks/design.py --quick    a coarse grid, prints only
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import minimize
from scipy.stats import norm

import quantlab as ql

RESULTS = Path(__file__).parent / "results"
OTHERS = ("gaussian_compander", "lloyd_max", "closed_form", "weighted_lloyd_max")
RHOS = (0.0, 0.3, 0.5774, 0.8, 0.95, 0.999)
LEVELS = (2, 3, 4, 8, 16, 32, 64)
INNER_DIMS = (1, 16, 256, 4096)


def grid(rhos: tuple[float, ...], levels: tuple[int, ...]) -> list[dict]:
    """Exact nmse of every design, with its best gain, and of design_bilinear."""
    rows = []
    for rho in rhos:
        pair = ql.GaussianPair(rho)
        for n_levels in levels:
            books = {name: ql.DESIGNS[name](pair, n_levels) for name in OTHERS}
            for k in INNER_DIMS:
                row = {"rho": rho, "n_levels": n_levels, "inner_dim": k}
                for name, pair_of_books in books.items():
                    report = ql.exact_mse(pair, *pair_of_books, k)
                    row[name], row[name + "+gain"] = report.nmse, report.nmse_with_gain
                ours = ql.design_bilinear(pair, n_levels, k)
                row["bilinear"] = ql.exact_mse(pair, *ours, k).nmse
                row["start"] = ours[0].info["start"]
                row["steps"] = len(ours[0].info["trace"]) - 1
                rows.append(row)
    return rows


def naive_exact(pair: ql.GaussianPair, cb_x: ql.Codebook, cb_y: ql.Codebook, k: int) -> float:
    """The same error by a trapezoid of 20,001 points over x and scipy.stats conditional cells."""
    x = np.linspace(-10, 10, 20_001)
    q = np.sqrt(1 - pair.rho**2)
    z = (np.concatenate([[-np.inf], cb_y.thresholds, [np.inf]]) - pair.rho * x[:, None]) / q
    mass = np.diff(norm.cdf(z))
    first = pair.rho * x[:, None] * mass - q * np.diff(norm.pdf(z))
    x_q, c = cb_x.quantize(x), cb_y.centers
    density = norm.pdf(x) * (x[1] - x[0])
    e = pair.mean_product - density @ (x_q * (mass @ c))
    square = pair.mean_square_product + density @ (
        x_q**2 * (mass @ c**2) - 2 * x * x_q * (first @ c)
    )
    return float(k * square + k * (k - 1) * e**2) / pair.energy(k)


def naive_lloyd(pair: ql.GaussianPair, n_levels: int, sweeps: int) -> np.ndarray:
    """Plain Lloyd iteration, exact centroids, from the closed form."""
    c = ql.design_companding(pair, n_levels)[0].centers
    for _ in range(sweeps):
        mass, first = pair.cell_moments((c[1:] + c[:-1]) / 2, weighted=True)
        moved = np.abs(first / mass - c).max()
        c = first / mass
        if moved < 1e-10:
            break
    return c


def naive_bilinear(pair: ql.GaussianPair, n_levels: int, k: int) -> float:
    """scipy's BFGS with its own differences on exact_mse, symmetric codebooks X = Y."""
    half = n_levels // 2
    book, _ = ql.design_lloyd_max(pair, n_levels, weighted=True)

    def codebook(theta: np.ndarray) -> ql.Codebook:
        c, t = np.cumsum(np.exp(theta[:half])), np.cumsum(np.exp(theta[half:]))
        return ql.Codebook(np.r_[-c[::-1], c], np.r_[-t[::-1], 0.0, t])

    def value(theta: np.ndarray) -> float:
        both = codebook(theta)
        return float(np.log(ql.exact_mse(pair, both, both, k).nmse))

    start = np.log(
        np.r_[np.diff(np.r_[0, book.centers[half:]]), np.diff(np.r_[0, book.thresholds[half:]])]
    )
    return float(np.exp(minimize(value, start, method="BFGS").fun))


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call in ms, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def timings() -> list[dict]:
    """Ours, interleaved with the naive version where there is one, and the target."""
    pair = ql.GaussianPair(0.8)
    books = {n: ql.design_companding(pair, n) for n in (16, 256)}
    cases = [
        ("exact_mse K=16", lambda: ql.exact_mse(pair, *books[16], 256), 101, 5.0,
         "trapezoid over x, scipy.stats", lambda: naive_exact(pair, *books[16], 256), 5),
        ("exact_mse K=256", lambda: ql.exact_mse(pair, *books[256], 256), 15, 100.0,
         "trapezoid over x, scipy.stats", lambda: naive_exact(pair, *books[256], 256), 1),
        ("design_lloyd_max K=256, one operand", lambda: ql.design_lloyd_max(pair, (256, 2)), 15,
         20.0, None, None, 0),
        ("design_lloyd_max K=256 weighted, both operands",
         lambda: ql.design_lloyd_max(pair, 256, weighted=True), 15, 20.0,
         "2 x plain Lloyd, stopped at 20,000 sweeps", lambda: naive_lloyd(pair, 256, 20_000), 1),
        ("design_bilinear K=16 k=256 rho=0.8", lambda: ql.design_bilinear(pair, 16, 256), 11,
         100.0, "scipy BFGS on exact_mse", lambda: naive_bilinear(pair, 16, 256), 1),
        ("design_bilinear K=16 k=4096 rho=0.95",
         lambda: ql.design_bilinear(ql.GaussianPair(0.95), 16, 4096), 7, 100.0, None, None, 0),
        ("design_bilinear K=16 k=4096 rho=0.999",
         lambda: ql.design_bilinear(ql.GaussianPair(0.999), 16, 4096), 7, 100.0, None, None, 0),
        ("design_bilinear K=64 k=256 rho=0.8", lambda: ql.design_bilinear(pair, 64, 256), 5,
         1000.0, None, None, 0),
        ("design_bilinear K=64 k=4096 rho=0.999",
         lambda: ql.design_bilinear(ql.GaussianPair(0.999), 64, 4096), 3, 1000.0, None, None, 0),
        ("design_bilinear K=256 k=256 rho=0.8", lambda: ql.design_bilinear(pair, 256, 256), 1,
         None, None, None, 0),
    ]  # fmt: skip
    rows = []
    for name, ours, repeats, target, other_name, other, other_repeats in cases:
        row = {"what": name, "ms": median_ms(ours, repeats), "target_ms": target}
        if other is not None:
            factor = 2 if other_name.startswith("2 x") else 1
            row["naive"] = other_name
            row["naive_ms"] = factor * median_ms(other, other_repeats)
        rows.append(row)
    return rows


def markdown(record: dict) -> str:
    """The tables that people read."""
    lines = ["# Exact errors and designs", ""]
    lines += [f"{key}: {value}  " for key, value in record["settings"].items()]
    lines += ["", "## Time, one core, medians", ""]
    lines += [
        "| what | ms | target | naive version | its ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["timings"]:
        target = f"{row['target_ms']:.0f}" if row["target_ms"] else ""
        naive = row.get("naive_ms")
        tail = f"{row['naive']} | {naive:.0f} | {naive / row['ms']:.0f}" if naive else "| |"
        lines.append(f"| {row['what']} | {row['ms']:.2f} | {target} | {tail} |")
    rows = record["grid"]
    worst = max(r["bilinear"] / best_other(r) for r in rows)
    lines += [
        "", "## Exact nmse over the grid", "",
        "Every other design is given its best gain; `ratio` is bilinear over the best of them. "
        f"Largest ratio: {worst:.9f} (1 where K or rho leaves nothing to gain).", "",
        "| rho | K | k | compander | Lloyd-Max | closed form | weighted LM | bilinear | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in rows:
        others = " | ".join(f"{r[name + '+gain']:.3e}" for name in OTHERS)
        lines.append(
            f"| {r['rho']} | {r['n_levels']} | {r['inner_dim']} | {others} | "
            f"{r['bilinear']:.3e} | {r['bilinear'] / best_other(r):.4f} |"
        )
    lines += ["", "## At which rho the optimal K-level codebook itself splits", ""]
    lines += ["| K | " + " | ".join(f"k = {k}" for k in (1, 16, 256)) + " |", "|---|---|---|---|"]
    for row in record["finite_size"]:
        lines.append("| " + " | ".join("never" if v is None else f"{v:.6g}" for v in row) + " |")
    lines += ["", f"In the limit: 1/sqrt(3) = {ql.CRITICAL_RHO:.6f}.", ""]
    return "\n".join(lines)


def finite_or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no NaN


def best_other(row: dict) -> float:
    return min(min(row[name], row[name + "+gain"]) for name in OTHERS)


def on_one_core() -> None:
    """Start again with single-threaded linear algebra, which must be asked for before numpy."""
    wanted = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="coarse grid, print only")
    quick = parser.parse_args().quick
    rows = grid(RHOS[::3], LEVELS[1:5:2]) if quick else grid(RHOS, LEVELS)
    record = {
        "settings": {
            "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__, "quantlab": ql.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one used",
        },
        "timings": timings(),
        "grid": rows,
        "finite_size": [
            [n, *(finite_or_none(ql.finite_size_critical_rho(n, k)) for k in (1, 16, 256))]
            for n in ((8, 9) if quick else (4, 5, 6, 7, 8, 9, 12, 16, 17, 24, 32, 33, 48, 64))
        ],
    }  # fmt: skip
    text = markdown(record)
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "design.md").write_text(text)
        (RESULTS / "design.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    on_one_core()
    main()
