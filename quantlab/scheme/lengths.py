"""Codes of variable length: uniform grids, static tables, and a real entropy coder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import Density
from quantlab.scheme.rounding import round_feedback_uniform

FloatArray = NDArray[np.float64]

_ESCAPE = 1e-4  # probability of an integer outside its index's table
_LEAST = 1e-7  # probability of an integer inside, at least
_REACH = 1 << 20  # integers stay within
_RAW_BITS = 11  # an escaped integer is two numbers of these bits


@dataclass(frozen=True, eq=False)
class EntropyGrid:
    """A uniform grid an index, and the table that its integers are coded by.

    Attributes
    ----------
    steps, offsets : ndarray, shape (k,)
        An integer z of index l stands for offset_l + step_l z.
    least, counts : ndarray of int, shape (k,)
        Index l's table holds the integers least_l .. least_l + counts_l - 1.
    probabilities : ndarray of float32, shape (sum of counts,)
        One table after the other; an index's own add up to 1 - 1e-4: the rest is for an escape.
    """

    steps: FloatArray
    offsets: FloatArray
    least: NDArray[np.int64]
    counts: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, steps: FloatArray, offsets: FloatArray, columns: list[Density]) -> EntropyGrid:
        """Tables from where the entries lie."""
        least, tables = [], []
        for step, offset, column in zip(steps, offsets, columns, strict=True):
            z = (column.points - offset) / step
            first, last = (int(np.rint(np.clip(end, -_REACH, _REACH))) for end in (z[0], z[-1]))
            running = np.concatenate([[0.0], np.cumsum(column.mass)])
            edges = np.arange(first, last) + 0.5
            if column.points.size > 1:
                middle = np.concatenate([[-np.inf], 0.5 * (z[1:] + z[:-1]), [np.inf]])
                middle[[0, -1]] = 2 * z[0] - middle[1], 2 * z[-1] - middle[-2]
                inside = np.interp(edges, middle, running)
            else:
                inside = np.empty(0)
            mass = np.diff(np.concatenate([[0.0], inside, [running[-1]]]))
            mass = np.maximum(mass / running[-1], _LEAST)
            tables.append((1 - _ESCAPE) * mass / mass.sum())
            least.append(first)
        counts = np.array([table.size for table in tables])
        whole = np.concatenate(tables).astype(np.float32)
        return cls(steps, offsets, np.array(least), counts, whole)

    @property
    def bits_per_entry(self) -> None:
        """Known of what was written alone: see what `Scheme.encode` returns."""
        return None

    @property
    def side_bytes(self) -> int:
        """What decoding needs beside the codes: step, offset, least, a table of 16-bit counts."""
        return 4 * 3 * self.steps.size + 2 * self.probabilities.size

    def round(self, rows: NDArray, upper: FloatArray, order: NDArray[np.intp]) -> NDArray:
        """Integers int32 (m, k); see `round_feedback_uniform`."""
        k = self.steps.size
        return round_feedback_uniform(
            rows, upper, self.steps, self.offsets, np.full(k, -_REACH), np.full(k, _REACH),
            order=order,
        )  # fmt: skip

    def values(self, codes: NDArray) -> NDArray[np.float32]:
        return (self.offsets + self.steps * codes).astype(np.float32)

    def symbols(self, codes: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Places in the tables (m, k), and which integers are escaped (placed behind the table)."""
        place = codes - self.least
        escaped = (place < 0) | (place >= self.counts)
        return np.where(escaped, self.counts, place).astype(np.int32), escaped

    def ideal_bits(self, codes: NDArray) -> float:
        """Mean -log2 of the probabilities that the coder works with, escapes included."""
        place, escaped = self.symbols(codes)
        start = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        inside = -np.log2(self.probabilities)
        own = inside[np.minimum(start + place, inside.size - 1)]
        escape = -np.log2(_ESCAPE) + 2 * _RAW_BITS
        return float(np.where(escaped, escape, own).mean())

    def write(self, codes: NDArray) -> NDArray[np.uint32]:
        """The integers (m, k) as a range coder writes them, one index after the other."""
        coder = _coder()
        place, escaped = self.symbols(codes)
        encoder = coder.queue.RangeEncoder()
        for index, model in enumerate(self._models(coder)):
            encoder.encode(np.ascontiguousarray(place[:, index]), model)
        raw = codes.T[escaped.T] + _REACH
        if raw.size:
            halves = np.stack([raw >> _RAW_BITS, raw & (1 << _RAW_BITS) - 1]).astype(np.int32)
            encoder.encode(halves.ravel(), coder.model.Uniform(1 << _RAW_BITS))
        return encoder.get_compressed()

    def read(self, payload: NDArray[np.uint32], rows: int) -> NDArray[np.int32]:
        """What `write` was given."""
        coder = _coder()
        decoder = coder.queue.RangeDecoder(payload)
        place = np.stack([decoder.decode(model, rows) for model in self._models(coder)], axis=1)
        escaped = place == self.counts
        codes = (place + self.least).astype(np.int32)
        if count := int(escaped.sum()):
            uniform = coder.model.Uniform(1 << _RAW_BITS)
            high, low = np.asarray(decoder.decode(uniform, 2 * count)).reshape(2, count)
            by_index = codes.T.copy()
            by_index[escaped.T] = (high << _RAW_BITS) + low - _REACH
            codes = np.ascontiguousarray(by_index.T)
        return codes

    def _models(self, coder: Any) -> list[Any]:
        ends = np.cumsum(self.counts)
        return [
            coder.model.Categorical(np.append(table, np.float32(_ESCAPE)), perfect=False)
            for table in np.split(self.probabilities, ends[:-1])
        ]

    def tensors(self) -> dict[str, NDArray]:
        return {
            "steps": self.steps, "offsets": self.offsets, "least": self.least,
            "counts": self.counts, "probabilities": self.probabilities,
        }  # fmt: skip

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray]) -> EntropyGrid:
        names = ("steps", "offsets", "least", "counts", "probabilities")
        return cls(*(tensors[name] for name in names))


def _coder() -> Any:
    if find_spec("constriction") is None:
        raise ImportError(
            "lengths=\"entropy\" needs an entropy coder: pip install 'quantlab[entropy]' "
            "(constriction)"
        )
    from constriction import stream

    return stream
