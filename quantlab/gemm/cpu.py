"""The product on the CPU: integer tiles in Numba, or decoded tiles in numpy's BLAS."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _threads
from quantlab.codes import CodedMatrix
from quantlab.gemm.dispatch import GRID_LIMITS, Plan

if TYPE_CHECKING:
    from quantlab.gemm.cpu_kernels import Kernels

# below this many multiply-adds a second thread takes longer to wake than to help
THREADED = 1 << 24
_FEW_ROWS = 32
# rows that a prepared operand's second layout serves: more of them use decoded panels longer
FEW_LANES = 16
# entries decoded to float32 at once: 64 MB
_DECODED = 1 << 24


def matmul_cpu(a: Any, b: Any, plan: Plan) -> NDArray[np.float32]:
    """C = a b, float32 (m, n), by the planned route; operands are checked by `matmul`."""
    if plan.route == "fp32":
        return _product_fp32(a, b)
    if plan.route == "fused":
        from quantlab.gemm.fused import multiply_fused

        return multiply_fused(a.decode() if isinstance(a, CodedMatrix) else a, b)
    if plan.route == "grouped":
        from quantlab.gemm.grouped import group_size, multiply_grouped

        group = group_size(a, b)
        assert group is not None
        return multiply_grouped(a, b, (plan.grids[0], plan.grids[1]), group)
    return _product_integer(a, b, plan)


def _product_integer(a: CodedMatrix, b: CodedMatrix, plan: Plan) -> NDArray[np.float32]:
    (m, k), n = a.shape, b.shape[1]
    grid_a, grid_b = plan.grids
    if plan.route == "int8" and b._lanes is not None and m <= FEW_LANES:
        from quantlab.gemm.lanes import multiply_lanes

        outer = _outer_scale(a, m), _outer_scale(b, n)
        return multiply_lanes(a, b, (grid_a, grid_b), *outer)
    most_levels = max(a.codebook.n_levels, b.codebook.n_levels)
    kernels = _kernels(plan.route, 64 if most_levels <= 64 else 256)

    kind = np.dtype(np.int16 if kernels.words else np.int8)
    # an odd number of cache lines a row: tiles of rows do not fall into the same sets
    lines = -(-k * kind.itemsize // 64) | 1
    padded_rows = -(-m // kernels.rows) * kernels.rows
    decoded = np.empty((padded_rows, lines * 64 // kind.itemsize), kind)
    sums = np.empty(m, np.int32)
    table_a, table_b = (
        (grid_a.table, grid_b.table) if kernels.words else (grid_a.signed, grid_b.unsigned)
    )

    def decode_rows(span: tuple[int, int]) -> None:
        kernels.decode_rows(a._data, a._held_bits, table_a, *span, k, decoded, sums)

    c = np.empty((m, n), np.float32)
    span = _span(plan.route, kernels.words)
    # few rows: B is what must be read, along its rows; many: sums stay in registers for longer
    depth = 256 if m <= _FEW_ROWS else 4096
    scale = grid_a.scale * grid_b.scale
    row_scale, column_scale = _outer_scale(a, m), _outer_scale(b, n)

    def multiply(task: tuple[tuple[int, int], tuple[int, int]]) -> None:
        kernels.multiply(
            decoded, sums, b._data, b._held_bits, table_b, k, depth, span, *task, scale, row_scale,
            column_scale, c,
        )  # fmt: skip

    if max(m, kernels.rows) * k * n < THREADED:
        decode_rows((0, m))
        multiply(((0, m), (0, n)))
        return c
    parts = 4 * _threads.count()
    rows, columns = [(0, m)], _threads.split(n, parts, kernels.columns)
    if len(columns) < _threads.count():
        rows, columns = _threads.split(m, parts, kernels.rows), [(0, n)]
    _threads.for_each(decode_rows, _threads.split(m, parts))
    _threads.for_each(multiply, [(r, s) for r in rows for s in columns])
    return c


@cache
def _kernels(route: str, levels: int) -> Kernels:
    """Kernels of a route for codebooks of up to 64 or 256 levels on this processor."""
    from quantlab.gemm import vector
    from quantlab.gemm.cpu_kernels import integer_kernels

    tile = vector.TILES[vector.best_tile()]
    words = route == "int16" or not (tile.dot_bytes or tile.name == "portable")
    permute = levels if tile.lanes == 16 and vector.has_byte_permute() else 0
    return integer_kernels(tile.name, words, permute)


def _span(route: str, words: bool) -> int:
    """Steps whose sum fits an int32, whatever the codes."""
    limit = GRID_LIMITS[route]
    return (2**31 - 1) // (limit * limit) // (2 if words else 4)


def _outer_scale(coded: CodedMatrix, size: int) -> NDArray[np.float64]:
    if coded.scale is None:
        return _ones(size)
    return np.broadcast_to(coded.scale.reshape(-1), size).astype(np.float64)


@lru_cache(maxsize=16)
def _ones(size: int) -> NDArray[np.float64]:
    return np.ones(size)


def _product_fp32(a: Any, b: Any) -> NDArray[np.float32]:
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), np.float32)
    depth = max(1, _DECODED // n) if isinstance(b, CodedMatrix) else k
    for first in range(0, k, depth):
        inner = slice(first, min(k, first + depth))
        right = _decoded(b, inner)
        for top in range(0, m, max(1, _DECODED // k)):
            rows = slice(top, top + max(1, _DECODED // k))
            left = _decoded(a, rows)[:, inner]
            if first == 0:
                np.matmul(left, right, out=c[rows])
            else:
                c[rows] += left @ right
    return c


def _decoded(operand: Any, rows: slice) -> NDArray[np.float32]:
    if not isinstance(operand, CodedMatrix):
        return operand[rows]
    return operand.decode_rows(rows.start, rows.stop)
