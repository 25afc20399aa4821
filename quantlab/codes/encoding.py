"""encode: the cell of every entry, exactly as np.searchsorted finds it, parallel, copy-free."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab.codebook import Codebook
from quantlab.codes.device import is_on_device
from quantlab.codes.matrix import CodedMatrix, packed_width

# more thresholds than this are found by a table: 31 comparisons a value take about as long
_MOST_COUNTED = 31
_MOST_BUCKETS = 1 << 14
# a tile of converted or unpacked entries stays in the second-level cache
_TILE = 1 << 16
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def encode(
    matrix: ArrayLike,
    codebook: Codebook,
    *,
    packed: bool = False,
    out: NDArray[np.uint8] | None = None,
) -> CodedMatrix:
    r"""Code every entry of a matrix by its cell.

    .. math:: \mathrm{code}(x) = \#\{ j : t_j < x \} = i \iff t_i < x \le t_{i+1}

    Parameters
    ----------
    matrix : array_like, shape (rows, columns)
        Finite real entries in the codebook's unit: a numpy array of any layout, or a torch tensor
        (bfloat16 and float16 included). float32 and float64 are read in place. The codes of a
        tensor on a CUDA device stay there, in torch tensors.
    codebook : Codebook
        At most 256 levels. Compared in the entries' own precision with no rounding: the codes are
        those of np.searchsorted(codebook.thresholds, matrix, side="left").
    packed : bool
        Hold the codes packed at `codebook.bits` bits (see `CodedMatrix`), else a byte each.
    out : ndarray of uint8, optional
        C-ordered array that receives the codes, (rows, columns), or, packed,
        (rows, ceil(columns bits / 8)).

    Returns
    -------
    CodedMatrix

    Raises
    ------
    ValueError
        If an entry is NaN or infinite (the first one is named), the matrix is empty or not 2-D,
        the codebook has more than 256 levels, or `out` has another shape.
    TypeError
        If the entries are not real numbers.

    Notes
    -----
    Up to 32 levels count the thresholds passed, without branches; more start from a table of
    uniform buckets and finish with comparisons. Entries equal to a threshold go to the lower cell.

    Choosing: a byte a code is the fastest to encode; packed codes take less memory and are what
    products with few rows (`matmul`, m <= 16) want.

    Examples
    --------
    >>> coded = encode([[-2.0, 0.1], [0.4, 0.6]], Codebook([-1.0, 0.0, 1.0]))
    >>> coded.codes
    array([[0, 1],
           [1, 2]], dtype=uint8)
    >>> coded.decode()
    array([[-1.,  0.],
           [ 0.,  1.]], dtype=float32)
    """
    if codebook.n_levels > 256:
        raise ValueError(f"codes are uint8: at most 256 levels; got {codebook.n_levels}")
    source = _as_matrix(matrix)
    if is_on_device(source):
        from quantlab.codes.device_coding import encode_tensor

        return encode_tensor(source, codebook, packed, out)
    rows, columns = source.shape
    bits = codebook.bits if packed else 8
    shape = (rows, packed_width(columns, bits))
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-ordered uint8 array of shape {shape}; "
            f"got {out.dtype} of shape {out.shape}"
        )
    direct = (
        isinstance(source, np.ndarray) and source.dtype in _DIRECT and source.flags.c_contiguous
    )
    exact = np.dtype(np.float32 if _fits_float32(source) else np.float64)
    find = _finder(codebook, exact)

    bad: list[tuple[int, int]] = []

    def encode_rows(span: tuple[int, int]) -> None:
        block = source[span[0] : span[1]]
        values = block if direct else _converted(block, exact)
        flat = values.reshape(-1)
        target = out[span[0] : span[1]]
        codes = target.reshape(-1) if bits == 8 else np.empty(flat.size, np.uint8)
        if not find(flat, codes):
            bad.append(span)
        if bits != 8:
            from quantlab.codes.kernels import pack_kernel

            pack_kernel(codes.reshape(-1, columns), bits, target)

    parts = rows if direct and bits == 8 else -(-rows * columns // _TILE)
    parts = min(parts, 4 * _threads.count()) if direct and bits == 8 else parts
    if rows * columns < _TILE:
        encode_rows((0, rows))
    else:
        _threads.for_each(encode_rows, _threads.split(rows, parts))
    if bad:
        start, stop = min(bad)
        values = _converted(source[start:stop], exact)
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"matrix must be finite; matrix[{start + i}, {j}] = {values[i, j]}")
    return CodedMatrix._trusted(out, bits, (rows, columns), codebook)


def _as_matrix(matrix: Any) -> Any:
    """A 2-D numpy array or torch tensor, checked for type and shape but not yet read."""
    if type(matrix).__module__.partition(".")[0] == "torch":
        source, kind = matrix.detach(), "c" if matrix.is_complex() else "f"
    else:
        source = np.asarray(matrix)
        kind = source.dtype.kind
    if kind not in "fiub":
        raise TypeError(f"matrix must hold real numbers; got dtype {source.dtype}")
    if source.ndim != 2:
        raise ValueError(f"matrix must be a matrix (2-D); got shape {tuple(source.shape)}")
    if 0 in source.shape:
        raise ValueError(f"matrix must not be empty; got shape {tuple(source.shape)}")
    on_host = not isinstance(source, np.ndarray) and not is_on_device(source)
    if on_host and str(source.dtype) in ("torch.float32", "torch.float64"):
        return source.numpy()
    return source


def _fits_float32(source: Any) -> bool:
    """Whether float32 holds every entry exactly."""
    if isinstance(source, np.ndarray):
        return bool(np.can_cast(source.dtype, np.float32))
    return source.dtype.is_floating_point


def _converted(block: Any, dtype: np.dtype) -> NDArray:
    if isinstance(block, np.ndarray):
        return np.ascontiguousarray(block, dtype)
    return (block.float() if dtype == np.float32 else block.double()).cpu().contiguous().numpy()


def exact_thresholds(codebook: Codebook, dtype: np.dtype) -> NDArray:
    """Thresholds of `dtype` that part its values just as the float64 ones do."""
    # x > t for x of a coarser precision is x > (t rounded down to it)
    with np.errstate(over="ignore"):
        thresholds = codebook.thresholds.astype(dtype)
    above = thresholds > codebook.thresholds
    thresholds[above] = np.nextafter(thresholds[above], dtype.type(-np.inf))
    return thresholds


@lru_cache(maxsize=64)
def _finder(codebook: Codebook, dtype: np.dtype) -> Any:
    """find(values, codes) -> all finite, for values of `dtype`."""
    from quantlab.codes import kernels

    thresholds = exact_thresholds(codebook, dtype)
    n = thresholds.size
    if n <= _MOST_COUNTED:
        padded = np.full((1 << n.bit_length()) - 1, np.inf, dtype)
        padded[:n] = thresholds
        count = kernels.count_kernel(padded.size)
        return lambda values, codes: count(values, padded, codes)
    start = thresholds[0]
    n_buckets = 4 * n
    while True:
        own, inverse = _buckets(thresholds, n_buckets)
        most = int(np.bincount(own).max())
        if most <= 1 or n_buckets >= _MOST_BUCKETS or inverse == 0:
            break
        n_buckets *= 2
    first = np.searchsorted(own, np.arange(n_buckets), side="left").astype(np.uint8)
    padded = np.concatenate([thresholds, np.full(2 * most + 1, np.inf, dtype)])
    bucket = kernels.bucket_kernel(most.bit_length())
    last = dtype.type(n_buckets - 1)
    return lambda values, codes: bucket(values, start, inverse, first, last, padded, codes)


def _buckets(thresholds: NDArray, n_buckets: int) -> tuple[NDArray[np.intp], Any]:
    """The bucket of each threshold, by the same arithmetic as in the kernel."""
    own = np.zeros(thresholds.size, np.intp)
    with np.errstate(over="ignore", divide="ignore"):
        reach = thresholds[-1] - thresholds[0]
        inverse = thresholds.dtype.type(n_buckets) / reach
    # a range that overflows or vanishes: one bucket, the first, where 0, inf * 0 and NaN land
    if not (np.isfinite(reach) and np.isfinite(inverse)):
        return own, thresholds.dtype.type(0)
    own[:] = np.minimum((thresholds - thresholds[0]) * inverse, n_buckets - 1)
    return own, inverse
