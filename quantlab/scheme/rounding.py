"""Rounding with feedback: each entry makes up for the errors of those that came before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab import _validate as check
from quantlab._matrices import finite_matrix, is_tensor
from quantlab.codebook import Codebook
from quantlab.codes.device import is_on_device
from quantlab.codes.thresholds import rounded_down

FloatArray = NDArray[np.float64]

# of the mean diagonal: pivots below are rounding noise, whose ratios would be arbitrary feedback
_LEAST_PIVOT = 1e-10
_LARGEST_INT = 1 << 24  # float32 counts so far without a gap
_ROWS_A_TASK = 256
_WORTH_A_THREAD = 1 << 18


def feedback_matrix(moment: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r"""Complete the square of an error's quadratic form, from the last index to the first.

    .. math::
        S = U^\top D\, U, \qquad
        e S e^\top = \sum_l D_l \Big( e_l + \sum_{j > l} U_{lj} e_j \Big)^2

    Parameters
    ----------
    moment : array_like, shape (k, k)
        S, symmetric and positive semidefinite: S_B = B B^T / n for the rows of A, S_A = A^T A / m
        for the columns of B.

    Returns
    -------
    upper : ndarray, shape (k, k)
        U, unit upper triangular: what `round_feedback` takes.
    pivots : ndarray, shape (k,)
        D, positive, in the unit of S. D_l is the least of e S e^T over e_0 .. e_{l-1} for an error
        e_l = 1 and none behind it; the product of all is det S.

    Raises
    ------
    ValueError, TypeError
        If the moment is not a finite, symmetric, positive semidefinite matrix of real numbers.

    Notes
    -----
    Derived in notebooks/08. Where S is singular (fewer columns than k, a constant column) some
    pivots vanish, and with them what their rows of U mean: as soon as one is below 1e-10 of the
    mean diagonal, that much is added to the diagonal first. A pivot is then the price of an index
    whose error the earlier ones can make up for altogether: next to nothing.

    Choosing: where the other operand is coded too, add its mean squared error d to the diagonal,
    S_B + d I: what the errors of A meet is the coded B. Moments of few rows (m not much above k)
    fit those rows and no others: for data that come later shrink them towards a multiple of the
    identity, as `balance` does. Indices in the order of `feedback_order` lose less.

    Examples
    --------
    >>> upper, pivots = feedback_matrix([[2.0, 1.0], [1.0, 2.0]])
    >>> upper, pivots  # det S = 3
    (array([[1. , 0.5],
           [0. , 1. ]]), array([2. , 1.5]))
    """
    s = _moment(moment)
    k = s.shape[0]
    mean = float(np.trace(s)) / k
    if not s.any():
        return np.eye(k), np.zeros(k)
    for ridge in (0.0, _LEAST_PIVOT * mean):
        try:
            root = np.linalg.cholesky(s + ridge * np.eye(k)).T
        except np.linalg.LinAlgError:
            continue
        pivots = np.diag(root) ** 2
        if ridge or pivots.min() >= _LEAST_PIVOT * mean:
            return root / np.diag(root)[:, None], pivots
    raise ValueError(
        "moment must be positive semidefinite, as means of outer products are; "
        f"its least eigenvalue is {np.linalg.eigvalsh(s)[0]:.3g}, its mean diagonal {mean:.3g}"
    )


def feedback_order(moment: ArrayLike) -> NDArray[np.intp]:
    r"""Indices by what an error of theirs costs by itself, the cheapest first.

    .. math:: S_{o_0 o_0} \le S_{o_1 o_1} \le \dots \le S_{o_{k-1} o_{k-1}}

    Parameters
    ----------
    moment : array_like, shape (k, k)
        S, as in `feedback_matrix`.

    Returns
    -------
    ndarray of int, shape (k,)
        o, for `feedback_matrix(moment[np.ix_(o, o)])` and `round_feedback(..., order=o)`.

    Notes
    -----
    Whatever the order, the pivots' product is det S; their sum, which is what counts, is not.
    Coding starts at the end of the order: dear indices come first, while many can still make up
    for them, and what nobody can make up for any more falls on the cheap ones. For S = (1 - r) I +
    r z z^T with normal z (the paper's matrix model), r = 0.7, k = 64, the mean pivot is 1.05 of
    1 - r in this order, 1.10 in a random one, 1.28 in the opposite.

    Examples
    --------
    >>> feedback_order([[2.0, 0.0], [0.0, 1.0]])
    array([1, 0])
    """
    return np.argsort(np.diag(_moment(moment)), kind="stable")


def round_feedback(
    rows: Any,
    upper: Any,
    centers: ArrayLike,
    thresholds: ArrayLike,
    n_levels: ArrayLike,
    order: ArrayLike | None = None,
) -> Any:
    r"""Code rows so that later indices' errors are made up for by earlier ones.

    .. math::
        v_l = x_l - \sum_{j > l} U_{lj} e_j, \qquad \hat x_l = q_l(v_l), \qquad
        e_l = \hat x_l - x_l, \qquad l = k-1, \dots, 0

    Parameters
    ----------
    rows : array_like or torch tensor, shape (m, k)
        Rows x of A, or columns of B as rows. float32 is coded in float32, all else in float64.
    upper : ndarray, shape (k, k)
        U of `feedback_matrix`. What is on and below the diagonal is not read.
    centers, thresholds : ndarray, shapes (k, K) and (k, K - 1)
        Codebook q_l of each index in its row, padded with +inf behind the index's own levels.
        v equal to a threshold goes to the lower cell, as in `encode`.
    n_levels : array_like of int, shape (k,)
        Levels of each index, 1 to K; K at most 256.
    order : array_like of int, shape (k,), optional
        Row i of `upper` is index order[i]; all else stays in its own order. Default: 0 .. k - 1.

    Returns
    -------
    ndarray of uint8 (or a tensor, where rows are one), shape (m, k)
        Codes: row i decodes to centers[l, codes[i, l]], as nearest codes do.

    Raises
    ------
    ValueError, TypeError
        If an entry is not finite, or shapes or levels disagree.

    Notes
    -----
    The error of a row is sum_l D_l (x^_l - v_l)^2: each index pays for its own cell alone, and
    D_l times the mean square of a cell is what remains. Known one-sidedly as GPTQ or LDLQ, and in
    the theory of lattices as Babai's nearest plane: the best of each step given the steps before,
    not the best row of codes.

    All arithmetic is in the order of j = k - 1 .. l + 1, each product rounded before it is
    subtracted: every processor and device finds the same codes, to the bit. Time m k^2 / 2
    multiplications, parallel over rows.

    Examples
    --------
    >>> upper, _ = feedback_matrix([[1.0, 0.9], [0.9, 1.0]])
    >>> codes = round_feedback([[0.3, 0.3]], upper, 2 * [[0.0, 1.0]], 2 * [[0.5]], [2, 2])
    >>> codes  # 0.3 -> 0, an error of -0.3; then 0.3 + 0.9 0.3 = 0.57 -> 1
    array([[1, 0]], dtype=uint8)
    """
    table, cuts, levels = feedback_tables(centers, thresholds, n_levels)
    turn = _order(order, levels.size)
    if is_on_device(rows):
        from quantlab.scheme.device_rounding import round_feedback_tensor

        return round_feedback_tensor(rows, _upper(upper, levels.size), table, cuts, turn)
    source = _rows(rows, levels.size)
    u = _upper(upper, levels.size).astype(source.dtype)
    table, cuts = table[turn].astype(source.dtype), rounded_down(cuts[turn], source.dtype)
    levels = levels[turn]
    codes = np.empty(source.shape, np.uint8)
    from quantlab.scheme.rounding_kernels import feedback_kernel

    def code(span: tuple[int, int]) -> None:
        part = slice(*span)
        feedback_kernel(source[part], u, turn, table, cuts, levels, codes[part])

    _threads.for_each(code, _spans(source))
    return _like(rows, codes)


def round_feedback_uniform(
    rows: Any,
    upper: Any,
    steps: ArrayLike,
    offsets: ArrayLike,
    lo: ArrayLike,
    hi: ArrayLike,
    order: ArrayLike | None = None,
) -> Any:
    r"""`round_feedback` for uniform grids: the integer of each entry, for an entropy coder.

    .. math::
        z_l = \mathrm{clip}\Big( \mathrm{round}\, \frac{v_l - o_l}{\Delta_l},
              \mathrm{lo}_l, \mathrm{hi}_l \Big), \qquad \hat x_l = o_l + \Delta_l z_l

    with v as in `round_feedback`.

    Parameters
    ----------
    rows : array_like or torch tensor, shape (m, k)
    upper : ndarray, shape (k, k)
    steps, offsets : array_like, shape (k,)
        Delta > 0 and o, in the unit of the rows.
    lo, hi : array_like of int, shape (k,)
        Least and largest integer of each index, between -2^24 and 2^24; lo = hi = 0 drops it.
    order : array_like of int, shape (k,), optional
        As in `round_feedback`.

    Returns
    -------
    ndarray of int32 (or a tensor, where rows are one), shape (m, k)
        z; halves are rounded to even.

    Raises
    ------
    ValueError, TypeError
        If an entry is not finite, a step not positive, a range empty, or shapes disagree.

    Examples
    --------
    >>> upper, _ = feedback_matrix([[1.0, 0.9], [0.9, 1.0]])
    >>> round_feedback_uniform([[0.3, 0.3]], upper, [1, 1], [0, 0], [-8, -8], [7, 7])
    array([[1, 0]], dtype=int32)
    """
    width, start = (
        check.finite_vector(x, name) for x, name in ((steps, "steps"), (offsets, "offsets"))
    )
    low, high = (_integers(x, name) for x, name in ((lo, "lo"), (hi, "hi")))
    k = width.size
    if not width.size == start.size == low.size == high.size:
        raise ValueError(
            "steps, offsets, lo and hi must have an entry an index; got lengths "
            f"{width.size}, {start.size}, {low.size}, {high.size}"
        )
    if width.min() <= 0:
        raise ValueError(f"steps must be positive; got {width.min():g}")
    if np.any(low > high) or max(-low.min(), high.max()) > _LARGEST_INT:
        raise ValueError(
            f"lo must be at most hi, both within +-2^24; got lo {low.min()} to {low.max()} and "
            f"hi {high.min()} to {high.max()}"
        )
    turn = _order(order, k)
    if is_on_device(rows):
        from quantlab.scheme.device_rounding import round_uniform_tensor

        return round_uniform_tensor(rows, _upper(upper, k), width, start, low, high, turn)
    source = _rows(rows, k)
    u = _upper(upper, k).astype(source.dtype)
    width, start, least, most = (x[turn].astype(source.dtype) for x in (width, start, low, high))
    ints = np.empty(source.shape, np.int32)
    from quantlab.scheme.rounding_kernels import feedback_uniform_kernel

    def code(span: tuple[int, int]) -> None:
        part = slice(*span)
        feedback_uniform_kernel(source[part], u, turn, width, start, least, most, ints[part])

    _threads.for_each(code, _spans(source))
    return _like(rows, ints)


def moment_of(rows: NDArray, ridge: float = 0.0) -> FloatArray:
    """Mean outer product of the rows (m, k), with `ridge` on its diagonal."""
    wide = rows.astype(np.float64)
    return wide.T @ wide / len(wide) + ridge * np.eye(wide.shape[1])


def feedback_of(moment: ArrayLike) -> tuple[FloatArray, NDArray[np.intp]]:
    """U and the order it is in, for `round_feedback`."""
    order = feedback_order(moment)
    return feedback_matrix(np.asarray(moment)[np.ix_(order, order)])[0], order


def _moment(moment: ArrayLike) -> FloatArray:
    s = finite_matrix(moment, "moment").astype(np.float64)
    if s.shape[0] != s.shape[1]:
        raise ValueError(f"moment must be square; got shape {s.shape}")
    if np.abs(s - s.T).max() > 1e-6 * np.abs(s).max():
        raise ValueError("moment must be symmetric; its halves differ by more than 1e-6")
    return s


def _order(order: ArrayLike | None, k: int) -> NDArray[np.int64]:
    turn = np.arange(k) if order is None else _integers(order, "order")
    if not np.array_equal(np.sort(turn), np.arange(k)):
        raise ValueError(f"order must hold each of 0 .. {k - 1} once; got {turn}")
    return turn


def one_book(
    codebook: Codebook, inner_dim: int
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Centres, thresholds and levels that `round_feedback` takes, for one codebook for all k."""
    k = inner_dim
    return (
        np.broadcast_to(codebook.centers, (k, codebook.n_levels)),
        np.broadcast_to(codebook.thresholds, (k, codebook.n_levels - 1)),
        np.full(k, codebook.n_levels),
    )


def _rows(rows: Any, k: int) -> NDArray:
    """Finite rows (m, k), C-ordered: float32 where that holds them exactly, else float64."""
    source = finite_matrix(rows, "rows")
    if source.shape[1] != k:
        raise ValueError(f"rows must have {k} entries, one an index; got shape {source.shape}")
    return np.ascontiguousarray(source)


def _like(rows: Any, found: NDArray) -> Any:
    """What was found, as a tensor where the rows are one."""
    if not is_tensor(rows):
        return found
    import torch

    return torch.from_numpy(found)


def _upper(upper: ArrayLike, k: int) -> FloatArray:
    u = finite_matrix(upper, "upper").astype(np.float64)
    if u.shape != (k, k):
        raise ValueError(f"upper must have shape {(k, k)}, one row an index; got {u.shape}")
    return u


def feedback_tables(
    centers: ArrayLike, thresholds: ArrayLike, n_levels: ArrayLike
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Centres and thresholds (k, width), padded with inf to a width that the kernel's steps fit."""
    c, t = np.asarray(centers, np.float64), np.asarray(thresholds, np.float64)
    levels = _integers(n_levels, "n_levels")
    k, most = levels.size, int(levels.max())
    if levels.min() < 1 or most > 256:
        raise ValueError(f"n_levels must lie in 1 .. 256; got {levels.min()} to {most}")
    if c.ndim != 2 or t.ndim != 2 or len(c) != k or len(t) != k:
        raise ValueError(
            f"centers and thresholds must have {k} rows, one an index; got shapes {c.shape} and "
            f"{t.shape}"
        )
    if c.shape[1] < most or t.shape[1] < most - 1:
        raise ValueError(
            f"{most} levels need as many centers and {most - 1} thresholds an index; got shapes "
            f"{c.shape} and {t.shape}"
        )
    width = max(4, 1 << (most - 1).bit_length())
    table, cuts = np.full((2, k, width), np.inf)
    inside = np.arange(most) < levels[:, None]
    table[:, :most][inside] = c[:, :most][inside]
    inside = inside[:, 1:]
    cuts[:, : most - 1][inside] = t[:, : most - 1][inside]
    used = np.arange(width) < levels[:, None]
    if not np.all(np.isfinite(table) == used) or np.any(np.isnan(cuts)):
        raise ValueError("centers and thresholds must be finite up to an index's own n_levels")
    return table, cuts, levels


def _integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.size == 0:
        raise TypeError(
            f"{name} must be a vector of integers; got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _spans(rows: NDArray) -> list[tuple[int, int]]:
    """Rows of a task each; few enough products are not worth a thread."""
    m, k = rows.shape
    parts = 1 if m * k * k < _WORTH_A_THREAD else min(-(-m // _ROWS_A_TASK), 4 * _threads.count())
    return _threads.split(m, parts, 64)
