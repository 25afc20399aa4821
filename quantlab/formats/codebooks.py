"""Formats of one codebook a matrix: their levels, and designers that scale them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.design._books import two_codebooks
from quantlab.pairs import Operand, Pair
from quantlab.pairs.empirical import EmpiricalPair

FloatArray = NDArray[np.float64]

# a law has no largest entry: its absmax is what one entry in 2^16 exceeds, either side counted
_LAW_ENTRIES = 2**16


def integer_levels(bits: int) -> FloatArray:
    r"""Signed integers -q .. q over q, q = 2^(b-1) - 1: the symmetric range without -2^(b-1).

    Source: Wu et al., "Integer Quantization for Deep Learning Inference", arXiv 2004.09602.

    Examples
    --------
    >>> integer_levels(3) * 3
    array([-3., -2., -1.,  0.,  1.,  2.,  3.])
    """
    q = 2 ** (check.count(bits, "bits", 2) - 1) - 1
    return np.arange(-q, q + 1) / q


def uniform_levels(n_levels: int) -> FloatArray:
    """K equally spaced levels, symmetric about 0 (0 is one of them if K is odd)."""
    return np.linspace(-1.0, 1.0, check.count(n_levels, "n_levels", 2))


def float_levels(exponent_bits: int, mantissa_bits: int, largest: float) -> FloatArray:
    r"""Finite values of a small floating-point format over the largest, -0 and 0 as one.

    .. math:: \pm 2^{e - \mathrm{bias}} (1 + f / 2^M), \qquad \pm 2^{1 - \mathrm{bias}} f / 2^M

    (normal and subnormal), bias = 2^(E-1) - 1. `largest` cuts off the codes that stand for
    infinity and NaN. Sources: FP8 E4M3 (largest 448) and E5M2 (57344), Micikevicius et al.,
    "FP8 Formats for Deep Learning", arXiv 2209.05433; FP4 E2M1 (6), OCP Microscaling Formats
    (MX) Specification 1.0.

    Examples
    --------
    >>> float_levels(2, 1, 6.0)[7:] * 6
    array([0. , 0.5, 1. , 1.5, 2. , 3. , 4. , 6. ])
    """
    exponent = np.arange(2**exponent_bits)[:, None]
    fraction = np.arange(2**mantissa_bits) / 2**mantissa_bits
    normal = exponent > 0
    bias = 2 ** (exponent_bits - 1) - 1
    values = 2.0 ** (np.maximum(exponent, 1) - bias) * (normal + fraction)
    values = values[values <= largest]
    return np.unique(np.concatenate([-values, values])) / largest


def normal_float_levels() -> FloatArray:
    """NF4: quantiles of the normal law, 8 above 0, 7 below and 0 itself, over the largest.

    Source: Dettmers et al., "QLoRA", arXiv 2305.14314; the end, 0.9677083, is the mean of
    1 - 1/32 and 1 - 1/30 that bitsandbytes' `create_normal_map` uses.

    Examples
    --------
    >>> normal_float_levels()[[0, 1, 7, 8, 15]].round(4)
    array([-1.    , -0.6962,  0.    ,  0.0796,  1.    ])
    """
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in np.linspace(0.9677083, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in np.linspace(0.9677083, 0.5, 8)[:-1]]
    return np.sort([*below, 0.0, *above]) / above[0]


def dynamic_levels(bits: int = 8) -> FloatArray:
    r"""Dynamic (tree) map: decades of fractions, the higher the finer; 0 and 1 beside them.

    .. math:: \pm 10^{i - (b-2)} \cdot \mathrm{mid}_j, \qquad i = 0, ..., b - 2

    with mid_j the midpoints of 2^i equal parts of [0.1, 1]: 2^b levels in all.
    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", arXiv 2110.02861.

    Examples
    --------
    >>> levels = dynamic_levels()
    >>> levels.size, levels[-2:].round(4)
    (256, array([0.993, 1.   ]))
    """
    decades = check.count(bits, "bits", 2) - 1
    positive = [
        10.0 ** (i - decades + 1) * (0.1 + 0.9 * (np.arange(2**i) + 0.5) / 2**i)
        for i in range(decades)
    ]
    values = np.concatenate(positive)
    return np.sort(np.concatenate([-values, [0.0, 1.0], values]))


@dataclass(frozen=True)
class Format:
    """A number format as a designer: call it with (pair or (a, b), n_levels) for two codebooks.

    Attributes
    ----------
    name : str
        As in `FORMATS`.
    levels : callable
        (n_levels) -> increasing levels, the largest 1.
    bits : tuple of int, optional
        The sizes that the format exists in; None: any number of levels.
    scaling : "absmax" or "mse"
        The largest level falls on the operand's largest magnitude, or the scale minimises the
        operand's own mean squared error (which clips).
    source : str
        Where the format comes from.
    """

    name: str
    levels: Callable[[int], FloatArray]
    bits: tuple[int, ...] | None
    scaling: Literal["absmax", "mse"]
    source: str

    def exists_at(self, n_levels: int) -> bool:
        """Whether the format has a size whose codes are numbered 0 .. n_levels - 1."""
        return self.bits is None or any(n_levels == 2**b for b in self.bits)

    def __call__(
        self,
        pair: Pair | tuple[ArrayLike, ArrayLike],
        n_levels: int | tuple[int, int],
        inner_dim: int | None = None,
    ) -> tuple[Codebook, Codebook]:
        """Codebooks for X and Y, or for a and b, each scaled by its own operand.

        Raises
        ------
        ValueError
            If the format does not exist at `n_levels` = 2^bits.
        """
        source = pair if isinstance(pair, Pair) else EmpiricalPair(*pair)

        def centers(operand: Operand, k: int) -> tuple[FloatArray, dict[str, object]]:
            if not self.exists_at(k):
                sizes = ", ".join(str(2**b) for b in self.bits or ())
                raise ValueError(f"{self.name} exists for {sizes} levels; got {k}")
            levels = self.levels(k)
            if self.scaling == "absmax":
                scale = _absmax(source, operand)
            else:
                scale = _best_scale(levels, source, operand)
            return scale * levels, {"scale": scale}

        return two_codebooks(self.name, n_levels, centers)


def _bits(n_levels: int) -> int:
    return n_levels.bit_length() - 1


_INT = "arXiv 2004.09602"
_FP8 = "arXiv 2209.05433"
_ANY = tuple(range(2, 9))

#: name -> designer; sizes differ, see `Format.exists_at`.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("int_absmax", lambda k: integer_levels(_bits(k)), _ANY, "absmax", _INT),
        Format("int_mse", lambda k: integer_levels(_bits(k)), _ANY, "mse", _INT),
        Format("uniform", uniform_levels, None, "mse", "Max, IRE Trans. IT-6 (1960)"),
        Format("fp4_e2m1", lambda _: float_levels(2, 1, 6.0), (4,), "absmax", "OCP MX 1.0"),
        Format("nf4", lambda _: normal_float_levels(), (4,), "absmax", "arXiv 2305.14314"),
        Format("fp8_e4m3", lambda _: float_levels(4, 3, 448.0), (8,), "absmax", _FP8),
        Format("fp8_e5m2", lambda _: float_levels(5, 2, 57344.0), (8,), "absmax", _FP8),
        Format("dynamic8", lambda _: dynamic_levels(8), (8,), "absmax", "arXiv 2110.02861"),
    )
}


def formats_at(n_levels: int) -> dict[str, Format]:
    """The formats that exist at `n_levels`, by name.

    Examples
    --------
    >>> list(formats_at(16))
    ['int_absmax', 'int_mse', 'uniform', 'fp4_e2m1', 'nf4']
    """
    k = check.count(n_levels, "n_levels", 2)
    return {name: each for name, each in FORMATS.items() if each.exists_at(k)}


def _absmax(pair: Pair, operand: Operand) -> float:
    """Largest magnitude of data (1 if all are 0); of a law, what one entry in 2^16 exceeds."""
    if isinstance(pair, EmpiricalPair):
        return float(np.max(np.abs(pair.a if operand == "x" else pair.b))) or 1.0
    low, high = 0.0, max(pair.sigma(operand), 1e-300)
    while _beyond(pair, operand, high) > 1 / _LAW_ENTRIES:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        if _beyond(pair, operand, middle) > 1 / _LAW_ENTRIES:
            low = middle
        else:
            high = middle
    return high


def _beyond(pair: Pair, operand: Operand, magnitude: float) -> float:
    mass = pair.cell_moments(np.array([-magnitude, magnitude]), operand)[0]
    return float(mass[0] + mass[2])


def _best_scale(levels: FloatArray, pair: Pair, operand: Operand) -> float:
    """Scale of least mean squared error: the best of a fine grid, then golden section."""
    borders = 0.5 * (levels[1:] + levels[:-1])

    def cost(log_scale: float) -> float:
        scale = np.exp(log_scale)
        mass, first = pair.cell_moments(scale * borders, operand)
        return float(scale * (scale * (mass @ levels**2) - 2 * (first @ levels)))

    high = float(np.log(_absmax(pair, operand)))
    grid = high - np.linspace(0.0, np.log(1e3), 140)
    middle = float(grid[int(np.argmin([cost(g) for g in grid]))])
    step = float(grid[0] - grid[1])
    low, high = middle - step, middle + step
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return float(np.exp(0.5 * (low + high)))
