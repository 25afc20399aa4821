"""Centres on the grid of FP8 E4M3: c_i ~ s q_i, q_i of four significant bits, up to 448."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.codes import CodedMatrix
from quantlab.gemm.grid import Snapped

_LARGEST = 448.0
# of the largest centre: 448 down to 193, more than a power of two; whole steps, so that a codebook
# of E4M3 values is among them whatever its unit
_PLACES = _LARGEST - np.arange(256)


def has_fp8(device: Any) -> bool:
    """Whether this device multiplies FP8: Ada, Hopper and later; the CPU, slowly."""
    if device.type != "cuda":
        return device.type == "cpu"
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 9)


def nearest_e4m3(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest values of E4M3, of two the even one; +-448 beyond.

    >>> nearest_e4m3(np.array([17.0, 19.1, 2.0**-10, -500.0]))
    array([  16.,   20.,    0., -448.])
    """
    step = np.ldexp(1.0, np.maximum(np.frexp(x)[1], -5) - 4)
    return np.clip(np.rint(x / step) * step, -_LARGEST, _LARGEST)


def snap_fp8(coded: CodedMatrix) -> Snapped:
    r"""Snap a coded matrix's centres to s q, q in E4M3, with the least added error.

    .. math:: \min_M \sum_i p_i (c_i - s q_i)^2, \qquad
        q_i = \mathrm{e4m3}(c_i M / \max |c|), \quad M = 193 \dots 448

    As `quantlab.gemm.grid.snap`, with all codes as the sample: p are their frequencies, s is the
    least-squares scale for the q found, and the coding error is that of uniform cells. `table`
    holds floats.
    """
    centers = coded.codebook.centers
    frequency = np.bincount(coded.codes.ravel(), minlength=centers.size) / coded.codes.size
    largest = float(np.abs(centers).max()) or 1.0
    places = centers / largest * _PLACES[:, None]
    # a code that the sample missed still has to be near
    errors = (((places - nearest_e4m3(places)) / _PLACES[:, None]) ** 2) @ (frequency + 1e-5)
    best = int(np.argmin(errors))
    q = nearest_e4m3(places[best])
    square = float(frequency @ q**2)
    scale = float(frequency @ (q * centers)) / square if square else largest / _PLACES[best]
    table = np.zeros(256, np.float32)
    table[: q.size] = q
    width = np.gradient(centers) if centers.size > 1 else np.zeros(1)
    added, coding, energy = (
        float(frequency @ x) for x in ((centers - scale * q) ** 2, width**2 / 12, centers**2)
    )
    return Snapped(table, scale, added, coding, energy)
