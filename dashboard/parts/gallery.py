"""The shipped gallery of real products: its menu, its map, and whether a law may be trusted."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from functools import lru_cache
from html import escape

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from quantlab import CRITICAL_RHO, GaussianReading, gaussian_peaks
from quantlab.data import gallery

from .layout import text
from .theme import BLUE, GREY, VERMILLION, plain_figure, ticks
from .wording import decimal, scientific, two_digits

#: What the menu says where the matrices are one's own.
OWN = "None: files of your own"
#: title -> name
TITLES = {OWN: ""} | {one.title: name for name, one in gallery().items()}
_TOP = 1.7
#: Most rows and columns of a matrix's picture, and its shades to either side of 0.
_PIXELS, _SHADES = 64, 15


def places() -> dict[str, list]:
    """Where the problems stand on the pitchfork: a dot for each peak of their Gaussian law."""
    rows = [(one.rho, u, one.title) for one in gallery().values() for u in gaussian_peaks(one.rho)]
    return {name: [row[i] for row in rows] for i, name in enumerate(("rho", "u", "title"))}


class GalleryMap:
    """All problems on the transition's pitchfork, and the two matrices that are looked at."""

    def __init__(self) -> None:
        self.problems = ColumnDataSource(places(), name="gallery_map")
        self.here = ColumnDataSource({"rho": [], "u": []}, name="gallery_here")

    def mark(self, rho: float | None) -> None:
        """A dot where these matrices are; none without them."""
        peaks = () if rho is None else gaussian_peaks(rho)
        self.here.data = {"rho": [rho] * len(peaks), "u": list(peaks)}

    def figure(self) -> figure:
        plot = plain_figure(
            "correlation ρ", "u", height=230, x_range=Range1d(-1, 1), y_range=Range1d(-_TOP, _TOP),
            name="gallery_map_picture",
        )  # fmt: skip
        arm = np.linspace(CRITICAL_RHO, 1, 60)
        peak = np.sqrt(np.maximum(3 - arm**-2.0, 0))
        arms = [(side * arm, sign * peak) for side in (-1, 1) for sign in (-1, 1)]
        lines = [(np.array([-CRITICAL_RHO, CRITICAL_RHO]), np.zeros(2)), *arms]
        plot.multi_line([x for x, _ in lines], [y for _, y in lines], line_color=GREY, line_width=3)
        plot.scatter("rho", "u", source=self.problems, size=9, fill_color=BLUE, line_color="white")
        plot.scatter("rho", "u", source=self.here, size=15, fill_color=VERMILLION,
                     line_color="white", line_width=2)  # fmt: skip
        c = CRITICAL_RHO
        ticks(plot.xaxis, [-1, -c, 0, c, 1], ["−1", "−1/√3", "0", "1/√3", "1"])
        ticks(plot.yaxis, [-1, 0, 1], ["−1", "0", "1"])
        return plot


class ProblemView:
    """What the chosen problem is, in a sentence, and a picture of its two matrices."""

    def __init__(self) -> None:
        self.words = text("", "sentence", "problem")
        self.words.css_classes.append("product")
        self.words.visible = False
        self.pane = pn.pane.Bokeh(self.words, sizing_mode="stretch_width", margin=0)
        self._name = ""

    def show(self, name: str) -> None:
        """A problem; nothing without one."""
        self.words.visible = bool(name)
        if name and name != self._name:
            self._name = name
            self.words.text = (
                f"{escape(gallery()[name].sentence.replace('^T', 'ᵀ'))}{_pictures(name)}"
            )


@lru_cache(maxsize=16)
def _pictures(name: str) -> str:
    """HTML of A and B, blue where an entry is above 0 and orange where it is below."""
    pair = zip("AB", gallery()[name].calibration, strict=True)
    return f"<div class='matrices'>{''.join(_heat_map(*each) for each in pair)}</div>"


def _heat_map(name: str, matrix: NDArray[np.float32]) -> str:
    at = (np.linspace(0, size - 1, min(size, _PIXELS)).astype(int) for size in matrix.shape)
    shown = matrix[np.ix_(*at)]
    limit = float(np.quantile(np.abs(shown), 0.99)) or 1.0
    shades = np.rint(np.clip(shown / limit, -1, 1) * _SHADES).astype(np.int64) + _SHADES
    rows, columns = matrix.shape
    words = f"{name}, {rows} × {columns}"
    entries = f"entries from {matrix.min():.3g} to {matrix.max():.3g}, mean {matrix.mean():.3g}"
    return (
        f"<figure><img alt='{words}: {entries.replace('-', '−')}' "
        f"src='data:image/png;base64,{b64encode(_png(shades)).decode()}'>"
        f"<figcaption>{words}</figcaption></figure>"
    )


def _png(shades: NDArray[np.int64]) -> bytes:
    """A picture of numbers from 0, all orange, to 2 _SHADES, all blue; between them it is clear."""
    scale = range(-_SHADES, _SHADES + 1)
    colours = b"".join(bytes.fromhex((BLUE if i > 0 else VERMILLION)[1:]) for i in scale)
    alphas = bytes(255 * abs(i) // _SHADES for i in scale)
    height, width = shades.shape
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = shades

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    return b"\x89PNG\r\n\x1a\n" + b"".join([
        chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
        chunk(b"PLTE", colours), chunk(b"tRNS", alphas),
        chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), chunk(b"IEND", b""),
    ])  # fmt: skip


def verdict(reading: GaussianReading) -> str:
    """What to think of the closed form for these matrices, in one sentence."""
    low, high = reading.usual
    words = f"at {reading.bits} bits its error is <b>{two_digits(reading.ratio)} times</b> what "
    words += "the law says"
    if not reading.trusted and low <= reading.ratio <= high:
        words += f", but the cdf of the entries is off by {decimal(reading.distance, 2)}"
    return f"<b>{_opinion(reading)}</b>: {words}."


def _opinion(reading: GaussianReading) -> str:
    if reading.trusted:
        return "The Gaussian law may be trusted here, and the closed form with it"
    return "The Gaussian law, and the closed form with it, is not to be trusted here"


def trust(reading: GaussianReading) -> str:
    """What to think of the closed form for these matrices, before its error is shown."""
    low, high = reading.usual
    return (
        f"<b>{_opinion(reading)}.</b> At {reading.bits} bits it says nmse "
        f"{scientific(reading.predicted)} and {scientific(reading.measured)} is measured: "
        f"<b>{decimal(reading.ratio, 2)} times</b> as much, where its own samples have "
        f"{decimal(low, 2)} to {decimal(high, 2)}. The cdf of the entries is off by "
        f"{decimal(reading.distance, 2)}, that of its samples by up to "
        f"{decimal(reading.usual_distance, 2)}."
    )
