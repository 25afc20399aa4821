"""The blocks of GGUF files: Q4_0, Q4_1, Q8_0, Q4_K, Q6_K and IQ4_NL.

Decoding is that of ggml to the bit. Encoding is too for Q4_0, Q4_1 and Q8_0; for the others it
makes the reference's search (`make_qkx2_quants`, `make_qx_quants`) in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantlab.formats.group import GroupFormat, divided, half

_SOURCE = "ggml-org/llama.cpp, ggml-quants.c"
#: IQ4_NL's levels.
_NONLINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_MOST = 1e37  # float32 then holds differences and sums too


def _single(blocks: NDArray) -> NDArray[np.float32]:
    return np.clip(blocks, -_MOST, _MOST).astype(np.float32)


def _inverse(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / scale; 0 where that is not finite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _q4_0(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    x = _single(blocks)
    at = np.abs(x).argmax(axis=-1, keepdims=True)
    scale = np.clip(np.take_along_axis(x, at, axis=-1) / np.float32(-8), -65504, 65504)
    q = np.trunc(x * _inverse(scale) + np.float32(8.5))
    return np.clip(q, 0, 15) - 8, half(scale[..., 0]), None


def _q4_1(blocks: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    x = _single(blocks)
    least = np.clip(x.min(axis=-1, keepdims=True), -65504, 65504)
    scale = np.clip((x.max(axis=-1, keepdims=True) - least) / np.float32(15), 0, 65504)
    q = np.trunc((x - least) * _inverse(scale) + np.float32(0.5))
    return np.clip(q, 0, 15), half(scale[..., 0]), half(least[..., 0])


def _q8_0(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    x = _single(blocks)
    scale = np.clip(np.abs(x).max(axis=-1, keepdims=True) / np.float32(127), 0, 65504)
    t = x * _inverse(scale)
    whole = np.floor(np.abs(t))
    q = np.sign(t) * (whole + np.floor(2 * (np.abs(t) - whole)))
    return np.clip(q, -127, 127), half(scale[..., 0]), None


def _q4_k(blocks: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Scales and least values of 6 bits under two float16 for 256 entries."""
    x = np.clip(blocks, -_MOST, _MOST)
    scale, least = _affine_search(x)
    widest, lowest = (v.max(axis=-1, keepdims=True) for v in (scale, least))
    unit, unit_least = (half(v / 63).astype(np.float64) for v in (widest, lowest))
    steps = np.minimum(np.rint(divided(63 * scale, widest)), 63)
    steps_least = np.minimum(np.rint(divided(63 * least, lowest)), 63)
    scale, least = unit * steps, unit_least * steps_least
    q = np.clip(np.rint(divided(x + least[..., None], scale[..., None])), 0, 15)
    return q, scale, -least


def _affine_search(x: NDArray) -> tuple[NDArray, NDArray]:
    """Scale and -offset of each 32 entries: weighted least squares after each of 21 roundings."""
    weight = np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + np.abs(x)
    low = np.minimum(x.min(axis=-1, keepdims=True), 0.0)
    high = x.max(axis=-1, keepdims=True)
    span = high - low
    total, first = weight.sum(-1, keepdims=True), (weight * x).sum(-1, keepdims=True)
    best_scale, best_low = span / 15, low
    fitted = np.clip(np.rint(divided(15 * (x - low), span)), 0, 15)
    best = (weight * (best_scale * fitted + low - x) ** 2).sum(-1, keepdims=True)
    for step in range(21):
        q = np.clip(np.rint(divided((14 + 0.1 * step) * (x - low), span)), 0, 15)
        one, two, cross = ((weight * v).sum(-1, keepdims=True) for v in (q, q * q, q * x))
        determinant = total * two - one * one
        scale = divided(total * cross - first * one, determinant)
        offset = divided(two * first - one * cross, determinant)
        positive = offset > 0  # the format subtracts its least value
        scale = np.where(positive, divided(cross, two), scale)
        offset = np.where(positive, 0.0, offset)
        error = (weight * (scale * q + offset - x) ** 2).sum(-1, keepdims=True)
        better = (determinant > 0) & (scale > 0) & (error < best)
        best_scale, best_low, best = (
            np.where(better, new, old)
            for new, old in ((scale, best_scale), (offset, best_low), (error, best))
        )
    return best_scale[..., 0], -best_low[..., 0]


def _q6_k(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    """Scales of 8 bits under one float16 for 256 entries."""
    x = np.clip(blocks, -_MOST, _MOST)
    found = _scale_search(
        x, [-(32 + 0.1 * i) for i in range(-9, 10)], lambda t: np.clip(np.rint(t), -32, 31)
    )
    at = np.abs(found).argmax(axis=-1, keepdims=True)
    unit = half(np.take_along_axis(found, at, axis=-1) / -128).astype(np.float64)
    steps = np.clip(np.rint(divided(found, unit)), -128, 127)
    scale = unit * steps
    return np.clip(np.rint(divided(x, scale[..., None])), -32, 31), scale, None


def _iq4_nl(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
    x = np.clip(blocks, -_MOST, _MOST)
    ends = [_NONLINEAR[0] + i for i in range(-7, 8)]
    scale = half(_scale_search(x, ends, _nonlinear)).astype(np.float64)
    return _nonlinear(divided(x, scale[..., None])), scale, None


def _nonlinear(t: NDArray) -> NDArray:
    levels = np.array(_NONLINEAR, np.float64)
    return levels[np.searchsorted(0.5 * (levels[1:] + levels[:-1]), t)]


def _scale_search(
    x: NDArray, ends: list[float] | list[int], quantize: Callable[[NDArray], NDArray]
) -> NDArray:
    """Scale of each group: the largest entry at each end in turn, weights x^2, least squares."""
    at = np.abs(x).argmax(axis=-1, keepdims=True)
    largest = np.take_along_axis(x, at, axis=-1)
    unit = divided(x, largest)  # squares of squares must not overflow
    best, scale = np.zeros(x.shape[:-1]), np.zeros(x.shape[:-1])
    for end in ends:
        q = quantize(end * unit)
        along = (unit**3 * q).sum(-1)
        square = (unit**2 * q * q).sum(-1)
        worth = divided(along * along, square)
        better = worth > best
        best = np.where(better, worth, best)
        scale = np.where(better, divided(along, square), scale)
    return scale * largest[..., 0]


def _whole(low: int, high: int) -> tuple[float, ...]:
    return tuple(float(q) for q in range(low, high + 1))


GGUF = (
    GroupFormat("q4_0", _whole(-8, 7), 32, (32, 16), _q4_0, _SOURCE),
    GroupFormat("q4_1", _whole(0, 15), 32, (32, 32), _q4_1, _SOURCE),
    GroupFormat("q8_0", _whole(-127, 127), 32, (32, 16), _q8_0, _SOURCE),
    GroupFormat("q4_k", _whole(0, 15), 32, (256, 128), _q4_k, _SOURCE),
    GroupFormat("q6_k", _whole(-32, 31), 16, (256, 144), _q6_k, _SOURCE),
    GroupFormat("iq4_nl", tuple(map(float, _NONLINEAR)), 32, (32, 16), _iq4_nl, _SOURCE),
)
