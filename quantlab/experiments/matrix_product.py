"""Products of Gaussian matrices: every design's error, measured beside the exact one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.experiments.designs import GAIN, LAW_DESIGNS, codebooks, exact, exists_at
from quantlab.experiments.shared_factor import MOST_RHO, conditional_error
from quantlab.experiments.statistics import Mean
from quantlab.pairs import GaussianPair
from quantlab.sweep import Row


def product_errors(
    rng: np.random.Generator,
    rho: float,
    n_levels: Sequence[int] = (16,),
    designs: Sequence[str] = LAW_DESIGNS,
    m: int = 128,
    k: int = 256,
    n: int = 128,
    batch: int = 1,
) -> list[Row]:
    r"""One trial: the error of each design at each K, with and without gain, on the same matrices.

    .. math:: \mathrm{nmse} = \frac{\|AB - g \hat A \hat B\|_F^2}{m n\, E[C_{ij}^2]}, \qquad
              \mathrm{relative} = \frac{\|AB - g \hat A \hat B\|_F}{\|AB\|_F}

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the matrices.
    rho : float
        Correlation of the Gaussian pair, both standard deviations 1.
    n_levels : sequence of int
        Values of K = K_X = K_Y; a design that does not exist at a K is left out there.
    designs : sequence of str
        Names as in `DESIGNS` and `FORMATS`.
    m, k, n : int
        Shapes of A (m, k) and B (k, n).
    batch : int
        Independent pairs of matrices whose errors the row averages.

    Returns
    -------
    list of dict
        A row for each K, design and gain ("closed_form", "closed_form+gain"): `levels`, `design`,
        `nmse`, `relative`, and, up to |rho| = 0.9999, `expected`: the nmse that theory expects
        given the factors z that A and B share (`ConditionalError`).

    Notes
    -----
    Fits `Sweep`. Products are decoded and multiplied in float32: the integer routes of `matmul`
    would add their own small error to what is measured here. The gain is the exact one, g = 1
    without.

    Examples
    --------
    >>> rows = product_errors(np.random.default_rng(0), rho=0.8, designs=["closed_form"])
    >>> [(row["design"], f"{row['nmse']:.0e}") for row in rows]
    [('closed_form', '2e-04'), ('closed_form+gain', '2e-04')]
    """
    pair = GaussianPair(rho)
    cases = [
        (levels, design) for levels in n_levels for design in designs if exists_at(design, levels)
    ]
    energy = pair.energy(k)
    totals = np.zeros((len(cases), 2, 3))
    for _ in range(check.count(batch, "batch")):
        a, b, z = _sample(pair, m, k, n, rng)
        c = a @ b
        norm = float(np.linalg.norm(c))
        for i, (levels, design) in enumerate(cases):
            gain = exact(pair, design, levels, k).gain
            squares = squared_errors(a, b, c, *codebooks(pair, design, levels, k), gain)
            for j, square in enumerate(squares):
                expected = np.nan
                if abs(pair.rho) <= MOST_RHO:
                    expected = conditional_error(pair, design, levels, k, j == 1)(z)
                totals[i, j] += square / (m * n * energy), np.sqrt(square) / norm, expected / energy
    rows = []
    for (levels, design), both in zip(cases, (totals / batch).tolist(), strict=True):
        for suffix, (nmse, relative, mean) in zip(("", GAIN), both, strict=True):
            row = {"levels": levels, "design": design + suffix, "nmse": nmse, "relative": relative}
            rows.append(row if np.isnan(mean) else {**row, "expected": mean})
    return rows


def _sample(
    pair: GaussianPair, m: int, k: int, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A, B and the factors z (k,) that they share, at unit variances."""
    z = rng.standard_normal(k, dtype=np.float32)
    shared, own = (np.float32(np.sqrt(share)) for share in (abs(pair.rho), 1 - abs(pair.rho)))
    a = shared * z + own * rng.standard_normal((m, k), dtype=np.float32)
    signed = np.copysign(shared, np.float32(pair.rho)) * z
    b = signed[:, None] + own * rng.standard_normal((k, n), dtype=np.float32)
    return a, b, z


def squared_errors(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32],
    codebook_x: Codebook,
    codebook_y: Codebook,
    gain: float,
) -> tuple[float, float]:
    """||C - Cq||_F^2 and ||C - gain Cq||_F^2 from one coded product."""
    coded = encode(a, codebook_x).decode() @ encode(b, codebook_y).decode()
    error = c - coded
    # C - g Cq = (C - Cq) - (g - 1) Cq: inner products of small and large, never large minus large
    square, cross, own = (
        _inner(*pair) for pair in ((error, error), (error, coded), (coded, coded))
    )
    excess = gain - 1
    return square, square - 2 * excess * cross + excess**2 * own


def _inner(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.sum(left * right, dtype=np.float64))


def product_table(rows: Sequence[Row]) -> list[Row]:
    """Average the trials of `product_errors` and set the exact error beside them.

    Parameters
    ----------
    rows : sequence of dict
        From a `Sweep` of `product_errors` with at least two trials.

    Returns
    -------
    list of dict
        One row for each (rho, K, design): `plain` mean of the trials' nmse; `nmse`, `low`, `high`
        (95 %): the same with each trial's `expected` replaced by its mean over z, which has far
        less spread; `exact`, `deviations` (standard errors between nmse and exact), `trials` (with
        `batch` products each), `relative` and its interval.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["rho"], row["levels"], row["design"]), []).append(row)
    table = []
    for (rho, levels, design), own in groups.items():
        pair, name, gained = GaussianPair(rho), design.removesuffix(GAIN), design.endswith(GAIN)
        k = own[0].get("k", 256)
        plain = np.array([row["nmse"] for row in own])
        known = np.array([row.get("expected", 0.0) for row in own])
        mean = 0.0
        if "expected" in own[0]:
            mean = conditional_error(pair, name, levels, k, gained).mean(k) / pair.energy(k)
        measured = Mean.of(plain - known + mean)
        relative = Mean.of([row["relative"] for row in own])
        theory = exact(pair, name, levels, k)
        expected = theory.nmse_with_gain if gained else theory.nmse
        table.append({
            "rho": rho, "levels": levels, "design": design, "trials": len(own),
            "plain": float(plain.mean()), "nmse": measured.value, "low": measured.low,
            "high": measured.high, "exact": expected,
            "deviations": measured.deviations_from(expected),
            "relative": relative.value, "relative_low": relative.low,
            "relative_high": relative.high,
        })  # fmt: skip
    return table


def reduction(
    rows: Sequence[Row], design: str, than: str, by: str = "relative", **settings: object
) -> Mean:
    """1 - mean(design) / mean(than), paired over the trials of the rows that match `settings`."""
    chosen = [row for row in rows if all(row[name] == value for name, value in settings.items())]
    better, plain = (
        np.array([row[by] for row in chosen if row["design"] == name]) for name in (design, than)
    )
    return Mean.reduction(better, plain)
