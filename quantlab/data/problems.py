"""The gallery: products of real matrices, each with a part to calibrate on and one held out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.data.attention import load_attention

_FILE = Path(__file__).with_name("gallery.npz")
_RECORDS = Path(__file__).with_name("gallery.json")
#: The problem that lies with the shipped attention heads, and which of them it is.
_ATTENTION, _LAYER, _HEAD = "attention", 5, 0
Matrices = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Problem:
    """A product of two real matrices; read from the file when they are asked for.

    Attributes
    ----------
    name, title : str
        As in `gallery`, and for people.
    sentence : str
        What is multiplied by what.
    inner : str
        What the inner index counts.
    why : str
        What decides between the designs here, at 4 bits.
    source, licence : str
        Where the data come from.
    rho : float
        Correlation of the calibration part about 0, as `EmpiricalPair.gaussian` takes it.
    """

    name: str
    title: str
    sentence: str
    inner: str
    why: str
    source: str
    licence: str
    rho: float

    @cached_property
    def calibration(self) -> Matrices:
        """a (m, k) and b (k, n), float32, read-only."""
        return self._pair("calibration")

    @cached_property
    def held_out(self) -> Matrices:
        """Others of the same kind, not to be fitted to; float32, read-only."""
        return self._pair("held_out")

    def _pair(self, part: str) -> Matrices:
        if self.name == _ATTENTION:
            head = load_attention().head(_LAYER, _HEAD)
            return (head.calibration if part == "calibration" else head.held_out).pair()
        with np.load(_FILE, allow_pickle=False) as file:
            a = file[f"{self.name}.{part}.a"].astype(np.float32)
            other = f"{self.name}.{part}.b"
            b = file[other].astype(np.float32) if other in file.files else a.T.copy()
        a.flags.writeable = b.flags.writeable = False
        return a, b


@cache
def _records() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(_RECORDS.read_text(encoding="utf-8"))
    return found


@cache
def _problem(name: str) -> Problem:
    return Problem(name, **_records()[name])


def gallery() -> dict[str, Problem]:
    r"""Products of real matrices, from a correlation of -0.82 to 0.95.

    .. math:: C = A B, \qquad A \in \mathbb{R}^{m \times k},\ B \in \mathbb{R}^{k \times n}

    Returns
    -------
    dict of str to Problem
        In the order of their correlation. Matrices are read when they are asked for, and kept.

    Notes
    -----
    The script that makes the matrices, quantlab/data/make_gallery.py, lies beside the file; each
    problem says its source and licence. All together take 0.6 MB, the attention head apart.

    Examples
    --------
    >>> import quantlab as ql
    >>> problem = ql.data.gallery()["digits"]
    >>> a, b = problem.calibration
    >>> a.shape, b.shape, problem.inner
    ((256, 64), (64, 256), 'pixel')
    >>> round(ql.EmpiricalPair(a, b).gaussian().rho, 2)
    0.71
    """
    return {name: _problem(name) for name in _records()}


def problem(name: str) -> Problem:
    """One problem of the gallery by its name.

    Raises
    ------
    ValueError
        If there is no such problem.
    """
    if name not in _records():
        raise ValueError(f"problem must be one of {', '.join(_records())}; got {name!r}")
    return _problem(name)
