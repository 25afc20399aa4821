"""Joint laws of the multiplied pair (X, Y): the first word of the data flow."""

from quantlab.pairs.base import OPERANDS, Operand, Pair
from quantlab.pairs.gaussian import GaussianPair

__all__ = ["OPERANDS", "GaussianPair", "Operand", "Pair"]
