"""What designers that treat each operand by itself have in common."""

from __future__ import annotations

from collections.abc import Callable

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.pairs import OPERANDS, Operand
from quantlab.pairs.base import FloatArray

#: Centres of an operand at K levels, and what else there is to say of them.
Centers = Callable[[Operand, int], tuple[FloatArray, dict[str, object]]]


def two_codebooks(
    design: str, n_levels: int | tuple[int, int], centers: Centers
) -> tuple[Codebook, Codebook]:
    """Nearest-centre codebooks for X and for Y, each from its own centres."""
    books = []
    for operand, k in zip(OPERANDS, check.levels(n_levels), strict=True):
        values, more = centers(operand, k)
        books.append(Codebook(values, info={"design": design, "operand": operand, **more}))
    return books[0], books[1]
