"""From matrices to codes and back."""

from quantlab.codes.encoding import encode
from quantlab.codes.matrix import CodedMatrix

__all__ = ["CodedMatrix", "encode"]
