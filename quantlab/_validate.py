"""Checks shared by the public functions: each says what was expected and what came."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite_real(value: object, name: str) -> float:
    """Return `value` as a float; TypeError unless it is a real number, ValueError unless finite."""
    if isinstance(value, bool) or not isinstance(value, (Real, np.floating)):
        raise TypeError(f"{name} must be a real number; got {type(value).__name__} {value!r}")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite; got {number}")
    return number


def correlation(rho: object, name: str = "rho") -> float:
    number = finite_real(rho, name)
    if abs(number) > 1.0:
        raise ValueError(f"{name} is a correlation and must lie in [-1, 1]; got {number}")
    return number


def positive_real(value: object, name: str) -> float:
    number = finite_real(value, name)
    if number <= 0.0:
        raise ValueError(f"{name} must be positive; got {number}")
    return number


def count(value: object, name: str, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int in [minimum, maximum]; TypeError unless it is an integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer; got {type(value).__name__} {value!r}")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {number}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}; got {number}")
    return number


def levels(n_levels: object) -> tuple[int, int]:
    """Return (K_X, K_Y) from an int or a pair of ints, each at least 2."""
    if isinstance(n_levels, (tuple, list)):
        if len(n_levels) != 2:
            raise ValueError(f"n_levels must be an int or a pair (K_X, K_Y); got {n_levels!r}")
        k_x, k_y = n_levels
    else:
        k_x = k_y = n_levels
    return count(k_x, "n_levels", 2), count(k_y, "n_levels", 2)


def rounding(which: object) -> str:
    if which not in ("nearest", "feedback"):
        raise ValueError(f'rounding must be "nearest" or "feedback"; got {which!r}')
    return str(which)


def operand(which: object) -> str:
    if which not in ("x", "y"):
        raise ValueError(f'operand must be "x" or "y"; got {which!r}')
    return str(which)


def finite_vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `values` as a new 1-D float64 array without NaN or infinities."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{name} must be finite; {name}[{bad[0]}] = {array[bad[0]]}")
    return array


def increasing(values: NDArray[np.float64], name: str) -> None:
    bad = np.flatnonzero(np.diff(values) <= 0)
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"{name} must increase strictly; "
            f"{name}[{i + 1}] = {values[i + 1]:g} <= {name}[{i}] = {values[i]:g}"
        )


def multipliable(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    if a_shape[1] != b_shape[0]:
        raise ValueError(
            "a (m, k) and b (k, n) must share the inner dimension k; "
            f"got a {tuple(a_shape)} and b {tuple(b_shape)}"
        )
