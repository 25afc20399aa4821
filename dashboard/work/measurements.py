"""Measured errors in the background: the latest setting wins, and sessions share results."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from quantlab import (
    DESIGNS,
    Codebook,
    GaussianReading,
    encode,
    gaussian_reading,
    matmul,
    measure_designs,
)
from quantlab.design.empirical import design_empirical
from quantlab.measure import MeasuredError

from ..given import Given
from ..state import DATA_DESIGNS, GAUSSIAN, LEVELS, Problem, Request
from .pool import Pool

#: K of the curves of error against K.
SWEEP = (2, 4, 8, 16, 32, 64, 128, 256)
#: Rows of A and columns of B in the synthetic trials.
SIZE = 128
#: Beyond this K the bilinear design takes seconds and no longer differs from the closed form.
BILINEAR_LEVELS = 64
#: The same for laws whose cells are integrals: 16 levels take half a second, 64 take five.
INTEGRAL_BILINEAR_LEVELS = 16
#: The inner dimension up to which feedback is measured: a trial takes half a second there.
FEEDBACK_INNER_DIM = 1024

_PRESENT, _SWEEP, _AHEAD = 0, 1, 2  # priorities
_SWEEP_REST = 0.25  # seconds without a new setting before the curves are measured
#: Sessions that may move at a time before curves wait longer, and how long a move counts (s).
_CROWD, _RECENT = 4, 3.0
#: Trials of the first answer: few, so that a class of moving sliders is answered; then more.
_FIRST_TRIALS, _FIRST_WORK = 60, 5 * 256
_MORE, _MOST_TRIALS = 10, 240
_CACHED_POINTS = 4096
_PAUSE = 0.04  # seconds between two designs made ahead
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """One design at one (K_X, K_Y): measured nmse, its 95 % interval, and the two codebooks."""

    nmse: float
    low: float
    high: float
    trials: int
    centers_x: NDArray[np.float64]
    centers_y: NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One job of a request, short enough for other sessions to wait for."""

    k_x: int
    k_y: int
    trials: int
    priority: int = _SWEEP
    rest: float = 0.0


@dataclass(frozen=True)
class Update:
    """What one step found; `error` says why it found nothing.

    Of given matrices it says first whether their Gaussian law may be trusted.
    """

    request: Request
    k_x: int
    k_y: int
    points: dict[str, Point]
    error: str = ""
    reading: GaussianReading | None = None

    @property
    def present(self) -> bool:
        """Whether these are the levels that the controls show."""
        return (self.k_x, self.k_y) == (self.request.k_x, self.request.k_y)


