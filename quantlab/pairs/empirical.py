"""The law that two given matrices stand for."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.pairs.base import FloatArray, Operand, Pair, times_power
from quantlab.pairs.gaussian import GaussianPair

# grid of the smoothed density, in t = asinh(x / sigma)
_GRID = 1024
_ROOM = 30  # powers of two: squares of k such products fit float32


class EmpiricalPair(Pair):
    r"""The pairs (A_il, B_lj) that the product of two given matrices multiplies, over all i, l, j.

    .. math:: w(A_{il}) = \frac1n \sum_j B_{lj}^2, \qquad w(B_{lj}) = \frac1m \sum_i A_{il}^2

    is the weight of an entry: what its squared error counts in the product. All moments come from
    sums over rows and columns; the m k n pairs are never formed.

    Parameters
    ----------
    a : array_like, shape (m, k)
        Left matrix.
    b : array_like, shape (k, n)
        Right matrix.

    Attributes
    ----------
    rho, sigma_x, sigma_y : float
        Correlation and standard deviations of the pairs about their means (0 where an operand is
        constant). One l has the same means for all i and j, so that per-column offsets, as
        queries and keys have them, are part of the correlation.
    column_weight, row_weight : ndarray, shape (k,)
        Weights of a's columns and of b's rows.

    Raises
    ------
    ValueError
        If a matrix is empty, not 2-D or not finite, or the shapes cannot be multiplied.
    TypeError
        If a matrix does not hold real numbers.

    Notes
    -----
    The weights are derived in notebooks/05; they are the leading term of the product's error.
    `pdf` and `weight` are kernel estimates, for display and for `PointDensity`; designs for the
    data itself use the matrices.

    Choosing: for matrices that are at hand. A law that they were drawn from, if known, has less
    noise; `gaussian()` is the closed form's reading of the data.

    Examples
    --------
    >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
    >>> pair.column_weight.round(4), pair.row_weight
    (array([0.6667, 4.    ]), array([5., 4.]))
    >>> round(pair.mean_product, 4), round(pair.rho, 4)
    (0.0, -0.4629)
    """

    def __init__(self, a: ArrayLike, b: ArrayLike) -> None:
        self.a, self.b = finite_matrix(a, "a"), finite_matrix(b, "b")
        check.multipliable(self.a.shape, self.b.shape)
        e_x, e_y = self._exponents = _exponent(self.a), _exponent(self.b)
        a, b = _in_unit(self.a, e_x), _in_unit(self.b, e_y)
        column_mean = np.mean(a, axis=0, dtype=np.float64)
        row_mean = np.mean(b, axis=1, dtype=np.float64)
        mean_product = float(np.mean(column_mean * row_mean))
        mean_x, mean_y = float(column_mean.mean()), float(row_mean.mean())
        sigma_x, sigma_y = float(np.std(a, dtype=np.float64)), float(np.std(b, dtype=np.float64))
        covariance = mean_product - mean_x * mean_y
        spread = sigma_x * sigma_y
        self.rho = float(np.clip(covariance / spread, -1.0, 1.0)) if spread > 0 else 0.0
        with np.errstate(over="ignore", under="ignore"):
            self.column_weight = np.ldexp(np.mean(np.square(b, dtype=np.float64), axis=1), 2 * e_y)
            self.row_weight = np.ldexp(np.mean(np.square(a, dtype=np.float64), axis=0), 2 * e_x)
        self._mean_product = times_power(mean_product, e_x + e_y)
        self.mean_x, self.sigma_x = times_power(mean_x, e_x), times_power(sigma_x, e_x)
        self.mean_y, self.sigma_y = times_power(mean_y, e_y), times_power(sigma_y, e_y)

    def __repr__(self) -> str:
        return f"EmpiricalPair(a {self.a.shape}, b {self.b.shape}, rho={self.rho:.4f})"

    def unit(self) -> tuple[Self, int, int]:
        """The pair at a size where its moments fit float64, and the powers of two taken out.

        As for laws, where an operand's largest entry is not within 2^-30 to 2^30.

        Returns
        -------
        (EmpiricalPair, int, int)
            Of a / 2^e_x (m, k) and b / 2^e_y (k, n), and e_x, e_y.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> pair.unit()[1:]
        (0, 0)
        """
        if self._exponents == (0, 0):
            return self, 0, 0
        e_x, e_y = self._exponents
        return type(self)(_in_unit(self.a, e_x), _in_unit(self.b, e_y)), e_x, e_y

    @property
    def inner_dim(self) -> int:
        """k of the given matrices.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> pair.inner_dim
        2
        """
        return int(self.a.shape[1])

    @property
    def mean_product(self) -> float:
        return self._mean_product

    @property
    def mean_square_product(self) -> float:
        law, e_x, e_y = self.unit()
        square = float(np.mean(law.column_weight * law.row_weight))
        return times_power(square, 2 * (e_x + e_y))

    @cached_property
    def mean_square_entry(self) -> float:
        """Mean of C_ij^2 over the entries of C = A B, from C or from two Gram matrices.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> round(pair.mean_square_entry, 4)
        19.3333
        """
        if any(self._exponents):
            law, e_x, e_y = self.unit()
            return times_power(law.mean_square_entry, 2 * (e_x + e_y))
        a, b = self.a.astype(np.float64), self.b.astype(np.float64)
        m, n, k = a.shape[0], b.shape[1], self.inner_dim
        if k < min(m, n):
            return float(np.vdot(a.T @ a, b @ b.T)) / (m * n)
        return float(np.mean(np.square(a @ b)))

    def energy(self, inner_dim: int) -> float:
        r"""E[C_ij^2] of `sample_matrices`.

        .. math:: k E[X^2 Y^2] + k (k-1) \overline{C_{ij}^2} / k_0^2

        with k_0 the inner dimension of the given matrices: resampled terms of one entry share its
        i and j, which the pair-i.i.d. model of the base class leaves out.

        Parameters
        ----------
        inner_dim : int
            k.

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError
            If inner_dim is not a positive integer.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> round(pair.energy(2), 4)
        29.0
        """
        k = check.count(inner_dim, "inner_dim")
        law, e_x, e_y = self.unit()
        mean_square = law.mean_square_entry / law.inner_dim**2
        energy = k * law.mean_square_product + k * (k - 1) * mean_square
        return times_power(energy, 2 * (e_x + e_y))

    def gaussian(self) -> GaussianPair:
        """The zero-mean Gaussian pair with the data's E[X^2], E[Y^2] and E[XY].

        The closed form's codebooks are symmetric about 0, and so the moments are taken about 0;
        for operands without a mean they are `rho`, `sigma_x` and `sigma_y`.

        Returns
        -------
        GaussianPair

        Raises
        ------
        ValueError
            If an operand is zero everywhere.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> round(pair.gaussian().sigma_x, 4)
        2.1213
        """
        law, e_x, e_y = self.unit()
        x, y = (float(np.sqrt(np.mean(w))) for w in (law.row_weight, law.column_weight))
        if x == 0 or y == 0:
            raise ValueError(
                "a Gaussian pair needs operands that are not zero everywhere; "
                f"got root mean squares {x:g} and {y:g}"
            )
        rho = float(np.clip(law.mean_product / (x * y), -1.0, 1.0))
        return GaussianPair(rho, times_power(x, e_x), times_power(y, e_y))

    def histogram(self, operand: Operand = "x", bins: int = 100) -> tuple[FloatArray, FloatArray]:
        """Density of an operand's entries over equal bins.

        Parameters
        ----------
        operand : {"x", "y"}
            a's entries or b's.
        bins : int
            How many.

        Returns
        -------
        (ndarray, ndarray), shapes (bins,) and (bins + 1,)
            Heights per unit of the data, and the bins' edges.

        Raises
        ------
        ValueError, TypeError
            If the operand is neither "x" nor "y", or bins is not a positive integer.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> pair.histogram("y", bins=3)[0].round(4)
        array([0.1667, 0.1667, 0.6667])
        """
        matrix = self.a if check.operand(operand) == "x" else self.b
        return np.histogram(matrix, bins=check.count(bins, "bins"), density=True)

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        grid, density, _ = self._smooth[check.operand(operand)]
        return np.interp(np.asarray(x, dtype=np.float64), grid, density, left=0.0, right=0.0)

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        grid, _, weight = self._smooth[check.operand(operand)]
        return np.interp(np.asarray(x, dtype=np.float64), grid, weight)

    def cell_moments(
        self, thresholds: ArrayLike, operand: Operand = "x", *, weighted: bool = False
    ) -> FloatArray:
        r"""As for laws, from the entries themselves: no estimate.

        .. math:: \frac{1}{mk} \sum_{A_{il} \in \mathrm{cell}} (1, A_{il}) \cdot (1\ \text{or}\ w_l)

        Parameters
        ----------
        thresholds : array_like, shape (K - 1,)
            Increasing; the data's own unit.
        operand : {"x", "y"}
            a's entries or b's.
        weighted : bool
            Each entry times its weight.

        Returns
        -------
        ndarray, shape (2, K)

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> pair.cell_moments([0.0])
        array([[ 0.25,  0.75],
               [-0.5 ,  1.5 ]])
        """
        values, *sums = self._sorted[check.operand(operand)]
        ends = np.searchsorted(values, np.asarray(thresholds, dtype=np.float64), side="right")
        ends = np.concatenate([[0], ends, [values.size]])
        return np.stack([np.diff(s[ends]) for s in (sums[2:] if weighted else sums[:2])])

    @cached_property
    def _sorted(self) -> dict[str, list[FloatArray]]:
        """Entries in order, and running means of 1, x, w and w x over them."""
        found = {}
        for operand, matrix, weight in (
            ("x", self.a, self.column_weight),
            ("y", self.b, self.row_weight[:, None]),
        ):
            order = np.argsort(matrix, axis=None)
            x = matrix.ravel()[order].astype(np.float64)
            w = np.broadcast_to(weight, matrix.shape).ravel()[order]
            terms = (np.ones_like(x), x, w, w * x)
            found[operand] = [
                x,
                *(np.concatenate([[0.0], np.cumsum(t)]) / x.size for t in terms),
            ]
        return found

    def support(self, operand: Operand = "x") -> tuple[float, float]:
        grid = self._smooth[check.operand(operand)][0]
        return float(grid[0]), float(grid[-1])

    @cached_property
    def _smooth(self) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
        x_weight = np.broadcast_to(self.column_weight, self.a.shape)
        y_weight = np.broadcast_to(self.row_weight[:, None], self.b.shape)
        return {"x": _kernel_estimate(self.a, x_weight), "y": _kernel_estimate(self.b, y_weight)}

    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Resample with replacement: k indices l for both matrices at once, m rows, n columns.

        A column of a stays with its row of b, and so pairs keep their joint law.

        Parameters
        ----------
        m, k, n : int
            Sizes, at least 1.
        rng : int or numpy.random.Generator
            A seed, or a stream that goes on.

        Returns
        -------
        (ndarray, ndarray) of float32, shapes (m, k) and (k, n)

        Raises
        ------
        ValueError, TypeError
            If a size is not a positive integer.

        Examples
        --------
        >>> pair = EmpiricalPair([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
        >>> a, b = pair.sample_matrices(4, 5, 6)
        >>> a.shape, b.shape
        ((4, 5), (5, 6))
        """
        m, k, n = check.count(m, "m"), check.count(k, "k"), check.count(n, "n")
        rng = np.random.default_rng(rng)
        inner = rng.integers(self.inner_dim, size=k)
        rows = rng.integers(self.a.shape[0], size=m)
        columns = rng.integers(self.b.shape[1], size=n)
        a, b = self.a[np.ix_(rows, inner)], self.b[np.ix_(inner, columns)]
        return a.astype(np.float32), b.astype(np.float32)


