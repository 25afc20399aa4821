"""The one door for matrices: numpy, torch, pandas, lists; every real dtype, layout, byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def library(value: object) -> str:
    """Top-level package of an object's type: "torch" is told without importing torch."""
    return type(value).__module__.partition(".")[0]


def is_tensor(value: object) -> bool:
    """Whether this is a torch tensor."""
    return library(value) == "torch" and hasattr(value, "dtype") and hasattr(value, "layout")


def real_values(values: Any, name: str) -> Any:
    """A numpy array or torch tensor of real numbers, any shape, checked for type, not yet read.

    Tensors in the host's memory become arrays that share their memory where numpy has their dtype;
    bfloat16, the float8 kinds and tensors on a device stay tensors.
    """
    return _in_host(plain_tensor(values, name)) if is_tensor(values) else _array(values, name)


def real_matrix(matrix: Any, name: str) -> Any:
    """`real_values` that are 2-D and not empty."""
    source = real_values(matrix, name)
    if source.ndim != 2:
        raise ValueError(f"{name} must be a matrix (2-D); got shape {tuple(source.shape)}")
    if 0 in source.shape:
        raise ValueError(f"{name} must not be empty; got shape {tuple(source.shape)}")
    return source


def finite_matrix(matrix: Any, name: str) -> NDArray:
    """A finite float32 or float64 array in the host's memory, 2-D and not empty; see `floats`."""
    array = floats(real_matrix(matrix, name))
    finite = np.isfinite(array)
    if not finite.all():
        i, j = np.argwhere(~finite)[0]
        raise ValueError(f"{name} must be finite; {name}[{i}, {j}] = {array[i, j]}")
    return array


def floats(source: Any) -> NDArray:
    """`real_values` as float32 where that holds every float of their dtype, else as float64."""
    whole = isinstance(source, np.ndarray) and source.dtype.kind in "iub"
    return converted(source, np.dtype(np.float32 if fits_float32(source) and not whole else float))


def fits_float32(source: Any) -> bool:
    """Whether float32 holds every entry exactly."""
    if isinstance(source, np.ndarray):
        return bool(np.can_cast(source.dtype, np.float32))
    return source.dtype.is_floating_point and source.dtype.itemsize <= 4


def converted(block: Any, kind: np.dtype) -> NDArray:
    """The entries as an array of float32 or float64 in the host's memory; no copy where it can."""
    if isinstance(block, np.ndarray):
        return np.asarray(block, kind)
    return (block.float() if kind == np.float32 else block.double()).cpu().numpy()


def plain_tensor(tensor: Any, name: str) -> Any:
    """A tensor of real numbers that are there, cut from its graph; TypeError for another."""
    if tensor.is_complex():
        raise TypeError(f"{name} must hold real numbers; got dtype {tensor.dtype}")
    if tensor.is_meta:
        raise TypeError(f"{name} must hold numbers; got a tensor on the meta device, without data")
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name} must be dense: .to_dense(); got a tensor of {tensor.layout}")
    if tensor.is_quantized or str(tensor.dtype).startswith("torch.float4"):
        raise TypeError(f"{name} must hold plain numbers; got a tensor of {tensor.dtype}")
    return tensor.detach()


def _in_host(tensor: Any) -> Any:
    if tensor.device.type != "cpu":
        return tensor
    # these alone numpy does not have
    without = "bfloat16" in str(tensor.dtype) or "float8" in str(tensor.dtype)
    return tensor if without else tensor.resolve_neg().numpy()


def _array(matrix: Any, name: str) -> NDArray:
    if isinstance(matrix, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be masked: .filled(value); got a masked array")
    if library(matrix) == "scipy" and hasattr(matrix, "toarray"):
        raise TypeError(f"{name} must be dense: .toarray(); got {type(matrix).__name__}")
    if library(matrix) == "pandas":
        matrix = _frame(matrix, name)
    array = np.asarray(matrix)
    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.type is not np.void:
        array = array.astype(np.float32)  # bfloat16 and its like, as ml_dtypes gives them to numpy
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}")
    return array


def _frame(frame: Any, name: str) -> Any:
    """A pandas frame whose columns are all numbers; NaN where one is missing."""
    kinds = getattr(frame, "dtypes", None)
    if getattr(frame, "ndim", 0) != 2 or kinds is None:
        return frame
    for column, kind in kinds.items():
        if getattr(kind, "kind", "O") not in "fiub":
            raise TypeError(f"{name} must hold real numbers; column {column!r} has dtype {kind}")
    plain = all(isinstance(kind, np.dtype) for kind in kinds)
    return frame.to_numpy() if plain else frame.to_numpy(np.float64, na_value=np.nan)
