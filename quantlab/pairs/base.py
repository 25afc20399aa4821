"""What a joint law of (X, Y) must know for quantlab to design and judge codebooks for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check

Operand = Literal["x", "y"]
OPERANDS: tuple[Operand, Operand] = ("x", "y")
FloatArray = NDArray[np.float64]


class Pair(ABC):
    """The joint law of one multiplied pair (X, Y) = (A_il, B_lj).

    For every entry (i, j) of C = A B the pairs over l = 1..k are i.i.d. with this law
    (the pair-i.i.d. inner-product model, [1] Sec. 2).

    Attributes
    ----------
    rho : float
        Correlation of X and Y.
    sigma_x, sigma_y : float
        Standard deviations, in the data's own unit.

    References
    ----------
    [1] Ang, Kim, Pilanci, "Optimal Scalar Quantization for Matrix Multiplication:
        Closed-Form Density and Phase Transition", arXiv 2603.19559 (2026).
    """

    rho: float
    sigma_x: float
    sigma_y: float

    @abstractmethod
    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        """Marginal density of the operand at `x` (the data's own unit)."""

    @abstractmethod
    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        """w_X(x) = E[Y^2 | X = x] (operand "x"), or w_Y(y) = E[X^2 | Y = y] (operand "y")."""

    @abstractmethod
    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Draw float32 a (m, k), b (k, n) in which every pair (A_il, B_lj) has this law."""

    @property
    @abstractmethod
    def mean_product(self) -> float:
        """E[XY]."""

    @property
    @abstractmethod
    def mean_square_product(self) -> float:
        """E[X^2 Y^2]."""

    def sigma(self, operand: Operand = "x") -> float:
        """Standard deviation of one operand."""
        return self.sigma_x if check.operand(operand) == "x" else self.sigma_y

    def support(self, operand: Operand = "x") -> tuple[float, float]:
        """Interval that carries the operand's law (the data's own unit); infinite by default."""
        return -np.inf, np.inf

    def energy(self, inner_dim: int) -> float:
        """E[C_ij^2] = k E[X^2 Y^2] + k (k-1) E[XY]^2, what `nmse` divides by."""
        k = check.count(inner_dim, "inner_dim")
        return k * self.mean_square_product + k * (k - 1) * self.mean_product**2
