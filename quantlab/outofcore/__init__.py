"""encode, matmul and design_empirical for matrices larger than memory, block by block."""

from quantlab.outofcore.coding import encode, matmul
from quantlab.outofcore.design import design_empirical

__all__ = ["design_empirical", "encode", "matmul"]
