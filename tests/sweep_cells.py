"""Cell functions that worker processes import."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np


def noise(rng: np.random.Generator, size: int, scale: float) -> dict[str, float]:
    sample = rng.normal(scale=scale, size=(size, size)).astype(np.float32)
    return {"trace": float(np.trace(sample @ sample)), "first": float(sample[0, 0])}


def several(rng: np.random.Generator, size: int) -> list[dict[str, object]]:
    return [{"name": str(i), "value": float(rng.normal())} for i in range(size)]


def slow(rng: np.random.Generator, point: int, log: str) -> dict[str, float]:
    """Leaves a line with its process id in the folder `log`."""
    time.sleep(0.05)
    (Path(log) / f"{point}-{time.time_ns()}").write_text(str(os.getpid()))
    return {"value": float(rng.normal())}


def failing(rng: np.random.Generator, point: int) -> dict[str, float]:
    if point == 2:
        raise ArithmeticError("no good")
    return {"value": 1.0}


def suicidal(rng: np.random.Generator, point: int) -> dict[str, float]:
    os._exit(1)


def returning(rng: np.random.Generator, what: str) -> object:
    return {
        "nothing": [],
        "clash": {"what": 1.0},
        "array": {"value": np.ones(2)},
        "numpy": {"value": np.float32(0.5), "count": np.int64(3), "missing": None},
    }[what]
