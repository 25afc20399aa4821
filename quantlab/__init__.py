"""quantlab: optimal scalar quantization for matrix multiplication.

pair -> weight -> point density -> codebook -> codes -> product -> error -> view

Importing quantlab loads neither torch, triton nor panel.
"""

from quantlab.pairs import GaussianPair, Pair  # isort: skip
from quantlab.density import CRITICAL_RHO, PointDensity, gaussian_normalizer, gaussian_peaks  # isort: skip
from quantlab.codebook import Codebook  # isort: skip
from quantlab.design import DESIGNS, design_bilinear, design_companding, design_lloyd_max  # isort: skip
from quantlab.codes import CodedMatrix, encode  # isort: skip
from quantlab.gemm import matmul  # isort: skip
from quantlab.distortion import ExactError, asymptotic_mse, exact_mse, leading_constant  # isort: skip
from quantlab.measure import MeasuredError, measure, measure_designs, measure_trials  # isort: skip

__version__ = "0.1.0"

__all__ = [
    "CRITICAL_RHO",
    "DESIGNS",
    "CodedMatrix",
    "Codebook",
    "ExactError",
    "GaussianPair",
    "MeasuredError",
    "Pair",
    "PointDensity",
    "asymptotic_mse",
    "design_bilinear",
    "design_companding",
    "design_lloyd_max",
    "encode",
    "exact_mse",
    "gaussian_normalizer",
    "gaussian_peaks",
    "leading_constant",
    "matmul",
    "measure",
    "measure_designs",
    "measure_trials",
]
