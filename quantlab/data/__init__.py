"""The real data that quantlab ships: queries and keys of a transformer, a gallery of products."""

from quantlab.data.attention import AttentionData, AttentionHead, Sequences, load_attention
from quantlab.data.problems import Problem, gallery, problem

__all__ = [
    "AttentionData",
    "AttentionHead",
    "Problem",
    "Sequences",
    "gallery",
    "load_attention",
    "problem",
]