def _exponent(matrix: NDArray) -> int:
    """e with the largest entry in [2^e, 2^(e+1)), but 0 where float32 has room for products."""
    e = math.frexp(float(np.max(np.abs(matrix))))[1] - 1
    return e if abs(e) > _ROOM else 0


def _in_unit(matrix: NDArray, exponent: int) -> NDArray:
    return np.ldexp(matrix, -exponent) if exponent else matrix


def _kernel_estimate(matrix: NDArray, weight: NDArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Grid, density and mean weight there: Gaussian kernel in t = asinh(x / s), for long tails."""
    values = matrix.ravel().astype(np.float64)
    spread = float(np.median(np.abs(values - np.median(values)))) / 0.6745 or float(np.std(values))
    spread = spread or float(np.max(np.abs(values))) or 1.0
    t = np.arcsinh(values / spread)
    bandwidth = max(0.9 * float(np.std(t)) * t.size**-0.2, 1e-3)
    low, high = float(t.min()) - 3 * bandwidth, float(t.max()) + 3 * bandwidth
    grid = np.linspace(low, high, _GRID)
    step = grid[1] - grid[0]
    place = np.rint((t - low) / step).astype(np.int64)
    reach = int(np.ceil(4 * bandwidth / step))
    kernel = np.exp(-0.5 * (step * np.arange(-reach, reach + 1) / bandwidth) ** 2)
    count = np.convolve(np.bincount(place, minlength=_GRID), kernel)[reach:-reach]
    total = np.convolve(np.bincount(place, weight.ravel(), _GRID), kernel)[reach:-reach]
    x = spread * np.sinh(grid)
    density = count / np.hypot(x, spread)  # dt/dx
    density /= np.trapezoid(density, x)
    # where no entry is near, the mean weight of all
    mean = np.divide(total, count, out=np.full(_GRID, weight.mean()), where=count > 0)
    return x, density, mean
