"""Products of coded matrices: choose a backend and a route, then run."""

from __future__ import annotations

from quantlab.gemm.dispatch import Plan, plan, predicts
from quantlab.gemm.layouts import Cost, Product
from quantlab.gemm.multiply import BACKENDS, matmul
from quantlab.gemm.reference import matmul_reference

__all__ = ["BACKENDS", "Plan", "matmul", "matmul_reference", "plan"]


@predicts
def _predict(product: Product) -> Cost:
    from quantlab.gemm.cost import cost  # here: it measures, and imports numba

    return cost(product)
