"""Joint laws of the multiplied pair (X, Y): the first word of the data flow."""

from quantlab.pairs.base import OPERANDS, Operand, Pair
from quantlab.pairs.elliptical import CRITICAL_RHO, EllipticalPair
from quantlab.pairs.empirical import EmpiricalPair
from quantlab.pairs.gaussian import GaussianPair
from quantlab.pairs.heavy_tails import GaussianMixturePair, LaplacePair
from quantlab.pairs.nonelliptical import IntermittentPair, UniformCopulaPair
from quantlab.pairs.student_t import StudentTPair

__all__ = [
    "CRITICAL_RHO",
    "OPERANDS",
    "EllipticalPair",
    "EmpiricalPair",
    "GaussianMixturePair",
    "GaussianPair",
    "IntermittentPair",
    "LaplacePair",
    "Operand",
    "Pair",
    "StudentTPair",
    "UniformCopulaPair",
]
