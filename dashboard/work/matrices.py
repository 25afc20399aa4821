"""Two given matrices without a GUI: what they look like, and which codebooks serve them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab import (
    CRITICAL_RHO,
    DESIGNS,
    DesignReport,
    EmpiricalPair,
    GaussianReading,
    design_report,
    gaussian_reading,
)
from quantlab.design.empirical import design_empirical
from quantlab.experiments.designs import BALANCED
from quantlab.files.codebooks import Books
from quantlab.files.uploads import Matrix
from quantlab.formats import FORMATS, GROUP_FORMATS
from quantlab.report import ReportRow

from ..parts.wording import compared, scientific
from ..state import DESIGN_LABELS
from .background import Task

SCHEME = "scheme"
#: design or format -> what the page calls it.
NAMES = {
    **DESIGN_LABELS,
    BALANCED: "Data fit, balanced",
    SCHEME: "Scheme",
    "int_absmax": "INT, largest entry",
    "int_mse": "INT, least error",
    "uniform": "Uniform, least error",
    "fp4_e2m1": "FP4 E2M1",
    "nf4": "NF4",
    "fp8_e4m3": "FP8 E4M3",
    "fp8_e5m2": "FP8 E5M2",
    "dynamic8": "Dynamic map",
    **{name: each.label for name, each in GROUP_FORMATS.items()},
}
#: Standard deviations that the curves reach.
REACH = 4.0
_LOSSLESS = 1e-14  # an nmse that float32 itself makes
Curves = dict[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What the designs do to the two matrices, and the best one's codebooks."""

    report: DesignReport
    best: str
    books: Books
    sentence: str


def look(a: Matrix, b: Matrix, task: Task) -> tuple[EmpiricalPair, Curves]:
    """The law that two matrices stand for, and its curves over u in standard deviations of A."""
    for name, matrix in (("A", a), ("B", b)):
        if not matrix.any():
            raise ValueError(f"{name} is zero everywhere: its product has no energy to lose")
    largest = [float(np.abs(matrix).max()) for matrix in (a, b)]
    if largest[0] * largest[1] * a.shape[1] > float(np.finfo(np.float32).max):
        raise ValueError(
            f"the largest entries of A and B are {largest[0]:.2g} and {largest[1]:.2g}: their "
            "product may not fit float32; expected smaller ones"
        )
    pair = EmpiricalPair(a, b)
    gaussian = pair.gaussian()
    u = np.linspace(-REACH, REACH, 161)
    x = u * gaussian.sigma_x
    mean = gaussian.sigma_y**2
    return pair, {
        "u": u,
        "data": pair.weight(x) / mean,
        "gaussian": gaussian.weight(x) / mean,
        "pdf": 5 * pair.pdf(x) * gaussian.sigma_x,
    }


def read_law(
    pair: EmpiricalPair, task: Task, held_out: tuple[Matrix, Matrix] | None = None
) -> GaussianReading:
    """Whether the closed form's law describes the matrices."""
    return gaussian_reading(pair, held_out=None if held_out is None else [held_out])


def compare_designs(
    pair: EmpiricalPair, bits: int, task: Task, held_out: tuple[Matrix, Matrix] | None = None
) -> Answer:
    """The report at this many bits, its best codebooks, and one sentence of advice."""
    if pair.mean_square_entry == 0:
        raise ValueError("the product of A and B is zero everywhere: it has no energy to lose")
    report = design_report(
        (pair.a, pair.b), bits, held_out=None if held_out is None else [held_out]
    )
    made = [row for row in report.rows if row.design in DESIGNS or row.design == "empirical"]
    best = made[0]
    if best.design == "empirical":
        books = design_empirical(pair, 2**bits, smoothing=0.0 if held_out is None else "auto")
    else:
        books = DESIGNS[best.design](pair.gaussian(), 2**bits, pair.inner_dim)
    return Answer(report, best.design, books, _advice(pair, report, best, bits))


def _advice(pair: EmpiricalPair, report: DesignReport, best: ReportRow, bits: int) -> str:
    use = f"<b>Use {NAMES[best.design]} at {bits} bits</b>: "
    if best.measured_nmse < _LOSSLESS:
        return (
            f"{use}it loses nothing. A has {_values(pair.a)}, B {_values(pair.b)}, and a codebook "
            f"{2**bits} centres: these matrices tell little about the designs."
        )
    plain = report["gaussian_compander"]
    if best.design == plain.design:
        words, so = "no other design has less product error", "; it has"
    else:
        share = best.measured_nmse / plain.measured_nmse
        words, so = compared(share, "product error", "the plain compander"), ", and"
    rival = min(
        (row for row in report.rows if row.design in FORMATS),
        key=lambda row: row.measured_nmse,
        default=None,
    )
    if rival is not None:
        if rival.measured_nmse > _LOSSLESS:
            share = best.measured_nmse / rival.measured_nmse
            words += f"{so} {compared(share, '', NAMES[rival.design])}"
        else:
            words += f"; {NAMES[rival.design]} loses nothing"
    rho = abs(pair.gaussian().rho)
    sentence = (
        f"{use}{words} (nmse {scientific(best.measured_nmse)}; |ρ| = {rho:.2f} is "
        f"{'past' if rho > CRITICAL_RHO else 'below'} 1/√3)."
    )
    moved = next((row for row in report.rows if row.design == BALANCED), None)
    if moved is not None and moved.measured_nmse < best.measured_nmse:
        share = 100 * (1 - moved.measured_nmse / best.measured_nmse)
        sentence += (
            " A change of basis of the inner dimension before both are coded, "
            f"<code>quantlab.balance((a, b))</code>, takes off <b>another {share:.0f} %</b>."
        )
    scheme = next((row for row in report.rows if row.design == SCHEME), None)
    if scheme is not None and scheme.measured_nmse < 0.98 * best.measured_nmse:
        share = scheme.measured_nmse / best.measured_nmse
        cost = scheme.side_bytes / 1000
        sentence += (
            f" A whole scheme, <code>quantlab.design_scheme((a, b), {bits})</code>, has "
            f"<b>{compared(share, 'error', NAMES[best.design])}</b> with codes of "
            f"{scheme.bits_per_entry:.3g} bits; it costs {cost:.3g} kB of codebooks beside them, "
            "and coding takes its basis or its order of rounding along."
        )
    return sentence


def _values(matrix: Matrix) -> str:
    count = np.unique(matrix).size
    return f"{count:,} different values" if count > 1 else "the same value everywhere"


def report_csv(report: DesignReport) -> str:
    """A row for each design."""
    out = io.StringIO()
    rows: list[dict[str, Any]] = report.to_dict()["rows"]
    table = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()
