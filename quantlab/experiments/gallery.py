"""The gallery's products by each design, held out: where the transition is, and what it buys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantlab.balancing import balance
from quantlab.codes import encode
from quantlab.data import Problem, gallery, problem
from quantlab.density import gaussian_peaks
from quantlab.experiments.claims import PAPER, PLAIN, Claim, Finding, Run
from quantlab.experiments.designs import BALANCED, EMPIRICAL, SCHEME, calibrated
from quantlab.pairs import CRITICAL_RHO, EmpiricalPair
from quantlab.reading import gaussian_reading
from quantlab.scheme import design_scheme
from quantlab.sweep import Row

#: What is ranked, from the plainest on.
GALLERY_DESIGNS = (PLAIN, PAPER, EMPIRICAL, BALANCED, SCHEME)
_Matrices = tuple[NDArray, NDArray]


def gallery_rows(bits: int = 4, names: Sequence[str] | None = None, *, seed: int = 0) -> list[Row]:
    r"""A row a problem: its correlation, the goodness of the law, and each design's held-out nmse.

    .. math:: \mathrm{nmse} = \lVert C - \hat C \rVert_F^2 / \lVert C \rVert_F^2

    Parameters
    ----------
    bits : int
        From 1 to 8.
    names : sequence of str, optional
        Some of `gallery`; all unless given.
    seed : int
        Of the law's samples in `gaussian_reading`.

    Returns
    -------
    list of dict
        problem, bits, k, rho and peak (of the point density, in standard deviations; 0 below the
        transition), one nmse a design, "NAME+gain" with the best scalar on the held-out product,
        scheme_bits (an entry), predicted, ratio, low, high, distance and trusted (of
        `gaussian_reading`), and winner.

    Raises
    ------
    ValueError, TypeError
        If a name or bits is not valid.

    Examples
    --------
    >>> (row,) = gallery_rows(4, ["co2_trend"])
    >>> round(row["rho"], 2), row["winner"], row["trusted"]
    (-0.75, 'scheme', False)
    """
    chosen = gallery().values() if names is None else [problem(name) for name in names]
    return [_row(each, bits, seed) for each in chosen]


def _row(one: Problem, bits: int, seed: int) -> Row:
    pair = EmpiricalPair(*one.calibration)
    reading = gaussian_reading(pair, bits, held_out=[one.held_out], rng=seed)
    row: Row = {
        "problem": one.name, "bits": bits, "k": pair.inner_dim, "rho": reading.law.rho,
        "peak": float(gaussian_peaks(reading.law.rho)[-1]),
    }  # fmt: skip
    a, b = one.held_out
    c = a.astype(np.float64) @ b
    for name in GALLERY_DESIGNS:
        if name == SCHEME:
            scheme = design_scheme(pair, bits)
            coded = scheme.encode(a, "x"), scheme.encode(b, "y")
            row["scheme_bits"] = (coded[0].bits_per_entry + coded[1].bits_per_entry) / 2
            matrices = coded[0].decode(np.float64), coded[1].decode(np.float64)
        else:
            matrices = _by_codebooks(pair, name, 2**bits, (a, b))
        row[name], row[f"{name}+gain"] = _errors(c, *matrices)
    row |= {
        "predicted": reading.predicted, "ratio": reading.ratio, "low": reading.usual[0],
        "high": reading.usual[1], "distance": reading.distance, "trusted": reading.trusted,
        "winner": min(GALLERY_DESIGNS, key=lambda name: row[name]),
    }  # fmt: skip
    return row


def _by_codebooks(pair: EmpiricalPair, name: str, n_levels: int, matrices: _Matrices) -> _Matrices:
    if name == BALANCED:
        basis = balance(pair)
        pair, matrices = EmpiricalPair(*basis.apply(pair.a, pair.b)), basis.apply(*matrices)
    books = calibrated(pair, name, n_levels)
    coded_a, coded_b = (
        encode(x, book).decode(np.float64) for x, book in zip(matrices, books, strict=True)
    )
    return coded_a, coded_b


def _errors(c: NDArray, a: NDArray, b: NDArray) -> tuple[float, float]:
    """nmse, and with the best scalar on the coded product."""
    coded = a @ b
    energy, own, cross = (float(np.vdot(*both)) for both in ((c, c), (coded, coded), (c, coded)))
    left = float(np.square(c - coded).sum()) / energy
    return left, 1 - cross**2 / (own * energy) if own > 0 else left


def products_in_the_wild(run: Run) -> Finding:
    """The gallery at 4 bits, and at 3 and 6 too where time allows."""
    sizes = (4,) if run.quick else (3, 4, 6)
    table = [row for bits in sizes for row in gallery_rows(bits, seed=run.seed)]
    rows = [row for row in table if row["bits"] == 4]
    beyond = [row for row in rows if abs(row["rho"]) > CRITICAL_RHO]
    trusted = [row for row in rows if row["trusted"]]
    won = [row for row in rows if row[PAPER] <= 0.85 * row[PLAIN]]
    both = [row for row in won if row[f"{PAPER}+gain"] <= 0.85 * row[f"{PLAIN}+gain"]]
    note = (
        "quantlab.data.gallery, one half to calibrate on and the other to measure; rho about 0, as "
        "the closed form takes it."
    )
    claims = [
        Claim(
            "Real products with |rho| beyond 1/sqrt 3",
            None,
            f"{len(beyond)} of {len(rows)}, from {min(r['rho'] for r in rows):.2f} to "
            f"{max(r['rho'] for r in rows):.2f}; the Gaussian law may be trusted on {len(trusted)} "
            f"of all ({_named(trusted)})",
            "",
            "",
            note,
        ),
        Claim(
            "Real products where the closed form is 15 % or more below the plain compander, 4 bits",
            None,
            f"{len(won)} ({_named(won)}); with each design's best gain "
            f"{len(both)} ({_named(both)})",
            f"the best of {len(GALLERY_DESIGNS)} designs is the closed form on "
            f"{sum(row['winner'] == PAPER for row in rows)}, the data fit or balanced on "
            f"{sum(row['winner'] in (EMPIRICAL, BALANCED) for row in rows)}, the scheme on "
            f"{sum(row['winner'] == SCHEME for row in rows)}",
            "",
            note,
        ),
    ]
    return Finding(claims, {"gallery": table}, {"bits": list(sizes), "seed": run.seed})


def _named(rows: Sequence[Row]) -> str:
    return ", ".join(row["problem"] for row in rows) or "none"
