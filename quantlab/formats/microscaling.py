"""MX and NV: small floats and bytes whose scales are themselves one byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab.formats.codebooks import float_levels
from quantlab.formats.group import GroupFormat, Rule, divided, single

_OCP = "OCP Microscaling Formats (MX) Specification 1.0, 2023"
_NV = "NVIDIA, Pretraining Large Language Models with NVFP4, arXiv 2509.25149"
#: exponent bits, mantissa bits, largest value
_SMALL = {
    "mxfp4": (2, 1, 6.0), "mxfp6_e2m3": (2, 3, 7.5), "mxfp6_e3m2": (3, 2, 28.0),
    "mxfp8_e4m3": (4, 3, 448.0), "mxfp8_e5m2": (5, 2, 57344.0),
}  # fmt: skip


def rounded(
    values: NDArray, exponent_bits: int, mantissa_bits: int, largest: float
) -> NDArray[np.float64]:
    """Nearest values of a small float, ties to the even mantissa, saturated at the largest.

    Examples
    --------
    >>> rounded(np.array([0.25, 2.5, 5.0, 100.0]), 2, 1, 6.0)
    array([0., 2., 4., 6.])
    """
    least = 2 - 2 ** (exponent_bits - 1)
    exponent = np.maximum(np.frexp(values)[1] - 1, least) - mantissa_bits
    nearest = np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent)
    return np.clip(nearest, -largest, largest)


def power_of_two(largest: NDArray, highest: int) -> NDArray[np.float64]:
    """E8M0's scale: 2^(floor(log2 of the group's largest) - highest), exponents -127 .. 127."""
    exponent = np.where(largest > 0, np.frexp(largest)[1] - 1 - highest, -127)
    return np.ldexp(1.0, np.clip(exponent, -127, 127))


def _mx_float(exponent_bits: int, mantissa_bits: int, largest: float) -> Rule:
    highest = int(np.frexp(largest)[1]) - 1

    def rule(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
        scale = power_of_two(np.abs(blocks).max(axis=-1), highest)
        levels = rounded(blocks / scale[..., None], exponent_bits, mantissa_bits, largest)
        return levels, scale, None

    return rule


def _mx_int8(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    scale = power_of_two(np.abs(blocks).max(axis=-1), 0)
    levels = np.clip(np.rint(64 * blocks / scale[..., None]), -127, 127) / 64
    return levels, scale, None


def _nvfp4(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    largest = np.abs(blocks).max(axis=-1)
    # one float32 for the whole matrix puts its largest entry at 6 * 448
    whole = single(np.maximum(largest.max() / (6 * 448), 2.0**-149))
    part = rounded(largest / 6 / float(whole), 4, 3, 448.0)
    scale = single(part * float(whole)).astype(np.float64)
    return rounded(divided(blocks, scale[..., None]), 2, 1, 6.0), scale, None


def _levels(exponent_bits: int, mantissa_bits: int, largest: float) -> tuple[float, ...]:
    every = float_levels(exponent_bits, mantissa_bits, largest) * largest
    return tuple(rounded(every, exponent_bits, mantissa_bits, largest).tolist())


MICROSCALING = (
    *(
        GroupFormat(name, _levels(*kind), 32, (32, 8), _mx_float(*kind), _OCP)
        for name, kind in _SMALL.items()
    ),
    GroupFormat("mxint8", tuple((np.arange(-127, 128) / 64).tolist()), 32, (32, 8), _mx_int8, _OCP),
    GroupFormat("nvfp4", _levels(2, 1, 6.0), 16, (16, 8), _nvfp4, _NV, tensor_bits=32),
)
