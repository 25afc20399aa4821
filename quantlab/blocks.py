"""Block-wise scaling: every g entries along the inner dimension share a scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix, encode
from quantlab.pairs import Operand


def encode_blocks(
    matrix: ArrayLike,
    codebook: Codebook,
    group: int,
    operand: Operand = "x",
    scale_dtype: DTypeLike | None = None,
) -> CodedMatrix:
    r"""Code a matrix over the largest magnitude of each group of g entries.

    .. math::
        \hat A_{il} = s_{i \lfloor l / g \rfloor}\; q(A_{il} / s_{i \lfloor l / g \rfloor}),
        \qquad s_{ib} = \max_{\lfloor l / g \rfloor = b} |A_{il}|

    Parameters
    ----------
    matrix : array_like
        a (m, k) for operand "x", b (k, n) for operand "y": groups lie along k; the last of a row
        or column may be shorter.
    codebook : Codebook
        Quantizer q of entries in [-1, 1], such as `Codebook(FORMATS["nf4"].levels(16))`.
    group : int
        g, at least 1.
    operand : {"x", "y"}
        Which factor the matrix is.
    scale_dtype : float16 or float32, optional
        How a scale is stored; it is rounded to that before it is used. None: float16, but float32
        where the largest scale is over 65,504 or under 2^-14, which float16 cannot hold well.

    Returns
    -------
    CodedMatrix
        With `scale` and `group`. Beyond float32's range too: there its codebook is `codebook` times
        a power of two.

    Raises
    ------
    ValueError, TypeError
        If the matrix or the group is not valid, or a scale is too large for a type that was asked
        for.

    Notes
    -----
    Source: Dettmers et al., arXiv 2110.02861 (block-wise quantization). Costs `block_bits` bits an
    entry. Choosing: follows outliers and changing scales that one codebook per matrix cannot.

    Examples
    --------
    >>> import quantlab as ql
    >>> coded = encode_blocks([[0.5, -2.0, 30.0, 10.0]], ql.Codebook([-1.0, 0.0, 1.0]), group=2)
    >>> coded.decode()
    array([[ 0., -2., 30.,  0.]], dtype=float32)
    """
    values = finite_matrix(matrix, "matrix")
    g = check.count(group, "group")
    axis = 1 if check.operand(operand) == "x" else 0
    starts = np.arange(0, values.shape[axis], g)
    largest = np.maximum.reduceat(np.abs(values), starts, axis=axis)
    top, exponent = float(largest.max()), 0
    if scale_dtype is None:
        scale_dtype = np.float16 if _holds(np.float16, top) else np.float32
        if not _holds(np.float32, top):
            exponent = int(np.frexp(top)[1]) - 1
    kind = _scale_type(scale_dtype)
    if exponent:
        values, largest = np.ldexp(values, -exponent), np.ldexp(largest, -exponent)
    with np.errstate(over="ignore"):
        rounded = largest.astype(kind)
    if not np.all(np.isfinite(rounded)):
        raise ValueError(f"a scale must be at most {np.finfo(kind).max:g} ({kind}); got {top:g}")
    rounded = np.where(largest > 0, np.maximum(rounded, np.finfo(kind).smallest_subnormal), 1)
    scale = rounded.astype(np.float32)
    full = np.repeat(scale, g, axis=axis)[: values.shape[0], : values.shape[1]]
    codes = encode(values / full, codebook).codes
    if exponent:
        codebook = codebook.scaled(2.0**exponent)
    return CodedMatrix(codes, codebook, scale=scale, group=g)


def block_bits(codebook: Codebook, group: int, scale_dtype: DTypeLike = np.float16) -> float:
    r"""Bits an entry that `encode_blocks` takes: a code's, and its share of a scale's.

    .. math:: \lceil \log_2 K \rceil + b / g

    Parameters
    ----------
    codebook : Codebook
        K levels.
    group : int
        g, the entries that share a scale of b bits.
    scale_dtype : float16 or float32
        How a scale is stored.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        If group is not a positive integer, or the type is another.

    Examples
    --------
    >>> import quantlab as ql
    >>> block_bits(ql.Codebook([-1.0, 0.0, 1.0]), group=64)
    2.25
    """
    return codebook.bits + 8 * _scale_type(scale_dtype).itemsize / check.count(group, "group")


def coded_bits(coded: CodedMatrix) -> float:
    """Bits an entry of what `encode_blocks` gave: 16 a scale where float16 holds all of them."""
    if coded.scale is None or coded.group is None:
        return coded.bits
    with np.errstate(over="ignore"):
        in_halves = np.array_equal(coded.scale, coded.scale.astype(np.float16))
    return block_bits(coded.codebook, coded.group, np.float16 if in_halves else np.float32)


def _holds(kind: type, largest: float) -> bool:
    """Whether `largest` is 0 or in the normal range."""
    limits = np.finfo(kind)
    return largest == 0 or float(limits.smallest_normal) <= largest <= float(limits.max)


def _scale_type(scale_dtype: DTypeLike) -> np.dtype:
    kind: np.dtype = np.dtype(scale_dtype)
    if kind not in (np.float16, np.float32):
        raise TypeError(f"scale_dtype must be float16 or float32; got {kind}")
    return kind
