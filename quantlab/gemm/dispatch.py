"""Which route a product takes, and why: the one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from quantlab import _display
from quantlab.codes import CodedMatrix
from quantlab.codes.layout import group_axis
from quantlab.gemm.layouts import Cost, Product

if TYPE_CHECKING:
    from quantlab.gemm.grid import Snapped

ROUTES = ("int8", "int16", "grouped", "fused", "fp32")

# Rows of a float operand up to which its products with 16 levels are fused with decoding.
FUSED_ROWS = 64

# Rows of a coded operand up to which, scales varying, it is decoded and its products are fused.
_FEW_DECODED = 4

# Entries of a group from which integer sums a group are faster than float32.
_LEAST_GROUP = 16

#: An integer route may add this share of the codes' own error to the product's error.
TOLERANCE = 0.01

# Largest integers of the routes' grids. int8: both operands are bytes, and k <= 133,000 products
# of 127 x 127 fit an int32. int16: 128 products of 4095 x 4095 do, then they move to float64.
GRID_LIMITS = {"int8": 127, "int16": 4095}

_PREDICT: list[Callable[[Product], Cost]] = []


def predicts(function: Callable[[Product], Cost]) -> Callable[[Product], Cost]:
    """Mark the function behind `Plan.cost`, which multiplies and so comes after this module."""
    _PREDICT[:] = [function]
    return function


@dataclass(frozen=True)
class Plan:
    """How a product will be computed; `matmul(..., route=plan.route)` does just that.

    Attributes
    ----------
    route : str
        "int8", "int16", "grouped", "fused" or "fp32".
    reason : str
        Why this route, in words.
    extra_nmse : float
        Error that snapping the centres adds to the product, divided by E[C^2] (uncorrelated
        operands); 0 for fp32.
    coding_nmse : float
        The codes' own error on the same footing; 0 where neither operand has one.
    grids : tuple
        The operands' snapped centres, or ().
    product : Product, optional
        Size and layouts, which `cost` is asked for.
    """

    route: str
    reason: str
    extra_nmse: float
    coding_nmse: float
    grids: tuple[Snapped, ...] = ()
    product: Product | None = None

    @property
    def share(self) -> float:
        """extra_nmse / coding_nmse."""
        return self.extra_nmse / self.coding_nmse if self.extra_nmse else 0.0

    @property
    def cost(self) -> Cost:
        """Predicted seconds on this machine, what bounds them, and the share of that limit.

        The first question about a kind of product measures a few of them, some tenths of a second.
        """
        if self.product is None:
            raise ValueError("a plan that `plan(a, b)` made knows its product; this one has none")
        return _PREDICT[0](self.product)

    def _repr_html_(self) -> str:
        names = ("route", "reason", "extra_nmse", "coding_nmse", "share")
        return _display.properties("Plan", {name: getattr(self, name) for name in names})


def plan(a: Any, b: Any, route: str | None = None) -> Plan:
    """Choose the route of `matmul(a, b)` on the CPU, or predict the error of a given one.

    In order, the first that holds (ratios to torch's fp32 product, by processor, stand in
    benchmarks/results/cpu_*.md; the rules do not depend on a clock, so that the same operands take
    the same route and give the same numbers on a busy machine too; `Plan.cost` predicts the time):

    1. Up to 64 float rows times a coded B of up to 16 levels: fused, in float32: codes are read
       once and decoded in registers, which beats the memory traffic of a float32 B. Its scales may
       be by column, or shared by groups along the inner dimension.
       Any other float operand: fp32. Decoded by tiles for numpy's BLAS; an integer grid would need
       the operand's own statistics.
    2. Scales that vary along the inner dimension: up to 4 rows times a B as in 1 are decoded and
       fused. Else grouped where groups hold 16 entries or more, in multiples of 4, one operand's
       divide the other's, and snapping to bytes adds under 1 %; an int8 product a group, scaled
       and added in float32. Else fp32.
    3. int8 where snapping the centres adds under 1 % to the codes' error (companders up to about
       K = 32, and every integer format, exactly): the fastest at all shapes. Few rows make no
       exception: panels of B are decoded in cache and used by all rows, packed codes are read once.
    4. int16 where that adds under 1 % (K = 256 and below): half the rate of int8.
    5. fp32.

    Raises
    ------
    ValueError
        If `route` is unknown, or impossible for these operands.

    Examples
    --------
    >>> import quantlab as ql
    >>> coded = ql.encode([[-0.9, 0.2], [0.4, 1.3]], ql.Codebook([-1.0, -0.3, 0.3, 1.0]))
    >>> chosen = plan(coded, coded)
    >>> chosen.route, chosen.share < 0.01
    ('int8', True)
    """
    chosen = choose(a, b, route)
    return replace(chosen, product=Product.of(chosen.route, a, b))


def choose(a: Any, b: Any, route: str | None = None) -> Plan:
    """`plan` without what only a reader of the plan asks for."""
    if route is not None and route not in ROUTES:
        raise ValueError(f"route must be one of {ROUTES} or None; got {route!r}")
    if not isinstance(a, CodedMatrix) or not isinstance(b, CodedMatrix):
        few = not isinstance(a, CodedMatrix) and _fusible(a.shape[0], b)
        if route in (None, "fused") and few:
            return Plan("fused", "few float rows", 0.0, 0.0)
        return _fp32("a float operand has no grid", route)
    if _varies(a, axis=1) or _varies(b, axis=0):
        return _grouped(a, b, route)
    if route == "fused":
        return _fp32("fused products take a float operand, or scales by group", route)
    if route in ("fp32", "grouped"):
        return _fp32("asked for" if route == "fp32" else "no scale varies along it", route)
    for name in (route,) if route else ("int8", "int16"):
        found = _integer(name, *_snapped(a, b, GRID_LIMITS[name]))
        if route:
            return replace(found, reason="asked for")
        if found.extra_nmse <= TOLERANCE * found.coding_nmse:
            return found
    return _fp32(f"an int16 grid would add over {TOLERANCE:.0%} to the error", route)


def _grouped(a: CodedMatrix, b: CodedMatrix, route: str | None) -> Plan:
    reason = "scales vary along the inner dimension"
    if route in (None, "fused") and _fusible(a.shape[0], b, FUSED_ROWS if route else _FEW_DECODED):
        return Plan("fused", f"{reason}, few rows", 0.0, 0.0)
    from quantlab.gemm.grouped import group_size

    group = group_size(a, b)
    if route not in (None, "grouped") or group is None:
        return _fp32(reason, route)
    if route is None and (group < _LEAST_GROUP or _slow_groups()):
        return _fp32(reason, route)
    found = _integer("grouped", *_snapped(a, b, GRID_LIMITS["int8"]))
    if route is None and found.extra_nmse > TOLERANCE * found.coding_nmse:
        return _fp32(f"{reason}, and a byte's grid would add over {TOLERANCE:.0%}", route)
    return replace(found, reason=f"{reason}: an integer product a group")


def _slow_groups() -> bool:
    from quantlab.gemm.vector import best_tile

    return best_tile() == "portable"


def _fp32(reason: str, route: str | None) -> Plan:
    if route not in (None, "fp32"):
        raise ValueError(f"route {route!r} is not possible here: {reason}")
    return Plan("fp32", reason, 0.0, 0.0)


def _fusible(rows: int, b: CodedMatrix, most_rows: int = FUSED_ROWS) -> bool:
    if rows > most_rows or b.codebook.n_levels > 16:
        return False
    if _varies(b, axis=0) and (b.group is None or group_axis(b.scale, b.group, b.shape)):
        return False
    from quantlab.gemm.vector import best_tile

    return best_tile() == "avx512vnni"


def _varies(coded: CodedMatrix, axis: int) -> bool:
    return coded.scale is not None and coded.scale.shape[axis] > 1


def _snapped(a: CodedMatrix, b: CodedMatrix, limit: int) -> tuple[Snapped, Snapped]:
    from quantlab.gemm.grid import snap  # here: it imports numba

    return snap(a, limit), snap(b, limit)


@lru_cache(maxsize=64)
def _integer(route: str, *grids: Snapped) -> Plan:
    """The plan of operands on these grids, remembered."""
    extra = sum(grid.added / grid.energy for grid in grids if grid.energy)
    coding = sum(grid.coding / grid.energy for grid in grids if grid.energy)
    return Plan(route, f"adds under {TOLERANCE:.0%} to the error", extra, coding, grids)
