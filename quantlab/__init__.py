"""quantlab: optimal scalar quantization for matrix multiplication.

pair -> weight -> point density -> codebook -> scheme -> codes -> product -> error -> view

Importing quantlab loads neither torch, triton nor panel.
"""

from quantlab.pairs import (  # isort: skip
    CRITICAL_RHO,
    EmpiricalPair,
    GaussianMixturePair,
    GaussianPair,
    IntermittentPair,
    LaplacePair,
    Pair,
    StudentTPair,
    UniformCopulaPair,
)
from quantlab.density import PointDensity, gaussian_normalizer, gaussian_peaks  # isort: skip
from quantlab.balancing import Basis, balance  # isort: skip
from quantlab.codebook import Codebook  # isort: skip
from quantlab.design import (  # isort: skip
    DESIGNS,
    design_bilinear,
    design_companding,
    design_empirical,
    design_entropy_coded,
    design_lloyd_max,
)
from quantlab.codes import CodedMatrix, encode  # isort: skip
from quantlab.blocks import block_bits, encode_blocks  # isort: skip
from quantlab.entropy import codebook_entropy, entropy_asymptotic_mse, entropy_constant  # isort: skip
from quantlab.formats import FORMATS, GROUP_FORMATS  # isort: skip
from quantlab.gemm import matmul  # isort: skip
from quantlab.distortion import ExactError, asymptotic_mse, exact_mse, leading_constant  # isort: skip
from quantlab.scheme import Scheme, SchemeMatrix, design_scheme  # isort: skip
from quantlab.limits import floor_nmse, limit_nmse  # isort: skip
from quantlab.transition import critical_rho, finite_size_critical_rho, worst_rho  # isort: skip
from quantlab.measure import MeasuredError, measure, measure_designs, measure_trials  # isort: skip
from quantlab.reading import GaussianReading, gaussian_reading  # isort: skip
from quantlab.report import DesignReport, design_report  # isort: skip
from quantlab import data as data, model as model  # isort: skip

__version__ = "0.2.0"

__all__ = [
    "CRITICAL_RHO",
    "DESIGNS",
    "FORMATS",
    "GROUP_FORMATS",
    "Basis",
    "CodedMatrix",
    "Codebook",
    "DesignReport",
    "EmpiricalPair",
    "ExactError",
    "GaussianMixturePair",
    "GaussianPair",
    "GaussianReading",
    "IntermittentPair",
    "LaplacePair",
    "MeasuredError",
    "Pair",
    "PointDensity",
    "Scheme",
    "SchemeMatrix",
    "StudentTPair",
    "UniformCopulaPair",
    "asymptotic_mse",
    "balance",
    "block_bits",
    "codebook_entropy",
    "critical_rho",
    "design_bilinear",
    "design_companding",
    "design_empirical",
    "design_entropy_coded",
    "design_lloyd_max",
    "design_report",
    "design_scheme",
    "encode",
    "encode_blocks",
    "entropy_asymptotic_mse",
    "entropy_constant",
    "exact_mse",
    "finite_size_critical_rho",
    "floor_nmse",
    "gaussian_normalizer",
    "gaussian_peaks",
    "gaussian_reading",
    "leading_constant",
    "limit_nmse",
    "matmul",
    "measure",
    "measure_designs",
    "measure_trials",
    "worst_rho",
]
