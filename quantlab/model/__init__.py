"""Transformers with coded products: every product of their layers, by any design, at any bits.

Products are coded and decoded in float arithmetic: that gives the errors, not the speed. Importing
this loads neither torch nor transformers.
"""

from quantlab.model.allocating import allocate_bits, mean_bits
from quantlab.model.coding import MODEL_DESIGNS, code_products, designs_at
from quantlab.model.loading import load_model
from quantlab.model.operands import Operands
from quantlab.model.routing import Outcome, record_products, run_model

__all__ = [
    "MODEL_DESIGNS",
    "Operands",
    "Outcome",
    "allocate_bits",
    "code_products",
    "designs_at",
    "load_model",
    "mean_bits",
    "record_products",
    "run_model",
]
