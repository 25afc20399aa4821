"""Settings worth a look, and a tour through them: what to see, and what to ask a class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quantlab import CRITICAL_RHO

from ..state import ATTENTION, GALLERY, STUDENT_T

#: The transition, to the digits that the state keeps: the last correlation with one peak.
_AT = int(1e4 * CRITICAL_RHO) / 1e4


@dataclass(frozen=True)
class Step:
    """One stop of the tour: the state it sets (from the defaults), and its words."""

    title: str
    notice: str
    question: str
    values: dict[str, Any] = field(default_factory=dict)


#: name -> the values that differ from the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "Below the transition, ρ = 0.3": {"rho": 0.3},
    "At the transition, ρ = 1/√3": {"rho": _AT},
    "Above the transition, ρ = 0.9": {"rho": 0.9},
    "Few levels: the closed form fails": {"rho": 0.8, "k_x": 2},
    "Bias trap: long products": {"page": "error", "rho": 0.9, "k_x": 8, "inner_dim": 4096},
    "Heavy tails: Student-t": {"law": STUDENT_T, "nu": 5.0, "rho": 0.9},
    "Not elliptical: uniform copula": {"law": "uniform", "rho": 0.5},
    "A real attention head": {"source": ATTENTION, "layer": 2, "head": 6},
    "A real product past the transition": {"source": GALLERY, "problem": "photo"},
}

TOUR: tuple[Step, ...] = (
    Step(
        "Two matrices that know nothing of each other",
        "At ρ = 0 the blue curve, best for the product, lies on the dashed one, best for the "
        "entries. The weight is flat: an error costs the same wherever it is.",
        "What happens to a product x·y when x and y tend to be large together?",
        {"rho": 0.0},
    ),
    Step(
        "Large entries meet large partners",
        "The dotted weight is now a parabola: an error on a large x is multiplied by a large y. "
        "The blue curve is lower and broader than the dashed one, still with one peak.",
        "Slide ρ slowly to the right. Where does the top become flat?",
        {"rho": 0.45},
    ),
    Step(
        "The transition, |ρ| = 1/√3",
        "Here the second derivative at zero vanishes. The marker stands where the fork opens, and "
        "on the map behind it the ridge divides.",
        "The peaks leave zero like a square root. Which other transitions do so?",
        {"rho": _AT},
    ),
    Step(
        "Two peaks",
        "Zero, the commonest value, is no longer where the finest cells are. Compare the rows of "
        "centres: the plain design crowds at zero, the others do not.",
        "What is gained? Guess before you look at the table: predict-first hides it for you.",
        {"rho": 0.9},
    ),
    Step(
        "The formula is for many levels",
        "With K = 2 the closed form is far worse than the plain design, although it is optimal as "
        "K grows. The bilinear design is the best symmetric codebook at this K.",
        "Raise K one step at a time. From which K on may one trust the formula?",
        {"rho": 0.8, "k_x": 2},
    ),
    Step(
        "The bias trap",
        "Each entry of C sums 4,096 products. Random errors average out, a systematic one does "
        "not: the bias takes over as k grows, and one gain on the product removes most of it.",
        "Which design is best without the gain, and which with it?",
        {"page": "error", "rho": 0.9, "k_x": 8, "inner_dim": 4096},
    ),
    Step(
        "Heavy tails, the same threshold",
        "A Student-t pair with five degrees of freedom: the peaks stand elsewhere, but they part "
        "at the same 1/√3, as for every elliptical law.",
        "Slide ν. What stays where it is, and what moves?",
        {"law": STUDENT_T, "nu": 5.0, "rho": 0.8},
    ),
    Step(
        "Queries and keys of a real model",
        "An attention head of a small encoder: its logits are products of correlated entries. The "
        "red curve is the optimum of the data, the blue one its Gaussian reading.",
        "Try other heads. Which are past the transition, and does the formula serve them?",
        {"source": ATTENTION, "layer": 2, "head": 6},
    ),
)
