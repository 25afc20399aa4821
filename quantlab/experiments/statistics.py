"""Means of independent trials, their intervals, and what is too far to be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mean:
    """A mean over independent trials, its standard error and 95 % interval (Student-t)."""

    value: float
    error: float
    low: float
    high: float
    trials: int

    @classmethod
    def of(cls, trials: Sequence[float] | NDArray[np.float64]) -> Mean:
        """Mean of at least two trials; ValueError for fewer."""
        values = np.asarray(trials, dtype=np.float64)
        if values.ndim != 1 or values.size < 2:
            raise ValueError(f"an interval needs at least 2 trials; got shape {values.shape}")
        return cls._from(values.mean(), values.std(ddof=1) / np.sqrt(values.size), values.size)

    @classmethod
    def reduction(cls, better: NDArray[np.float64], plain: NDArray[np.float64]) -> Mean:
        """1 - mean(better) / mean(plain) of paired trials, by the delta method."""
        if better.shape != plain.shape:
            raise ValueError(f"trials must come in pairs; got {better.shape} and {plain.shape}")
        ratio = better.mean() / plain.mean()
        spread = Mean.of(better - ratio * plain).error
        return cls._from(1 - ratio, spread / plain.mean(), better.size)

    @classmethod
    def _from(cls, value: float, error: float, trials: int) -> Mean:
        from scipy.special import stdtrit

        half = float(stdtrit(trials - 1, 0.975) * error)
        return cls(float(value), float(error), float(value - half), float(value + half), trials)

    def deviations_from(self, expected: float) -> float:
        """(value - expected) in standard errors; 0 / 0 is 0."""
        gap = self.value - expected
        return gap / self.error if self.error else float(np.copysign(np.inf, gap)) if gap else 0.0


def chance_limit(comparisons: int, trials: int, level: float = 0.01) -> float:
    r"""Deviation that none of many true comparisons passes, but with probability `level`.

    .. math:: t_{T-1}^{-1}\big(1 - \tfrac{\alpha}{2 n}\big)

    Bonferroni's bound over n two-sided tests, however they depend on each other, of means of T
    trials, in standard errors.

    Examples
    --------
    >>> round(chance_limit(1000, 500), 2)
    4.46
    """
    from scipy.special import stdtrit

    return float(-stdtrit(trials - 1, level / (2 * max(comparisons, 1))))
