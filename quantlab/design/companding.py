"""Codebooks that spread their centres by a point density: the paper's construction."""

from __future__ import annotations

from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.design._books import two_codebooks
from quantlab.pairs import Pair


def design_companding(
    pair: Pair,
    n_levels: int | tuple[int, int],
    inner_dim: int | None = None,
    *,
    weighted: bool = True,
) -> tuple[Codebook, Codebook]:
    r"""Codebooks whose centres are quantiles of the point density.

    .. math:: c_i = \sigma F^{-1}((i + 1/2) / K), \qquad i = 0, ..., K - 1

    with F the distribution function of l* = (f w)^(1/3) / Z; thresholds are midpoints.

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    n_levels : int or (int, int)
        K, or (K_X, K_Y); each at least 2.
    inner_dim : int, optional
        Unused: the high-resolution density does not depend on it.
    weighted : bool
        True: the product's density ([1]'s closed form for Gaussian pairs).
        False: w = 1, the plain ("Gaussian") compander.

    Returns
    -------
    (Codebook, Codebook)
        For X and for Y, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        If a number of levels is not an integer of at least 2.

    Notes
    -----
    Source: [1], high resolution. Choosing: instant, and optimal as K grows with the inner
    dimension fixed; at small K or large inner dimension use `design_bilinear`.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> cb_x, cb_y = design_companding(GaussianPair(rho=0.8), n_levels=4)
    >>> cb_x.centers.round(4)
    array([-2.4765, -0.8365,  0.8365,  2.4765])
    """
    name = "closed_form" if weighted else "gaussian_compander"
    make = PointDensity.optimal if weighted else PointDensity.mse
    return two_codebooks(name, n_levels, lambda operand, k: (make(pair, operand).centers(k), {}))
