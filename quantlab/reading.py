"""Whether a Gaussian law is a reading of two given matrices, before the closed form is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.design import DESIGNS
from quantlab.design.empirical import spread
from quantlab.distortion import exact_mse
from quantlab.pairs import EmpiricalPair, GaussianPair

#: What is looked at, at most: entries of a matrix, its rows (columns of b), inner indices.
_ENTRIES, _ROWS, _INNER = 2**18, 256, 4096


@dataclass(frozen=True)
class GaussianReading:
    """What the Gaussian law says of two matrices, beside what is measured on them.

    Attributes
    ----------
    law : GaussianPair
        `EmpiricalPair.gaussian` of the matrices that the law was estimated on.
    bits : int
        Of the closed form's codebooks.
    predicted, measured : float
        nmse of the closed form: exact under the law, and on the matrices.
    usual : (float, float)
        Least and largest `ratio` of samples of the law itself, of the same sizes.
    distance : float
        Largest difference between the cdf of the entries and the law's, of both operands.
    usual_distance : float
        The largest of the same samples.

    Examples
    --------
    >>> import quantlab as ql
    >>> reading = ql.gaussian_reading(ql.GaussianPair(0.8).sample_matrices(128, 256, 128))
    >>> reading.trusted
    True
    """

    law: GaussianPair
    bits: int
    predicted: float
    measured: float
    usual: tuple[float, float]
    distance: float
    usual_distance: float

    @property
    def ratio(self) -> float:
        """Goodness of the reading: measured over predicted error.

        Examples
        --------
        >>> import quantlab as ql
        >>> reading = ql.gaussian_reading(ql.data.gallery()["digits"].calibration)
        >>> reading.ratio > 2
        True
        """
        return self.measured / self.predicted

    @property
    def trusted(self) -> bool:
        """Whether samples of the law itself look like this, in their error and in their entries.

        Examples
        --------
        >>> import quantlab as ql
        >>> ql.gaussian_reading(ql.data.gallery()["digits"].calibration).trusted
        False
        """
        low, high = self.usual
        return low <= self.ratio <= high and self.distance <= self.usual_distance

    def __str__(self) -> str:
        low, high = self.usual
        verdict = (
            "The Gaussian law may be trusted"
            if self.trusted
            else "The Gaussian law is not to be trusted"
        )
        return (
            f"{verdict}: it predicts nmse {self.predicted:.2e} for the closed form at {self.bits} "
            f"bits, and {self.measured:.2e} is measured, {self.ratio:.2f} times as much (its own "
            f"samples of this size: {low:.2f} to {high:.2f}); the entries' cdf is off by up to "
            f"{self.distance:.2f} (its own: {self.usual_distance:.2f})."
        )


def gaussian_reading(
    pair: EmpiricalPair | tuple[ArrayLike, ArrayLike],
    bits: int = 4,
    *,
    held_out: Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
    trials: int = 39,
    rng: int = 0,
) -> GaussianReading:
    r"""How well the closed form's law describes two matrices.

    .. math::
        \frac{\sum \lVert C - \hat C \rVert_F^2 / \sum \lVert C \rVert_F^2}
             {\mathrm{nmse}(\rho, K, k)}

    the closed form's measured error over the exact error that the law says it has. The same is
    done with samples of the law, of the sizes of the matrices: one z_l an index leaves even true
    samples at ratios away from 1.

    Parameters
    ----------
    pair : EmpiricalPair or (array_like, array_like)
        The matrices a (m, k) and b (k, n) that the law is estimated on.
    bits : int
        From 1 to 8; K = 2^bits.
    held_out : iterable of (a, b), optional
        Measure on these instead, whose k may differ.
    trials : int
        Samples of the law, at least 1: 39 of them call a true law wrong in 1 case of 20 by its
        ratio, and in 1 of 40 by its entries.
    rng : int
        Their seed.

    Returns
    -------
    GaussianReading
        `ratio` is the number, `trusted` the verdict, `str` a sentence.

    Raises
    ------
    ValueError, TypeError
        If bits, trials or the matrices are not valid, or one of them is zero everywhere.

    Notes
    -----
    At most 256 rows of a and columns of b and 4096 inner indices, spread evenly, are looked at.
    A ratio of 1 can be two wrongs that make a right: hence the second criterion. Neither sees how
    unequal the indices l are, which is what `balance` and `design_scheme` live on.

    Choosing: before a design of a law is taken for data; `design_report` ranks all designs on the
    data themselves.

    Examples
    --------
    >>> import quantlab as ql
    >>> problem = ql.data.gallery()["photo"]
    >>> reading = ql.gaussian_reading(problem.calibration, held_out=[problem.held_out])
    >>> reading.ratio > 10, reading.trusted
    (True, False)
    """
    n_levels = 2 ** check.count(bits, "bits", 1, 8)
    trials = check.count(trials, "trials")
    data = pair if isinstance(pair, EmpiricalPair) else EmpiricalPair(*pair)
    measured_on = [data] if held_out is None else [EmpiricalPair(*each) for each in held_out]
    if not measured_on:
        raise ValueError("held_out must hold at least one pair of matrices; got none")
    law, e_x, e_y = data.gaussian().unit()
    samples = [_fewer(np.ldexp(each.a, -e_x), np.ldexp(each.b, -e_y)) for each in measured_on]
    predicted, measured, distance = _compared(law, n_levels, samples)
    (m, k), n = samples[0][0].shape, samples[0][1].shape[1]
    ratios, distances = [], []
    for trial in range(trials):
        sample = law.sample_matrices(m, k, n, np.random.default_rng([rng, trial]))
        own = EmpiricalPair(*sample).gaussian()
        said, found, off = _compared(own, n_levels, [sample])
        ratios.append(found / said)
        distances.append(off)
    return GaussianReading(
        data.gaussian(), bits, predicted, measured, (min(ratios), max(ratios)),
        distance, max(distances),
    )  # fmt: skip


def _fewer(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
    inner = spread(a.shape[1], _INNER)
    most = min(_ROWS, _ENTRIES // inner.size)
    rows, columns = spread(a.shape[0], most), spread(b.shape[1], most)
    return a[np.ix_(rows, inner)], b[np.ix_(inner, columns)]


def _compared(
    law: GaussianPair, n_levels: int, samples: list[tuple[NDArray, NDArray]]
) -> tuple[float, float, float]:
    """Predicted nmse, measured nmse, and the distance of the cdfs."""
    k = samples[0][0].shape[1]
    cb_x, cb_y = DESIGNS["closed_form"](law, n_levels, k)
    error = energy = 0.0
    for a, b in samples:
        c = a.astype(np.float64) @ b
        error += float(np.square(c - cb_x(a) @ cb_y(b)).sum())
        energy += float(np.square(c).sum())
    if energy == 0:
        raise ValueError("nmse needs a product that is not zero everywhere")
    off = max(
        _distance(np.concatenate([sample[which].ravel() for sample in samples]), sigma)
        for which, sigma in enumerate((law.sigma_x, law.sigma_y))
    )
    return exact_mse(law, cb_x, cb_y, k).nmse, error / energy, off


def _distance(values: NDArray, sigma: float) -> float:
    """Kolmogorov's, from the normal law about 0."""
    from scipy.special import ndtr  # here: it takes longer to import than all of quantlab

    values = np.sort(values.astype(np.float64))
    cdf = ndtr(values / sigma)
    places = np.arange(values.size + 1) / values.size
    return float(max(np.max(places[1:] - cdf), np.max(cdf - places[:-1])))
