"""One way to compile a kernel: no GIL, cached on disk where there is a folder to write to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Any:
    """Numba's njit, cached; without a writable folder it compiles anew in each process.

    A kernel made inside a function may close over numbers and strings only: they are part of the
    cache's key, whereas other kernels would make the key differ in every process.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the source's folder nor the user's cache can be written
        return njit(nogil=True)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A part of kernels of its own file, put in their place: a loop over it can become vectors."""
    return njit(nogil=True, forceinline=True)(function)
