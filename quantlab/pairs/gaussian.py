"""The correlated Gaussian pair, for which everything is in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.pairs.base import FloatArray, Operand, Pair


@dataclass(frozen=True)
class GaussianPair(Pair):
    r"""Zero-mean jointly Gaussian (X, Y) with correlation rho.

    .. math:: w_X(x) = E[Y^2 | X = x] = \sigma_Y^2 ((1-\rho^2) + \rho^2 u^2), \quad u = x/\sigma_X

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError
        If |rho| > 1, a sigma is not positive, or a value is NaN or infinite.
    TypeError
        If a value is not a real number.

    Notes
    -----
    The weight is [1] Eq. for Gaussian pairs; derived in notebooks/01.

    Choosing: the law to start with. For data with heavier tails see `StudentTPair`; for two
    given matrices `EmpiricalPair`.

    Examples
    --------
    >>> pair = GaussianPair(rho=0.8)
    >>> round(float(pair.weight(0.0)), 12)
    0.36
    >>> a, b = pair.sample_matrices(2, 3, 4, rng=0)
    >>> a.shape, b.shape
    ((2, 3), (3, 4))
    """

    rho: float
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rho", check.correlation(self.rho))
        object.__setattr__(self, "sigma_x", check.positive_real(self.sigma_x, "sigma_x"))
        object.__setattr__(self, "sigma_y", check.positive_real(self.sigma_y, "sigma_y"))

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        sigma = self.sigma(operand)
        u = np.asarray(x, dtype=np.float64) / sigma
        return np.exp(-0.5 * u * u) / (np.sqrt(2 * np.pi) * sigma)

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * ((1 - self.rho**2) + (self.rho * u) ** 2)

    @property
    def mean_product(self) -> float:
        return self.rho * self.sigma_x * self.sigma_y

    @property
    def mean_square_product(self) -> float:
        return (1 + 2 * self.rho**2) * (self.sigma_x * self.sigma_y) ** 2

    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        r"""Draw a (m, k) and b (k, n), float32, correlated rho at every (i, j) at once.

        .. math::
            A_{il} = \sigma_X (\sqrt{|\rho|}\, z_l + \sqrt{1-|\rho|}\, g_{il}), \quad
            B_{lj} = \sigma_Y (\mathrm{sign}(\rho) \sqrt{|\rho|}\, z_l + \sqrt{1-|\rho|}\, h_{lj})

        with z, g, h independent standard normal: row l of b shares z_l with column l of a.
        """
        m, k, n = check.count(m, "m"), check.count(k, "k"), check.count(n, "n")
        rng = np.random.default_rng(rng)
        shared = np.sqrt(abs(self.rho)) * rng.standard_normal(k, dtype=np.float32)
        own = np.float32(np.sqrt(1 - abs(self.rho)))
        a = rng.standard_normal((m, k), dtype=np.float32) * own
        a += shared
        a *= np.float32(self.sigma_x)
        b = rng.standard_normal((k, n), dtype=np.float32) * own
        b += (np.sign(self.rho) * shared).astype(np.float32)[:, None]
        b *= np.float32(self.sigma_y)
        return a, b