def steps(request: Request) -> Iterator[Step]:
    """The present levels first and soon, then more trials of them, then every K, nearest first."""
    k_x, k_y = request.k_x, request.k_y
    first = int(np.clip(_FIRST_WORK // request.problem.inner_dim, 3, _FIRST_TRIALS))
    yield Step(k_x, k_y, first, _PRESENT)
    more = _MORE if not request.problem.fed_back or request.problem.inner_dim <= 256 else 1
    yield Step(k_x, k_y, min(more * first, _MOST_TRIALS), rest=_SWEEP_REST)
    here = np.log2(k_x)
    for k in sorted(SWEEP, key=lambda k: abs(np.log2(k) - here)):
        yield Step(k, k, max(first, 3))


def refused(problem: Problem) -> str:
    """Why nothing is measured; empty where it is."""
    if problem.fed_back and problem.inner_dim > FEEDBACK_INNER_DIM:
        return (
            f"With feedback errors are measured up to k = {FEEDBACK_INNER_DIM:,} here: its time "
            "grows like k². Choose a smaller inner dimension."
        )
    return ""


def most_levels(problem: Problem, design: str) -> int:
    """Up to how many levels a design is fast enough to be shown; 0 if it is at none."""
    if refused(problem):
        return 0
    if design != "bilinear":
        return LEVELS[1]
    closed_cells = problem.family in (GAUSSIAN, "uniform")
    return BILINEAR_LEVELS if closed_cells else INTEGRAL_BILINEAR_LEVELS


def codebooks(problem: Problem, design: str, k_x: int, k_y: int) -> tuple[Codebook, Codebook]:
    """The design's two codebooks for the problem's law, or for its data; made once a server."""
    return _made(replace(problem, seed=0, rounding="nearest"), design, k_x, k_y)


@lru_cache(maxsize=8192)
def _made(problem: Problem, design: str, k_x: int, k_y: int) -> tuple[Codebook, Codebook]:
    if design in DATA_DESIGNS:
        given = problem.given
        assert given is not None, "a law has no data"
        return design_empirical(given.pair, (k_x, k_y), smoothing="auto")
    return DESIGNS[design](problem.law(), (k_x, k_y), problem.inner_dim)


def measure_points(
    problem: Problem, k_x: int, k_y: int, designs: tuple[str, ...], trials: int
) -> dict[str, Point]:
    """Design and measure: on sampled matrices, or on the part of given ones that is held out."""
    books = {name: codebooks(problem, name, k_x, k_y) for name in designs}
    if (given := problem.given) is not None:
        errors = _held_out_errors(given, books)
    else:
        errors = measure_designs(
            problem.law(), books, problem.inner_dim, m=SIZE, n=SIZE, trials=trials,
            rng=problem.seed, rounding=problem.rounding,
        )  # fmt: skip
    return {
        name: Point(
            error.nmse, error.low, error.high, error.per_trial.size,
            books[name][0].centers, books[name][1].centers,
        )
        for name, error in errors.items()
    }  # fmt: skip


@lru_cache(maxsize=128)
def reading(problem: Problem) -> GaussianReading:
    """Whether given matrices are read well by their Gaussian law; made once a server."""
    given = problem.given
    assert given is not None, "a law reads itself"
    return gaussian_reading(given.pair, held_out=given.held_out)


def _held_out_errors(
    given: Given, books: dict[str, tuple[Codebook, Codebook]]
) -> dict[str, MeasuredError]:
    """Error of each held-out product, over the mean square entry of all.

    One product has no interval.
    """
    pairs = given.held_out
    products = [a @ b for a, b in pairs]
    energy = float(np.mean([np.mean(np.square(c, dtype=np.float64)) for c in products]))
    errors = {}
    for name, (cb_x, cb_y) in books.items():
        # fp32: what is measured is the codebooks' error, not that of the product's integer grids
        coded = [matmul(encode(a, cb_x), encode(b, cb_y), route="fp32") for a, b in pairs]
        squares = [
            float(np.mean(np.square(c - cq, dtype=np.float64)))
            for c, cq in zip(products, coded, strict=True)
        ]
        nmse = np.array(squares) / energy
        if nmse.size > 1:
            errors[name] = MeasuredError.from_trials(nmse, energy, {})
        else:
            one = float(nmse[0])
            errors[name] = MeasuredError(one * energy, one, one, one, nmse, {})
    return errors


class Measurements:
    """The service that all sessions share: a pool of threads and a cache of measured points."""

    def __init__(self, workers: int = 2) -> None:
        self.pool = Pool(workers, urgent=workers - 1)
        self._points: OrderedDict[tuple, Point] = OrderedDict()
        self._lock = threading.Lock()
        self._moves: dict[int, float] = {}

    def moved(self, subscription: Subscription) -> None:
        """A session has asked for a new setting."""
        with self._lock:
            self._moves[id(subscription)] = time.monotonic()

    def crowding(self) -> float:
        """How many times the usual rest a curve waits: 1 for a few sessions, more in a class.

        Else the curves of those who rest would delay the present errors of those who move.
        """
        since = time.monotonic() - _RECENT
        with self._lock:
            self._moves = {who: at for who, at in self._moves.items() if at > since}
            return max(1.0, len(self._moves) / _CROWD)

    def points(self, request: Request, step: Step) -> dict[str, Point]:
        """The step's points; those that another session has measured come from the cache."""
        problem, k_x, k_y = request.problem, step.k_x, step.k_y
        designs = [name for name in request.designs if max(k_x, k_y) <= most_levels(problem, name)]
        found = {}
        with self._lock:
            for name in designs:
                key = (problem, k_x, k_y, name)
                if key in self._points and self._points[key].trials >= self._wanted(problem, step):
                    self._points.move_to_end(key)
                    found[name] = self._points[key]
        missing = tuple(name for name in designs if name not in found)
        if missing:
            fresh = measure_points(problem, k_x, k_y, missing, step.trials)
            with self._lock:
                for name, point in fresh.items():
                    self._points[problem, k_x, k_y, name] = point
                while len(self._points) > _CACHED_POINTS:
                    self._points.popitem(last=False)
            found |= fresh
        return {name: found[name] for name in designs}

    def update(self, request: Request, step: Step) -> Update:
        """What the step finds."""
        read = None if request.problem.given is None else reading(request.problem)
        return Update(request, step.k_x, step.k_y, self.points(request, step), reading=read)

    def warm(self, requests: Iterable[Request], then: Callable[[], object]) -> None:
        """Measure in the background what the first visitors will ask for: kernels are compiled.

        `then` is called when all of it has been tried, on one of the pool's threads.
        """
        for request in requests:
            step = next(steps(request))
            self.pool.submit(partial(self.update, request, step), _SWEEP)
        self.pool.submit(then, _SWEEP)  # one thread alone takes these, in order

    def prepare(self, request: Request) -> None:
        """Design ahead for every correlation that the slider can stop at, with pauses between.

        Who opens a page meanwhile waits little longer.
        """
        jobs = (
            partial(codebooks, replace(request.problem, rho=rho), design, request.k_x, request.k_y)
            for rho in np.round(np.linspace(-1, 1, 201), 2).tolist()
            for design in request.designs
        )

        def work() -> None:
            if (job := next(jobs, None)) is not None:
                job()
                self.pool.submit(work, _AHEAD, _PAUSE)

        self.pool.submit(work, _AHEAD)

    @staticmethod
    def _wanted(problem: Problem, step: Step) -> int:
        return step.trials if problem.given is None else 1  # what is held out is all there is


class Subscription:
    """One session's line to the service: its latest request wins, earlier ones are dropped.

    Parameters
    ----------
    service : Measurements
    deliver : callable
        Takes every `Update`, on one of the pool's threads.
    """

    def __init__(self, service: Measurements, deliver: Callable[[Update], None]) -> None:
        self._service = service
        self._deliver = deliver
        self._latest: Request | None = None

    def request(self, request: Request, delay: float = 0.0) -> None:
        """Measure at the present levels after `delay` seconds of rest, then at all others."""
        self._latest = request
        self._service.moved(self)
        self._continue(request, steps(request), delay)

    def close(self) -> None:
        """Nothing more is measured or delivered."""
        self._latest = None

    def _continue(self, request: Request, left: Iterator[Step], delay: float) -> None:
        step = next(left, None)
        if step is None:
            return

        def run() -> None:
            if self._latest is not request:
                return
            try:
                update = self._service.update(request, step)
            except Exception as error:  # told in the page: one failed job does not end a session
                _LOG.exception("measuring %s failed", request)
                update = Update(request, step.k_x, step.k_y, {}, f"{error}")
            if self._latest is request:
                self._deliver(update)
                self._continue(request, left, 0.0)

        rest = step.rest * self._service.crowding()
        self._service.pool.submit(run, step.priority, delay + rest)


@cache
def measurements() -> Measurements:
    """The measuring service of this process, shared by its sessions."""
    return Measurements()
