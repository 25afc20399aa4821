"""What `matmul` takes beside a `CodedMatrix`: coded matrices that know their own products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class CodedOperand(ABC):
    """A coded matrix of another kind than one codebook and its scales."""

    shape: tuple[int, int]

    @abstractmethod
    def product(self, a: Any, b: Any) -> Any:
        """a times b, one of which this is."""

    def __matmul__(self, other: Any) -> Any:
        return self.product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self.product(other, self)
