"""How codes and scales lie in memory, and the checks that they do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check


def packed_width(columns: int, bits: int) -> int:
    """Bytes of one packed row."""
    return -(-columns * bits // 8)


def group_axis(scale: Any, group: int, shape: tuple[int, int]) -> int:
    """1 if groups lie along a row, 0 if along a column, told by the scale's shape."""
    return int(tuple(scale.shape) == (shape[0], -(-shape[1] // group)))


def contiguous(held: Any) -> Any:
    """An array or a tensor, row-major."""
    return np.ascontiguousarray(held) if isinstance(held, np.ndarray) else held.contiguous()


def taken(held: Any, rows: slice) -> Any:
    """Rows of an array or a tensor by a slice, row-major; unit steps share memory."""
    if (rows.step or 1) < 0 and not isinstance(held, np.ndarray):
        return held[list(range(*rows.indices(held.shape[0])))]  # torch has no negative steps
    return contiguous(held[rows])


def check_codes(codes: NDArray, n_levels: int, first_row: int = 0) -> None:
    """ValueError names the first code that is not below K."""
    if codes.max() >= n_levels or (codes.dtype.kind == "i" and codes.min() < 0):
        i, j = np.argwhere((codes >= n_levels) | (codes < 0))[0]
        raise ValueError(
            f"codes must lie in 0 .. {n_levels - 1} (K = {n_levels}); "
            f"codes[{first_row + i}, {j}] = {codes[i, j]}"
        )


def checked_scale(
    scale: ArrayLike | None, group: int | None, shape: tuple[int, int]
) -> tuple[NDArray[np.float32] | None, int | None]:
    """Scale and group of a matrix of `shape`, in one of the shapes that `CodedMatrix` names."""
    if scale is None:
        if group is not None:
            raise ValueError(f"group needs a scale; got group {group} and no scale")
        return None, None
    array = np.asarray(scale, dtype=np.float32)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    rows, columns = shape
    if group is None:
        allowed = [(1, 1), (rows, 1), (1, columns)]
    else:
        g = check.count(group, "group")
        allowed = [(rows, -(-columns // g)), (-(-rows // g), columns)]
    if array.shape not in allowed:
        raise ValueError(f"scale must have one of the shapes {allowed}; got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"scale must be finite; got {array[~np.isfinite(array)][0]}")
    return np.ascontiguousarray(array), group
