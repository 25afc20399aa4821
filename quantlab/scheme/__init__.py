"""Schemes: what two matrices gain beyond a codebook each."""

from quantlab.scheme.rounding import (
    feedback_matrix,
    feedback_order,
    round_feedback,
    round_feedback_uniform,
)

__all__ = ["feedback_matrix", "feedback_order", "round_feedback", "round_feedback_uniform"]
