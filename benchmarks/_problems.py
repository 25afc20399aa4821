"""Small sets for the choice of parts: those that it is settled on, and how any set is split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np

Matrices = tuple[np.ndarray, np.ndarray]


def numbers(name: str) -> np.ndarray:
    """The numeric columns of one of statsmodels' data sets, rows without a gap."""
    module = import_module(f"statsmodels.datasets.{name}")
    data = module.load_pandas().data.select_dtypes("number").to_numpy(float)
    return data[np.isfinite(data).all(axis=1)]


def lagged(values: np.ndarray, lags: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values - values.mean(), lags)


def standardised(data: np.ndarray) -> np.ndarray:
    spread = data.std(axis=0)
    return (data - data.mean(axis=0))[:, spread > 0] / spread[spread > 0]


def picture(name: str) -> np.ndarray:
    """Rows of one of scikit-image's pictures, every fourth of both."""
    found = np.asarray(getattr(import_module("skimage.data"), name)(), float)
    return found[::4, ::4] if found.ndim == 2 else found[::4, ::4, 0]


def spread(rng: np.random.Generator, m: int, k: int, fall: float) -> np.ndarray:
    """Normal rows whose covariance has a random basis and the spectrum i^-fall."""
    basis = np.linalg.qr(rng.normal(size=(k, k)))[0]
    return rng.normal(size=(m, k)) * np.arange(1, k + 1) ** (-fall / 2) @ basis.T


def autoregressive(rng: np.random.Generator, m: int, k: int, r: float) -> np.ndarray:
    noise = rng.normal(size=m + k + 200)
    series = np.zeros_like(noise)
    for t in range(1, len(noise)):
        series[t] = r * series[t - 1] + noise[t]
    return lagged(series[200:], k)[:m]


def factors(rng: np.random.Generator, m: int, k: int) -> np.ndarray:
    loads = rng.normal(size=(3, k))
    return rng.normal(size=(m, 3)) @ loads + 0.3 * rng.normal(size=(m, k))


def made() -> Iterator[tuple[str, np.ndarray]]:
    """Drawn rows, 24 to 200 of them."""
    rng = np.random.default_rng(2024)
    for m, k in ((24, 4), (48, 12), (80, 30), (120, 16), (200, 40)):
        for fall in (0.0, 1.0, 3.0):
            yield f"spectrum i^-{fall:g}, {m} x {k}", spread(rng, m, k, fall)
        for r in (0.5, 0.95):
            yield f"autoregressive {r}, {m} x {k}", autoregressive(rng, m, k, r)
        yield f"three factors, {m} x {k}", factors(rng, m, k)
        yield f"t of 3 degrees, {m} x {k}", rng.standard_t(3, (m, k))
        yield f"counts, {m} x {k}", rng.poisson(rng.gamma(2, 2, k), (m, k)).astype(float)
        yield f"unlike columns, {m} x {k}", rng.lognormal(size=(m, k)) * 10.0 ** rng.normal(size=k)
        walk = np.rint(20 * rng.normal(size=m + k)).cumsum()
        yield f"walk of whole numbers, {m} x {k}", lagged(walk, k)[:m]
        groups = rng.normal(size=(m, k)) + 3 * (rng.random(m) < 0.3)[:, None] * rng.normal(size=k)
        yield f"two groups, {m} x {k}", groups


def found() -> Iterator[tuple[str, np.ndarray]]:
    """Data of other libraries that benchmarks/schemes.py does not measure on."""
    read: dict[str, Callable[[], np.ndarray]] = {
        "committee": lambda: numbers("committee"),
        "cpunish": lambda: numbers("cpunish"),
        "danish_data": lambda: numbers("danish_data"),
        "cancer": lambda: numbers("cancer"),
        "heart": lambda: numbers("heart"),
        "interest_inflation": lambda: numbers("interest_inflation"),
        "fair": lambda: numbers("fair")[::40],
        "randhie": lambda: numbers("randhie")[::100],
    }
    for name, load in read.items():
        data = load()
        yield name, data
        yield f"{name}, standardised", standardised(data)
    for name in ("coins", "moon", "page", "text", "brick", "gravel", "astronaut", "coffee"):
        rows = picture(name)
        yield f"{name}, 16 columns", rows[:, 20:36]
        yield f"{name}, a row's 24 lags", lagged(rows[len(rows) // 2], 24)


def quarters(x: np.ndarray) -> Iterator[tuple[str, Matrices, Matrices]]:
    """What is fitted to, and what is measured: four unlike parts of the rows."""
    at = np.random.default_rng(0).permutation(len(x))
    for name, rows in (("every fourth row", x), ("at random", x[at])):
        a, b, other_a, other_b = (rows[start::4] for start in range(4))
        yield name, (a, b.T), (other_a, other_b.T)


def halves(x: np.ndarray) -> Iterator[tuple[str, Matrices, Matrices]]:
    """Of x x^T: fitted to one half of the rows, measured on the other."""
    half = len(x) // 2
    for name, own, other in (
        ("every other row", x[::2], x[1::2]),
        ("first and second half", x[:half], x[half:]),
    ):
        yield name, (own, own.T), (other, other.T)


def cases() -> Iterator[tuple[str, str, Matrices, Matrices]]:
    """(set, split, fitted to, measured on) of all sets here; quarters from 40 rows on."""
    for name, x in (*made(), *found()):
        rows = np.ascontiguousarray(x, np.float32)
        for kind, split in (("half", halves), ("quarter", quarters)):
            if kind == "quarter" and len(rows) < 40:
                continue
            for how, own, other in split(rows):
                if all(np.any(each) for each in (*own, *other)):
                    yield name, f"{kind}, {how}", own, other
