"""The error of the product, measured on sampled matrices, with its confidence interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from quantlab import _display
from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix, encode
from quantlab.density import Rounding
from quantlab.gemm import matmul
from quantlab.pairs import Pair
from quantlab.progress import Meter, Progress
from quantlab.scheme.rounding import feedback_of, moment_of, one_book, round_feedback

Designs = Mapping[str, tuple[Codebook, Codebook]]


class Settings(TypedDict, total=False):
    """How trials are drawn, coded and multiplied: the keywords of `measure`, with its defaults."""

    m: int
    n: int
    trials: int
    rng: int
    backend: str
    rounding: Rounding


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

    Examples
    --------
    >>> error = MeasuredError.from_trials(np.array([0.9e-3, 1.1e-3]), 256.0, {})
    >>> round(error.nmse, 6), error.low < error.nmse < error.high
    (0.001, True)
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
        r"""Mean and 95 % interval of some trials.

        .. math:: \bar x \pm t_{T-1,\,0.975}\, \frac{s}{\sqrt T}

        Parameters
        ----------
        per_trial : ndarray, shape (T,)
            nmse of at least two trials.
        energy : float
            E[C_ij^2], which turns nmse into mse.
        settings : dict
            What the trials were made with.

        Returns
        -------
        MeasuredError

        Raises
        ------
        AttributeError
            If per_trial is no array.

        Examples
        --------
        >>> error = MeasuredError.from_trials(np.array([0.9e-3, 1.1e-3]), 256.0, {"trials": 2})
        >>> round(error.mse, 4)
        0.256
        """
        from scipy.special import stdtrit  # here: quantlab must import at once

        trials = per_trial.size
        mean = float(per_trial.mean())
        half = float(stdtrit(trials - 1, 0.975) * per_trial.std(ddof=1) / np.sqrt(trials))
        return cls(mean * energy, mean, mean - half, mean + half, per_trial, settings)

    def _repr_html_(self) -> str:
        values = {
            "nmse": self.nmse,
            "95 % interval": f"{self.low:.4g} to {self.high:.4g}",
            "mse": self.mse,
        }
        return _display.properties("Measured error of an entry of C", values | self.settings)


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
    rounding: Rounding = "nearest",
    progress: Progress = None,
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
    rounding : {"nearest", "feedback"}
        "feedback": each trial's rows of A are coded with the feedback of its own S_B = B B^T / n
        and its columns of B with that of S_A = A^T A / m (`round_feedback`), each with the other
        codebook's mean squared error on its diagonal and in the order of `feedback_order`.
    progress : callable or True, optional
        progress(done, total, seconds left) at each trial; True: a bar of tqdm's.

    Returns
    -------
    MeasuredError

    Raises
    ------
    ValueError, TypeError
        If a size is not a positive integer, trials < 2, or E[C_ij^2] is infinite.

    Notes
    -----
    What the coder of A needs for feedback is S_B, side information that all rows share: k (k + 1)
    / 2 numbers, or B itself; the same for B. It is not counted in bits: decoding does not need it.
    `asymptotic_mse` has the law that feedback tends to. Where m or n is below k, some directions
    cost nothing at all, and errors are far below the law.

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
        pair, designs, inner_dim, progress=progress, m=m, n=n, trials=trials, rng=rng,
        backend=backend, rounding=rounding,
    )[""]  # fmt: skip


def measure_designs(
    pair: Pair,
    designs: Designs,
    inner_dim: int = 256,
    *,
    progress: Progress = None,
    **settings: Unpack[Settings],
) -> dict[str, MeasuredError]:
    """`measure` for several designs on the SAME sampled matrices (paired comparison).

    Parameters
    ----------
    pair : Pair
        Joint law to sample from.
    designs : mapping
        Name -> (codebook_x, codebook_y).
    inner_dim : int
        k, of A (m, k) and B (k, n).
    progress : callable or True, optional
        progress(done, total, seconds left) at each trial; True: a bar of tqdm's.
    **settings
        m, n, trials, rng, backend and rounding, as in `measure`.

    Returns
    -------
    dict
        Name -> MeasuredError.

    Raises
    ------
    ValueError, TypeError
        As in `measure`.

    Examples
    --------
    >>> import quantlab as ql
    >>> pair = ql.GaussianPair(rho=0.8)
    >>> books = {name: ql.DESIGNS[name](pair, 16) for name in ("gaussian_compander", "closed_form")}
    >>> errors = measure_designs(pair, books, inner_dim=64, trials=4)
    >>> errors["closed_form"].nmse < errors["gaussian_compander"].nmse
    True
    """
    chosen = _complete(settings)
    found = []
    with Meter(progress, check.count(chosen["trials"], "trials", 2), label="measure") as meter:
        for row in measure_trials(pair, designs, inner_dim, **chosen):
            found.append(row)
            meter.add()
    rows = np.array(found)
    energy = pair.energy(inner_dim)
    record = {"pair": repr(pair), "inner_dim": inner_dim, **chosen}
    return {
        name: MeasuredError.from_trials(rows[:, i], energy, record)
        for i, name in enumerate(designs)
    }


def measure_trials(
    pair: Pair,
    designs: Designs,
    inner_dim: int = 256,
    **settings: Unpack[Settings],
) -> Iterator[list[float]]:
    """Stream the trials of `measure_designs`, for callers that show or stop a running measurement.

    Parameters
    ----------
    pair : Pair
        Joint law to sample from.
    designs : mapping
        Name -> (codebook_x, codebook_y).
    inner_dim : int
        k, of A (m, k) and B (k, n).
    **settings
        m, n, trials, rng, backend and rounding, as in `measure`.

    Yields
    ------
    list of float
        nmse of each design in one trial, in their order.

    Raises
    ------
    ValueError, TypeError
        As in `measure`.

    Examples
    --------
    >>> import quantlab as ql
    >>> pair = ql.GaussianPair(rho=0.8)
    >>> books = {"closed form": ql.design_companding(pair, 16)}
    >>> len(list(measure_trials(pair, books, inner_dim=64, trials=3)))
    3
    """
    chosen = _complete(settings)
    m, n = check.count(chosen["m"], "m"), check.count(chosen["n"], "n")
    k = check.count(inner_dim, "inner_dim")
    law, e_x, e_y = pair.unit()
    energy = law.energy(k)
    if not np.isfinite(energy):
        raise ValueError(f"nmse divides by E[C_ij^2], which must be finite; {pair!r} has {energy}")
    designs = {name: (x.in_units(-e_x), y.in_units(-e_y)) for name, (x, y) in designs.items()}
    trials, rng = check.count(chosen["trials"], "trials"), check.count(chosen["rng"], "rng", 0)
    backend, rounding = chosen["backend"], chosen["rounding"]
    fed_back = check.rounding(rounding) == "feedback"
    if backend == "cuda":
        from quantlab.gemm.cuda import require_device
        from quantlab.measure_cuda import device_trials

        device = require_device()
        yield from device_trials(law, designs, (m, k, n), trials, rng, device, fed_back)
        return
    # fp32 on the CPU: what is measured is the codebooks' error, not that of matmul's grids
    route = None if backend == "reference" else "fp32"
    for trial in range(trials):
        a, b = law.sample_matrices(m, k, n, np.random.default_rng([rng, trial]))
        c = a @ b
        row = []
        for books in designs.values():
            error = c - matmul(*code(a, b, *books, rounding), backend=backend, route=route)
            row.append(float(np.mean(np.square(error, dtype=np.float64))) / energy)
        yield row


def _complete(settings: Settings) -> Settings:
    """The settings given, and the defaults that stand in `measure`'s own signature."""
    defaults = dict(measure.__kwdefaults__ or {})
    del defaults["progress"]  # of the caller, not of the trials
    if unknown := settings.keys() - defaults.keys():
        raise TypeError(f"unexpected keyword {min(unknown)!r}; there are {', '.join(defaults)}")
    return cast(Settings, defaults | settings)


def code(
    a: NDArray, b: NDArray, codebook_x: Codebook, codebook_y: Codebook, rounding: Rounding
) -> tuple[CodedMatrix, CodedMatrix]:
    """a (m, k) and b (k, n) as `measure` codes them; see its `rounding`."""
    x, y = encode(a, codebook_x), encode(b, codebook_y)
    if rounding == "nearest":
        return x, y
    # what the errors of a meet is b with its own errors, about as large as those of y
    upper, order = feedback_of(moment_of(b.T, _square_error(b, y)))
    codes_x = round_feedback(a, upper, *one_book(codebook_x, len(b)), order)
    upper, order = feedback_of(moment_of(a, _square_error(a, x)))
    codes_y = round_feedback(b.T, upper, *one_book(codebook_y, len(b)), order)
    return CodedMatrix(codes_x, codebook_x), CodedMatrix(codes_y.T, codebook_y)


def _square_error(matrix: NDArray, coded: CodedMatrix) -> float:
    return float(np.mean(np.square(matrix - coded.decode(), dtype=np.float64)))
