"""Schemes: what two matrices gain beyond a codebook each."""

from quantlab.scheme.rounding import feedback_matrix, round_feedback, round_feedback_uniform

__all__ = ["feedback_matrix", "round_feedback", "round_feedback_uniform"]
