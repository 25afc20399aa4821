"""encode and matmul, block by block."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.codes import encode as encode_block
from quantlab.codes.kernels import unpack_kernel
from quantlab.codes.layout import packed_width
from quantlab.gemm import matmul as matmul_block
from quantlab.gemm import plan
from quantlab.outofcore.reading import MEMORY, Array, checked, entries_in, read, steps, tiles
from quantlab.progress import Meter, Progress


def encode(
    matrix: Array,
    codebook: Codebook,
    *,
    out: NDArray[np.uint8] | None = None,
    memory: int = MEMORY,
    progress: Progress = None,
) -> CodedMatrix:
    """`quantlab.encode`, packed, of a matrix that is read in blocks.

    Parameters
    ----------
    matrix : array
        Real and finite, (rows, columns): anything with shape, dtype and slices that
        numpy.asarray takes (numpy.memmap, zarr.Array, dask.array.Array, h5py.Dataset).
    codebook : Codebook
        At most 256 levels.
    out : ndarray of uint8, optional
        C-ordered (rows, ceil(columns bits / 8)) that receives the packed codes, such as
        numpy.lib.format.open_memmap(path, "w+", numpy.uint8, shape); by default in memory.
    memory : int
        Bytes for the blocks. `out` comes on top where it is in memory.
    progress : callable or True, optional
        progress(done, total, seconds left) at each block; True: a bar of tqdm's.

    Returns
    -------
    CodedMatrix
        Holds `out`.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite (one is named), the matrix is empty or not 2-D, `out` has
        another shape, or the memory is too little for a block.
    TypeError
        If the matrix has no shape, dtype and slices, or does not hold real numbers.

    Examples
    --------
    >>> big = np.arange(12.0).reshape(3, 4)
    >>> coded = encode(big, Codebook([0.0, 4.0, 8.0]), memory=10_000)
    >>> coded.codes[2]
    array([2, 2, 2, 2], dtype=uint8)
    """
    rows, columns = checked(matrix, "matrix")
    bits = codebook.bits
    shape = (rows, packed_width(columns, bits))
    target = np.empty(shape, np.uint8) if out is None else out
    if target.shape != shape or target.dtype != np.uint8 or not target.flags.c_contiguous:
        raise ValueError(
            f"out must be a C-ordered uint8 array of shape {shape}; "
            f"got {target.dtype} of shape {target.shape}"
        )
    # eight codes of any width end at a byte
    parts = list(tiles((rows, columns), entries_in(memory), multiple=8))
    with Meter(progress, len(parts), label="encode") as meter:
        for r, c in parts:
            coded = encode_block(read(matrix, r, c, "matrix"), codebook, packed=True)
            first = c.start * bits // 8
            target[r, first : first + coded.packed.shape[1]] = coded.packed
            meter.add()
    return CodedMatrix._trusted(target, bits, (rows, columns), codebook)


def matmul(
    a: CodedMatrix,
    b: CodedMatrix,
    *,
    out: Any = None,
    memory: int = MEMORY,
    backend: str = "auto",
    progress: Progress = None,
) -> Any:
    r"""`quantlab.matmul` by blocks; codes and product may be larger than memory.

    .. math:: C_{IJ} = \sum_L \hat A_{IL} \hat B_{LJ}

    summed in float64 over the blocks L of the inner dimension.

    Parameters
    ----------
    a, b : CodedMatrix
        (m, k) and (k, n), as `encode` makes them (their codes in a numpy.memmap); a scale may be
        one for all, a row or a column, but not for groups.
    out : array, optional
        (m, n); block by block it is assigned float32. By default a new array in memory.
    memory : int
        Bytes for the blocks.
    backend : str
        As in `quantlab.matmul`.
    progress : callable or True, optional
        progress(done, total, seconds left) at each block of the product; True: a bar of tqdm's.

    Returns
    -------
    `out`

    Raises
    ------
    ValueError
        If inner dimensions differ, `out` has another shape, a scale is for groups, or the memory
        is too little for a block.

    Notes
    -----
    Blocks are squares of side s = sqrt(M / 48) for M bytes: a is read n / s times and b m / s
    times. All blocks take the same route of `quantlab.gemm.plan`.

    Examples
    --------
    >>> coded = encode(np.array([[-1.0, 1.0], [1.0, 1.0]]), Codebook([-1.0, 1.0]))
    >>> matmul(coded, coded, memory=10_000)
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """
    for name, operand in (("a", a), ("b", b)):
        if not isinstance(operand, CodedMatrix):
            raise TypeError(f"{name} must be a CodedMatrix; got {type(operand).__name__}")
        if operand.group is not None:
            raise ValueError(f"{name} must have no scales of groups; got group {operand.group}")
    check.multipliable(a.shape, b.shape)
    m, k, n = *a.shape, b.shape[1]
    if out is None:
        out = np.empty((m, n), np.float32)
    if tuple(out.shape) != (m, n):
        raise ValueError(f"out must have shape {(m, n)}; got {tuple(out.shape)}")
    # two decoded operands and two products, float64 at most: a square block each
    side = max(8, int(np.sqrt(entries_in(memory) / 2)) // 8 * 8)
    route = None
    blocks = list(product(steps(m, side), steps(n, side)))
    with Meter(progress, len(blocks), label="matmul") as meter:
        for r, c in blocks:
            total = np.zeros((r.stop - r.start, c.stop - c.start))
            for inner in steps(k, side):
                left, right = _block(a, r, inner), _block(b, inner, c)
                if backend != "reference" and route is None:
                    route = plan(left, right).route
                total += matmul_block(left, right, backend, route=route)
            out[r, c] = total.astype(np.float32)
            meter.add()
    return out


def _block(coded: CodedMatrix, r: slice, c: slice) -> CodedMatrix:
    """A part of a coded matrix, its codes unpacked; c starts at a multiple of eight."""
    if coded.is_packed:
        first, last = c.start * coded.bits // 8, packed_width(c.stop, coded.bits)
        codes = np.empty((r.stop - r.start, c.stop - c.start), np.uint8)
        unpack_kernel(np.ascontiguousarray(coded.packed[r, first:last]), coded.bits, codes)
    else:
        codes = coded.codes[r, c]
    scale = coded.scale
    if scale is not None:
        scale = scale[r if scale.shape[0] > 1 else slice(None)]
        scale = scale[:, c if scale.shape[1] > 1 else slice(None)]
    return CodedMatrix(codes, coded.codebook, scale)
