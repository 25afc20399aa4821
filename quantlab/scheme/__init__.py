"""Schemes: what two matrices gain beyond a codebook each."""

from quantlab.scheme.coded import SchemeMatrix
from quantlab.scheme.design import design_scheme
from quantlab.scheme.rounding import (
    feedback_matrix,
    feedback_order,
    round_feedback,
    round_feedback_uniform,
)
from quantlab.scheme.scheme import Scheme

__all__ = [
    "Scheme",
    "SchemeMatrix",
    "design_scheme",
    "feedback_matrix",
    "feedback_order",
    "round_feedback",
    "round_feedback_uniform",
]
