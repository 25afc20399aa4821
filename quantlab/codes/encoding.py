"""encode: the cell of every entry, exactly as np.searchsorted finds it, parallel, copy-free."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab._matrices import converted, fits_float32, real_matrix
from quantlab.codebook import Codebook
from quantlab.codes.device import encode_tensor, is_on_device
from quantlab.codes.layout import packed_width
from quantlab.codes.matrix import CodedMatrix
from quantlab.codes.thresholds import finder

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
        Finite real entries in the codebook's unit: a numpy array of any real dtype, layout and byte
        order, a torch tensor of any real dtype (bfloat16 and float8 included), a pandas frame or
        lists. float32 and float64 are read in place. The codes of a tensor on a CUDA device stay
        there, in torch tensors.
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
        If the entries are not real numbers, or the matrix is sparse, masked or without data.

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
    source = real_matrix(matrix, "matrix")
    if is_on_device(source):
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
    exact = np.dtype(np.float32 if fits_float32(source) else np.float64)
    find = finder(codebook, exact)

    bad: list[tuple[int, int]] = []

    def encode_rows(span: tuple[int, int]) -> None:
        block = source[span[0] : span[1]]
        values = block if direct else _exactly(block, exact)
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
        values = converted(source[start:stop], exact)
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"matrix must be finite; matrix[{start + i}, {j}] = {values[i, j]}")
    return CodedMatrix._trusted(out, bits, (rows, columns), codebook)


def _exactly(block: Any, kind: np.dtype) -> NDArray:
    """The block's entries as float32 or float64, row-major."""
    from quantlab.codes.halves import widened  # here: it imports numba

    wide = widened(block) if kind == np.float32 else None
    return np.ascontiguousarray(converted(block, kind)) if wide is None else wide
