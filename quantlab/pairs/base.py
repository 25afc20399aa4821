"""What a joint law of (X, Y) must know for quantlab to design and judge codebooks for it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.pairs._normal import line_conditional_cells
from quantlab.pairs._quadrature import cell_sums, gauss_nodes, marginal_edges, resolve_steps

Operand = Literal["x", "y"]
OPERANDS: tuple[Operand, Operand] = ("x", "y")
FloatArray = NDArray[np.float64]

# values of the fall-back's temporaries: panels, and given values, are taken in such groups
_TABLE = 1 << 19
_GIVEN = 32


def times_power(value: float, exponent: int) -> float:
    """value 2^exponent; infinite or 0 beyond float64."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, exponent))


class Pair(ABC):
    r"""The joint law of one multiplied pair (X, Y) = (A_il, B_lj).

    .. math:: C_{ij} = \sum_{l=1}^k A_{il} B_{lj}

    For every entry (i, j) of C = A B the pairs over l = 1..k are i.i.d. with this law
    (the pair-i.i.d. inner-product model, [1] Sec. 2).

    Attributes
    ----------
    rho : float
        Correlation of X and Y.
    sigma_x, sigma_y : float
        Standard deviations, in the data's own unit.

    Notes
    -----
    A law must give the abstract members. With `joint_pdf` it also has its exact error and its
    finite-K designs: `cell_moments`, `conditional_cells` and `joint_cells` fall back on
    Gauss-Legendre panels that end at the thresholds and resolve the conditional law's steps, of
    width sqrt(1 - rho^2); at |rho| = 1, where Y = +-X sigma_y / sigma_x, one axis is enough.
    The fall-back needs smooth densities and, inside, |rho| <= 0.999 (1e-10 there); the laws of
    this package override it with closed forms and hold for every rho.

    Choosing: `EmpiricalPair` for matrices at hand; a law whose tails are theirs otherwise.

    References
    ----------
    [1] Ang, Kim, Pilanci, "Optimal Scalar Quantization for Matrix Multiplication:
        Closed-Form Density and Phase Transition", arXiv 2603.19559 (2026).

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> isinstance(GaussianPair(rho=0.8), Pair)
    True
    """

    rho: float
    sigma_x: float
    sigma_y: float

    #: For a dataclass: whether sigma_x and sigma_y are the only parameters that carry a unit.
    has_free_scale: ClassVar[bool] = False

    def unit(self) -> tuple[Self, int, int]:
        """The law at a size where its moments fit float64, and the powers of two taken out.

        nmse does not depend on the units of X and Y, but E[X^2 Y^2] of X near 1e150 is beyond
        float64. A power of two changes no digit.

        Returns
        -------
        (Pair, int, int)
            The law of (X / 2^e_x, Y / 2^e_y), with deviations in [1, 2), and e_x, e_y; itself and
            zeros unless `has_free_scale`.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8, sigma_x=12.0).unit()
        (GaussianPair(rho=0.8, sigma_x=1.5, sigma_y=1.0), 3, 0)
        """
        if not (self.has_free_scale and is_dataclass(self)):
            return self, 0, 0
        e_x, e_y = (math.frexp(sigma)[1] - 1 for sigma in (self.sigma_x, self.sigma_y))
        if e_x == e_y == 0:
            return self, 0, 0
        x, y = math.ldexp(self.sigma_x, -e_x), math.ldexp(self.sigma_y, -e_y)
        return cast(Self, replace(cast(Any, self), sigma_x=x, sigma_y=y)), e_x, e_y

    def _check_parameters(self, *positive: str) -> None:
        """For a frozen dataclass's __post_init__: rho, both deviations and the names given."""
        object.__setattr__(self, "rho", check.correlation(self.rho))
        for name in ("sigma_x", "sigma_y", *positive):
            object.__setattr__(self, name, check.positive_real(getattr(self, name), name))

    @abstractmethod
    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        r"""Marginal density of one operand.

        .. math:: f_X(x) \quad\text{or}\quad f_Y(y)

        Parameters
        ----------
        x : array_like, any shape
            Values in the data's own unit.
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        ndarray, the shape of x
            Per unit of the data.

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8, sigma_x=2.0).pdf([0.0, 2.0]).round(4)
        array([0.1995, 0.121 ])
        """

    @abstractmethod
    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        r"""What a squared error at x costs the product.

        .. math:: w_X(x) = E[Y^2 \mid X = x], \qquad w_Y(y) = E[X^2 \mid Y = y]

        Parameters
        ----------
        x : array_like, any shape
            Values in the data's own unit.
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        ndarray, the shape of x
            In the other operand's unit, squared. Derived in notebooks/01.

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).weight([0.0, 2.0]).round(4)
        array([0.36, 2.92])
        """

    @abstractmethod
    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Draw matrices in which every pair (A_il, B_lj) has this law.

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
        >>> from quantlab import GaussianPair
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(4, 100, 3, rng=0)
        >>> a.shape, b.shape
        ((4, 100), (100, 3))
        """

    @property
    @abstractmethod
    def mean_product(self) -> float:
        """E[XY].

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8, sigma_x=2.0).mean_product
        1.6
        """

    @property
    @abstractmethod
    def mean_square_product(self) -> float:
        """E[X^2 Y^2]; infinite where tails are too heavy for it.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> round(GaussianPair(rho=0.8).mean_square_product, 12)
        2.28
        """

    def feedback_weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        r"""What a squared error at x costs under rounding with feedback, as m, k and n grow.

        .. math:: w^{\mathrm{fb}}_X(x) = E[\mathrm{Var}(Y \mid \mathrm{shared}) \mid X = x]

        where column l of A and row l of B share what makes their entries dependent (z, the scale;
        see `sample_matrices`): errors along what all columns of B share are steered away, and the
        rest of E[Y^2 | X = x] remains. Derived in notebooks/08.

        Parameters
        ----------
        x : array_like, any shape
            Values in the data's own unit.
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        ndarray, the shape of x

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".
        NotImplementedError
            Where no shared part is known, as for two given matrices.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).feedback_weight([0.0, 2.0]).round(4)
        array([0.2, 0.2])
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no feedback_weight: it is known for laws whose "
            "matrices share a known part, not for two given matrices"
        )

    def joint_pdf(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Joint density of (X, Y).

        .. math:: f(x, y)

        Parameters
        ----------
        x, y : array_like, shapes that broadcast
            Values in the data's own unit.

        Returns
        -------
        ndarray, the broadcast shape

        Raises
        ------
        ValueError
            If |rho| = 1: the pair lies on a line.
        NotImplementedError
            If the law gives none.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).joint_pdf(0.0, [0.0, 1.0]).round(4)
        array([0.2653, 0.0661])
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no joint_pdf, which exact errors and designs need"
        )

    def peaks(self, operand: Operand = "x") -> tuple[float, ...] | None:
        r"""Peaks of the best point density l*, in standard deviations.

        .. math:: (\lambda^\star)'(u) = 0, \qquad \lambda^\star \propto (f w)^{1/3}

        Parameters
        ----------
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        tuple of float, or None
            Increasing, (0,) up to the critical correlation; None where the law does not know them:
            `PointDensity.modes` searches.

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> [round(u, 4) for u in GaussianPair(rho=0.8).peaks()]
        [-1.199, 1.199]
        """
        return None

    def cell_moments(
        self, thresholds: ArrayLike, operand: Operand = "x", *, weighted: bool = False
    ) -> FloatArray:
        r"""Mass and first moment of each cell of one operand.

        .. math:: \int_{\mathrm{cell}\ i} g\,dx, \quad \int_{\mathrm{cell}\ i} x\, g\,dx,
                  \qquad g = f \ \text{or}\ f w

        Parameters
        ----------
        thresholds : array_like, shape (K - 1,)
            Increasing; the data's own unit.
        operand : {"x", "y"}
            Which of the two is meant.
        weighted : bool
            g = f w, and not f.

        Returns
        -------
        ndarray, shape (2, K)

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).cell_moments([0.0]).round(4)
        array([[ 0.5   ,  0.5   ],
               [-0.3989,  0.3989]])
        """
        t = np.asarray(thresholds, dtype=np.float64)
        edges, x, density = self._mass_nodes(t, operand, np.empty(0))
        if weighted:
            density = density * self.weight(x, operand)
        panels = np.stack([(density * x**p).sum(axis=1) for p in range(2)], axis=1)
        return cell_sums(panels, edges, t).T

    def conditional_cells(
        self, x: ArrayLike, thresholds: ArrayLike, operand: Operand = "x"
    ) -> tuple[FloatArray, FloatArray]:
        r"""Mass and first moment of the other operand's cells, given values of this one.

        .. math:: P(Y \in \mathrm{cell}\ j \mid X = x_i), \quad
                  E[Y;\, Y \in \mathrm{cell}\ j \mid X = x_i]

        with X and Y swapped for "y".

        Parameters
        ----------
        x : array_like, shape (I,)
            Values of the operand that is given.
        thresholds : array_like, shape (K - 1,)
            Of the OTHER operand.
        operand : {"x", "y"}
            Which operand is given.

        Returns
        -------
        (ndarray, ndarray), each of shape (I, K)

        Raises
        ------
        NotImplementedError
            If the law has neither a closed form nor a `joint_pdf`.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> mass, first = GaussianPair(rho=0.8).conditional_cells([1.0], [0.0])
        >>> mass.round(4), first.round(4)
        (array([[0.0912, 0.9088]]), array([[-0.0254,  0.8254]]))
        """
        x, t = np.asarray(x, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
        other: Operand = "y" if operand == "x" else "x"
        slope = self.rho * self.sigma(other) / self.sigma(operand)
        if abs(self.rho) == 1.0:
            return line_conditional_cells(slope * x, t)
        width = np.sqrt((1 - self.rho) * (1 + self.rho)) * self.sigma(other)
        mass, first = np.empty((2, x.size, t.size + 1))
        # neighbours share their panels: a panel of one's step is idle for those far from it
        order = np.argsort(x)
        for start in range(0, x.size, _GIVEN):
            rows = order[start : start + _GIVEN]
            edges = resolve_steps(self._panel_edges(t, other), slope * x[rows], width)
            y, dy = gauss_nodes(edges)
            given = x[rows, None, None]
            joint = self.joint_pdf(given, y) if operand == "x" else self.joint_pdf(y, given)
            density = joint * dy / self.pdf(x[rows], operand)[:, None, None]
            mass[rows] = cell_sums(density.sum(axis=2).T, edges, t).T
            first[rows] = cell_sums((density * y).sum(axis=2).T, edges, t).T
        return mass, first

    def joint_cells(
        self, thresholds_x: ArrayLike, thresholds_y: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        r"""Mass and product moment of each pair of cells.

        .. math:: P(X \in \mathrm{cell}\ i, Y \in \mathrm{cell}\ j), \quad
                  E[XY;\, X \in \mathrm{cell}\ i, Y \in \mathrm{cell}\ j]

        Parameters
        ----------
        thresholds_x, thresholds_y : array_like, shapes (K_X - 1,) and (K_Y - 1,)
            Increasing; the data's own unit.

        Returns
        -------
        (ndarray, ndarray), each of shape (K_X, K_Y)

        Raises
        ------
        NotImplementedError
            If the law has neither a closed form nor a `joint_pdf`.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> mass, product = GaussianPair(rho=0.8).joint_cells([0.0], [0.0])
        >>> mass.round(4)
        array([[0.3976, 0.1024],
               [0.1024, 0.3976]])
        """
        t_x = np.asarray(thresholds_x, dtype=np.float64)
        t_y = np.asarray(thresholds_y, dtype=np.float64)
        if abs(self.rho) == 1.0:
            return self._line_cells(t_x, t_y)
        edges, x, density = self._mass_nodes(t_x, "x", t_y)
        mass, first = np.empty((2, x.shape[0], t_y.size + 1))
        group = max(1, _TABLE // (x.shape[1] * mass.shape[1]))
        for start in range(0, x.shape[0], group):
            part = slice(start, start + group)
            cells = self.conditional_cells(x[part].ravel(), t_y, "x")
            p, e = (table.reshape(*x[part].shape, -1) for table in cells)
            mass[part] = np.einsum("pnj,pn->pj", p, density[part])
            first[part] = np.einsum("pnj,pn->pj", e, density[part] * x[part])
        return cell_sums(mass, edges, t_x), cell_sums(first, edges, t_x)

    def _line_cells(self, t_x: FloatArray, t_y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """|rho| = 1: cells of X cut by those of Y = slope X are intervals of X."""
        slope = self.rho * self.sigma_y / self.sigma_x
        steps = np.sort(t_y / slope)
        cuts = np.union1d(t_x, steps)
        edges, x, density = self._mass_nodes(cuts, "x", np.empty(0))
        panels = np.stack([(density * x**p).sum(axis=1) for p in (0, 2)], axis=1)
        intervals = cell_sums(panels, edges, cuts)
        inside = np.append(cuts, np.inf)  # the upper end of an interval is in it
        i, j = np.searchsorted(t_x, inside), np.searchsorted(steps, inside)
        if slope < 0:
            j = t_y.size - j
        cells = np.zeros((t_x.size + 1, t_y.size + 1, 2))
        np.add.at(cells, (i, j), intervals)
        return cells[..., 0], slope * cells[..., 1]

    def sigma(self, operand: Operand = "x") -> float:
        """Standard deviation of one operand.

        Parameters
        ----------
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        float
            In the data's own unit.

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8, sigma_y=3.0).sigma("y")
        3.0
        """
        return self.sigma_x if check.operand(operand) == "x" else self.sigma_y

    def support(self, operand: Operand = "x") -> tuple[float, float]:
        """Interval that carries one operand's law; infinite by default.

        Parameters
        ----------
        operand : {"x", "y"}
            Which of the two is meant.

        Returns
        -------
        (float, float)
            In the data's own unit.

        Raises
        ------
        ValueError
            If the operand is neither "x" nor "y".

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).support()
        (-inf, inf)
        """
        return -np.inf, np.inf

    def energy(self, inner_dim: int) -> float:
        """Mean square of an entry of the product, what `nmse` divides by.

        .. math:: E[C_{ij}^2] = k E[X^2 Y^2] + k (k - 1) E[XY]^2

        Parameters
        ----------
        inner_dim : int
            k.

        Returns
        -------
        float
            In the unit of C squared.

        Raises
        ------
        ValueError, TypeError
            If inner_dim is not a positive integer.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> round(GaussianPair(rho=0.8).energy(256), 6)
        42362.88
        """
        k = check.count(inner_dim, "inner_dim")
        law, e_x, e_y = self.unit()
        square = law.mean_product * law.mean_product
        return times_power(k * law.mean_square_product + k * (k - 1) * square, 2 * (e_x + e_y))

    def _mass_nodes(
        self, thresholds: FloatArray, operand: Operand, steps: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Panel edges, nodes x and masses f(x) dx, (panels, 16): panels end at the operand's own
        thresholds and resolve the conditional law's steps at the other operand's (`steps`)."""
        edges = self._panel_edges(thresholds, operand)
        if steps.size and self.rho:
            other: Operand = "y" if operand == "x" else "x"
            slope = self.sigma(operand) / self.rho
            width = np.sqrt((1 - self.rho) * (1 + self.rho)) * abs(slope)
            edges = resolve_steps(edges, steps * (slope / self.sigma(other)), width)
        x, dx = gauss_nodes(edges)
        return edges, x, self.pdf(x, operand) * dx

    def _panel_edges(self, thresholds: FloatArray, operand: Operand) -> FloatArray:
        edges = marginal_edges(
            lambda x: self.pdf(x, operand), self.sigma(operand), self.support(operand)
        )
        inside = thresholds[(thresholds > edges[0]) & (thresholds < edges[-1])]
        return np.union1d(edges, inside)
