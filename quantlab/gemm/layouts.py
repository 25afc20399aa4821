"""What a product's time depends on, route, size and how operands are held, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quantlab.codes import CodedMatrix

#: Kinds of work in a product.
WORK = ("call", "decode A", "decode B", "edges", "multiply", "write C", "add groups", "memory")


@dataclass(frozen=True)
class Layout:
    """How an operand is held.

    Attributes
    ----------
    bits : int
        Held an entry; 32 is float32.
    levels : int
        What one look-up decodes: 16, 64 or 256 levels; 0 for a float operand.
    prepared : bool
        Whether there is a second layout for few rows (`CodedMatrix.prepare`).
    group : int
        Entries that share a scale along the inner dimension; 0 where scales do not vary along it.
    """

    bits: int
    levels: int = 0
    prepared: bool = False
    group: int = 0

    @classmethod
    def of(cls, operand: Any, inner_axis: int) -> Layout:
        """The layout of a coded or float operand."""
        if not isinstance(operand, CodedMatrix):
            return cls(32)
        grouped = operand.scale is not None and operand.scale.shape[inner_axis] > 1
        n_levels = operand.codebook.n_levels
        return cls(
            operand._held_bits, next(size for size in (16, 64, 256) if n_levels <= size),
            operand._lanes is not None, (operand.group or 1) if grouped else 0,
        )  # fmt: skip

    @property
    def bytes_an_entry(self) -> float:
        return self.bits / 8 + (4 / self.group if self.group else 0)


@dataclass(frozen=True)
class Product:
    """A product (m, k) by (k, n) by a route."""

    route: str
    m: int
    k: int
    n: int
    a: Layout
    b: Layout

    @classmethod
    def of(cls, route: str, a: Any, b: Any) -> Product:
        (m, k), n = a.shape, b.shape[1]
        return cls(route, m, k, n, Layout.of(a, 1), Layout.of(b, 0))

    @property
    def bytes(self) -> float:
        """Of A, B and C, each once."""
        held = self.m * self.k * self.a.bytes_an_entry + self.k * self.n * self.b.bytes_an_entry
        return held + 4 * self.m * self.n

    @property
    def operations(self) -> int:
        """2 m k n: multiplications and additions."""
        return 2 * self.m * self.k * self.n


@dataclass(frozen=True)
class Cost:
    """Predicted time of a product on this machine, and its place on the roofline.

    Attributes
    ----------
    parts : dict
        Seconds by kind of work, see `WORK`.
    memory, arithmetic : float
        Least seconds that bytes and that operations take.
    """

    parts: dict[str, float]
    memory: float
    arithmetic: float

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    @property
    def limit(self) -> float:
        """Least seconds: the larger of `memory` and `arithmetic`."""
        return max(self.memory, self.arithmetic)

    @property
    def bound(self) -> str:
        """ "memory" or "arithmetic"; "call" where the call itself takes most of the time."""
        if self.parts["call"] > self.seconds / 2:
            return "call"
        return "memory" if self.memory > self.arithmetic else "arithmetic"

    @property
    def share(self) -> float:
        """limit / seconds."""
        return self.limit / self.seconds
