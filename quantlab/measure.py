"""The error of the product, measured on sampled matrices, with its confidence interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.gemm import matmul
from quantlab.pairs import Pair

Designs = Mapping[str, tuple[Codebook, Codebook]]


@dataclass(frozen=True)
class MeasuredError:
    """Mean squared error per entry of C over independent trials.

    Attributes
    ----------
    mse, nmse : float
        Mean over trials, per entry of C; nmse is divided by E[C_ij^2].
    low, high : float
        95 % confidence interval of `nmse` (Student-t over the trials' means).
    per_trial : ndarray, shape (trials,)
        nmse of every trial.
    settings : dict
        Everything needed to repeat the measurement.
    """

    mse: float
    nmse: float
    low: float
    high: float
    per_trial: NDArray[np.float64]
    settings: dict[str, object]

    @classmethod
    def from_trials(
        cls, per_trial: NDArray[np.float64], energy: float, settings: dict[str, object]
    ) -> MeasuredError:
        """Mean and 95 % interval of at least two trials' nmse; `energy` = E[C_ij^2]."""
        from scipy.special import stdtrit  # here: quantlab must import at once

        trials = per_trial.size
        mean = float(per_trial.mean())
        half = float(stdtrit(trials - 1, 0.975) * per_trial.std(ddof=1) / np.sqrt(trials))
        return cls(mean * energy, mean, mean - half, mean + half, per_trial, settings)


def measure(
    pair: Pair,
    codebook_x: Codebook,
    codebook_y: Codebook,
    inner_dim: int = 256,
    *,
    m: int = 128,
    n: int = 128,
    trials: int = 20,
    rng: int = 0,
    backend: str = "auto",
) -> MeasuredError:
    r"""Measure E[(C_ij - Cq_ij)^2] on `trials` freshly sampled pairs of matrices.

    .. math:: \mathrm{mse} = \frac1T \sum_t \frac{1}{mn} \| A_t B_t - \hat A_t \hat B_t \|_F^2

    Parameters
    ----------
    pair : Pair
        Joint law to sample from.
    codebook_x, codebook_y : Codebook
        Quantizers of A (m, k) and of B (k, n).
    inner_dim, m, n : int
        k, m, n.
    trials : int
        T >= 2 independent trials: the interval comes from their spread.
    rng : int
        Seed; trial t uses its own stream, so that a trial does not depend on how many there are.
    backend : str
        As in `matmul`; "cuda": sampled and multiplied on the current CUDA device, many trials at
        once.

    Returns
    -------
    MeasuredError

    Raises
    ------
    ValueError, TypeError
        If a size is not a positive integer, trials < 2, or E[C_ij^2] is infinite.

    Examples
    --------
    >>> import quantlab as ql
    >>> pair = ql.GaussianPair(rho=0.5)
    >>> result = measure(pair, *ql.design_companding(pair, 16), inner_dim=64, trials=8)
    >>> result.low < result.nmse < result.high
    True
    """
    designs = {"": (codebook_x, codebook_y)}
    return measure_designs(
        pair, designs, inner_dim, m=m, n=n, trials=trials, rng=rng, backend=backend
    )[""]


def measure_designs(
    pair: Pair,
    designs: Designs,
    inner_dim: int = 256,
    *,
    m: int = 128,
    n: int = 128,
    trials: int = 20,
    rng: int = 0,
    backend: str = "auto",
) -> dict[str, MeasuredError]:
    """`measure` for several designs on the SAME sampled matrices (paired comparison).

    Parameters are those of `measure`; `designs` maps a name to (codebook_x, codebook_y).
    """
    trials = check.count(trials, "trials", 2)
    rows = np.array(
        list(
            measure_trials(
                pair, designs, inner_dim, m=m, n=n, trials=trials, rng=rng, backend=backend
            )
        )
    )
    energy = pair.energy(inner_dim)
    settings = {
        "pair": repr(pair), "inner_dim": inner_dim, "m": m, "n": n, "trials": trials, "rng": rng,
        "backend": backend,
    }  # fmt: skip
    return {
        name: MeasuredError.from_trials(rows[:, i], energy, settings)
        for i, name in enumerate(designs)
    }


def measure_trials(
    pair: Pair,
    designs: Designs,
    inner_dim: int = 256,
    *,
    m: int = 128,
    n: int = 128,
    trials: int = 20,
    rng: int = 0,
    backend: str = "auto",
) -> Iterator[list[float]]:
    """Stream the trials: yields one list of nmse (a value per design) a trial.

    For callers that show or stop a running measurement; parameters as in `measure`.
    """
    m, n, k = check.count(m, "m"), check.count(n, "n"), check.count(inner_dim, "inner_dim")
    energy = pair.energy(k)
    if not np.isfinite(energy):
        raise ValueError(f"nmse divides by E[C_ij^2], which must be finite; {pair!r} has {energy}")
    trials, rng = check.count(trials, "trials"), check.count(rng, "rng", 0)
    if backend == "cuda":
        from quantlab.gemm.cuda import require_device
        from quantlab.measure_cuda import device_trials

        yield from device_trials(pair, designs, (m, k, n), trials, rng, require_device())
        return
    # fp32 on the CPU: what is measured is the codebooks' error, not that of matmul's grids
    route = None if backend == "reference" else "fp32"
    for trial in range(trials):
        a, b = pair.sample_matrices(m, k, n, np.random.default_rng([rng, trial]))
        c = a @ b
        row = []
        for cb_x, cb_y in designs.values():
            error = c - matmul(encode(a, cb_x), encode(b, cb_y), backend=backend, route=route)
            row.append(float(np.mean(np.square(error, dtype=np.float64))) / energy)
        yield row
