"""Codes of variable length: uniform grids, static tables, and a real entropy coder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _threads
from quantlab.scheme.books import TOLD, Density
from quantlab.scheme.rounding import round_feedback_uniform

FloatArray = NDArray[np.float64]

_ESCAPE = 1e-4  # probability of an integer outside its index's table
_LEAST = 1e-7  # probability of an integer inside, at least
_REACH = 1 << 20  # integers stay within
_FITS = 8  # rounds of cells, means and lengths
_WORTH = np.log(2) / 6  # of a bit, in squared steps: -dD/dR at D = step^2 / 12
_FINER = 256  # parts of an octave that steps are told in
_OCTAVES = 16
_TRIES = 16
TOLD_BITS = 16  # that tell them
_FEW = 0.02  # of what rows may be written in: more of it is not spent on keeping to it
_RAW_BITS = 11  # an escaped integer is two numbers of these bits


@dataclass(frozen=True, eq=False)
class EntropyGrid:
    """A uniform grid an index, and the table that its integers are coded by.

    Attributes
    ----------
    steps, offsets : ndarray, shape (k,)
        An integer z of index l stands for offset_l + step_l (z + shift).
    least, counts : ndarray of int, shape (k,)
        Index l's table holds the integers least_l .. least_l + counts_l - 1.
    probabilities : ndarray of float32, shape (sum of counts,)
        One table after the other; an index's own add up to 1 - 1e-4: the rest is for an escape.
    shifts : ndarray of float32, shape (sum of counts,)
        Zeros, or the mean of the entries of each integer; an escaped integer has none.
    borders : ndarray of float32, shape (sum of counts,), or None
        In steps: an entry belongs to the first integer whose border it does not exceed; the last
        border of each index is infinite. None: to the nearest integer.
    kind : {"index", "shape"}
        Whether tables are of each index's density, or of one for all, moved and stretched.
    columns : tuple of Density, or None
        What tables follow from, at any step; None: of a matrix that is coded already.
    bits : float, or None
        What an entry may be written in.
    finer : int, or None
        Steps are those of the fit times 2^(finer / 256), for the rows at hand; None: as fitted.
    """

    steps: FloatArray
    offsets: FloatArray
    least: NDArray[np.int64]
    counts: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    shifts: NDArray[np.float32]
    borders: NDArray[np.float32] | None
    kind: str = "index"
    columns: tuple[Density, ...] | None = None
    bits: float | None = None
    finer: int | None = None

    @classmethod
    def of(
        cls,
        steps: FloatArray,
        offsets: FloatArray,
        columns: Sequence[Density],
        fitted: bool,
        kind: str = "index",
        bits: float | None = None,
    ) -> EntropyGrid:
        r"""Tables from where the entries lie.

        `fitted` cells minimise error and length together (entropy-constrained quantization: P. A.
        Chou, T. Lookabaugh, R. M. Gray, IEEE Trans. Acoust. Speech Signal Process. 37, 1989):

        .. math:: (t - v_z)^2 + \mu L_z, \qquad \mu = \tfrac{\ln 2}{6}\, \mathrm{step}^2

        where an entry t, coded as z, stands for the mean v_z of its cell and L_z is its length in
        bits; mu is what a bit is worth on a fine grid. Else cells are those of the grid.
        """
        made: list[_Table] = [_EMPTY] * len(columns)

        def fit(index: int) -> None:
            made[index] = _Table.of(columns[index], offsets[index], steps[index], fitted)

        _threads.for_each(fit, range(len(columns)))
        counts = np.array([table.mass.size for table in made])
        mass, shifts, borders = (
            np.concatenate([getattr(table, name) for table in made]).astype(np.float32)
            for name in ("mass", "shifts", "borders")
        )
        least = np.array([table.least for table in made])
        own = None if not fitted else borders
        return cls(steps, offsets, least, counts, mass, shifts, own, kind, tuple(columns), bits)

    def keeping_to(
        self, rows: NDArray, upper: FloatArray, order: NDArray[np.intp], slack: int
    ) -> EntropyGrid:
        """The finest steps at which rows (m, k) and `slack` bits more are written in `bits`.

        As fitted where that is not known, where rows are so few that the slack counts, or where
        no steps are coarse enough.
        """
        if self.columns is None or self.bits is None or slack > _FEW * self.bits * rows.size:
            return self
        found, least, finer, last = self, _OCTAVES * _FINER, 0, -_OCTAVES * _FINER
        for _ in range(_TRIES):
            factor = 2.0 ** (finer / _FINER)
            grid = EntropyGrid.of(
                self.steps * factor, self.offsets, self.columns, self.borders is not None,
                self.kind, self.bits,
            )  # fmt: skip
            spent = grid.ideal_bits(grid.round(rows, upper, order)) + slack / rows.size
            if spent <= self.bits:
                found, least = replace(grid, finer=finer), finer
            else:
                last = finer
            step = int(np.ceil(_FINER * (spent - self.bits)))
            following = finer + step
            if not last < following < least:
                following = (last + least) // 2
            if least - last <= 1 or following == finer:
                break
            finer = following
        return found

    @property
    def bits_per_entry(self) -> None:
        """Known of what was written alone: see what `Scheme.encode` returns."""
        return None

    @property
    def side_bytes(self) -> int:
        """What decoding needs beside the codes: what tells steps, offsets and tables.

        Tables follow from densities that are told by few points: an index's own, or one for all
        with a deviation an index. Step, offset, deviation and outermost points in float32, two
        bytes for each point between.
        """
        k, told = self.steps.size, 8 + 2 * (TOLD - 2)
        return 12 * k + told if self.kind == "shape" else (8 + told) * k

    def round(self, rows: NDArray, upper: FloatArray, order: NDArray[np.intp]) -> NDArray:
        """Integers int32 (m, k); see `round_feedback_uniform`."""
        k = self.steps.size
        found = round_feedback_uniform(
            rows, upper, self.steps, self.offsets, np.full(k, -_REACH), np.full(k, _REACH),
            order=order,
        )  # fmt: skip
        if self.borders is None:
            return found
        _, escaped = self.symbols(found)
        for index, borders in enumerate(np.split(self.borders, np.cumsum(self.counts)[:-1])):
            z = (rows[:, index] - self.offsets[index]) / self.steps[index]
            own = self.least[index] + np.searchsorted(borders[:-1], z.astype(np.float32))
            found[:, index] = np.where(escaped[:, index], found[:, index], own)
        return found

    def values(self, codes: NDArray) -> NDArray[np.float32]:
        place, escaped = self.symbols(codes)
        shift = self.shifts[np.minimum(self._starts + place, self.shifts.size - 1)]
        moved = codes + np.where(escaped, np.float32(0), shift)
        return (self.offsets + self.steps * moved).astype(np.float32)

    @property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.counts) - self.counts

    def symbols(self, codes: NDArray) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Places in the tables (m, k), and which integers are escaped (placed behind the table)."""
        place = codes - self.least
        escaped = (place < 0) | (place >= self.counts)
        return np.where(escaped, self.counts, place).astype(np.int32), escaped

    def ideal_bits(self, codes: NDArray) -> float:
        """Mean -log2 of the probabilities that the coder works with, escapes included."""
        place, escaped = self.symbols(codes)
        inside = -np.log2(self.probabilities)
        own = inside[np.minimum(self._starts + place, inside.size - 1)]
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
            "counts": self.counts, "probabilities": self.probabilities, "shifts": self.shifts,
            **({} if self.borders is None else {"borders": self.borders}),
            **({} if self.bits is None else {"bits": np.array([self.bits])}),
            **({} if self.finer is None else {"finer": np.array([self.finer])}),
            **({} if self.columns is None else {
                "points": np.concatenate([each.points for each in self.columns]),
                "mass": np.concatenate([each.mass for each in self.columns]),
                "sizes": np.array([each.points.size for each in self.columns]),
            }),
        }  # fmt: skip

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray], kind: str = "index") -> EntropyGrid:
        names = ("steps", "offsets", "least", "counts", "probabilities", "shifts")
        own = {name: tensors[name] for name in names}
        columns = None
        if "sizes" in tensors:
            ends = np.cumsum(tensors["sizes"])[:-1]
            both = (np.split(tensors[name], ends) for name in ("points", "mass"))
            columns = tuple(Density(*each) for each in zip(*both, strict=True))
        bits = float(tensors["bits"][0]) if "bits" in tensors else None
        finer = int(tensors["finer"][0]) if "finer" in tensors else None
        return cls(**own, borders=tensors.get("borders"), kind=kind, columns=columns, bits=bits,
                   finer=finer)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Table:
    """One index's, in steps from its offset."""

    least: int
    mass: FloatArray  # (count,)
    shifts: FloatArray  # (count,)
    borders: FloatArray  # (count,), the last infinite

    @classmethod
    def of(cls, column: Density, offset: float, step: float, fitted: bool) -> _Table:
        from quantlab.scheme.index_kernels import cells_kernel, cheapest_kernel

        z = (column.points - offset) / step
        least, last = (int(np.rint(np.clip(end, -_REACH, _REACH))) for end in (z[0], z[-1]))
        integers = np.arange(least, last + 1)
        borders = np.append(integers[:-1] + 0.5, np.inf)
        # a point's mass is spread to half-way neighbours
        middle = np.concatenate([z[:1], 0.5 * (z[1:] + z[:-1]), z[-1:]])
        if z.size > 1:
            middle[[0, -1]] = 2 * z[0] - middle[1], 2 * z[-1] - middle[-2]
        running, moment = (np.concatenate([[0.0], np.cumsum(column.mass * f)]) for f in (1.0, z))
        mass, first = np.empty((2, integers.size))
        for fit in range(_FITS if fitted else 1):
            cells_kernel(middle, running, moment, borders, mass, first)
            share = np.maximum(mass / running[-1], _LEAST)
            share *= (1 - _ESCAPE) / share.sum()
            if not fitted:
                break
            # a cell without mass stands for its integer, if that lies in it
            sides = np.clip(np.concatenate([[-np.inf], borders]), least - 0.5, last + 0.5)
            value = np.clip(integers.astype(np.float64), sides[:-1], sides[1:])
            np.divide(first, mass, out=value, where=mass > _LEAST * running[-1])
            np.maximum.accumulate(value, out=value)
            if fit < _FITS - 1:
                cheapest_kernel(value, -_WORTH * np.log2(share), borders)
        else:
            return cls(least, share, value - integers, borders)
        return cls(least, share, np.zeros_like(share), borders)


_EMPTY = _Table(0, np.empty(0), np.empty(0), np.empty(0))


def _coder() -> Any:
    if find_spec("constriction") is None:
        raise ImportError(
            "lengths=\"entropy\" needs an entropy coder: pip install 'quantlab-matmul[entropy]' "
            "(constriction)"
        )
    from constriction import stream

    return stream
