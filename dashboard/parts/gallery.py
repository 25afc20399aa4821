"""The shipped gallery of real products: its menu, its map, and whether a law may be trusted."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from quantlab import CRITICAL_RHO, GaussianReading, gaussian_peaks
from quantlab.data import gallery

from .theme import BLUE, GREY, VERMILLION, plain_figure, ticks
from .wording import decimal, scientific

#: What the menu says where the matrices are one's own.
OWN = "None: files of your own"
#: title -> name
TITLES = {OWN: ""} | {one.title: name for name, one in gallery().items()}
_TOP = 1.7


class GalleryMap:
    """All problems on the transition's pitchfork, and the two matrices that are looked at."""

    def __init__(self) -> None:
        places = [(one.rho, peak, one.title) for one in gallery().values()
                  for peak in gaussian_peaks(one.rho)]  # fmt: skip
        rho, u, title = (list(column) for column in zip(*places, strict=True))
        self.problems = ColumnDataSource({"rho": rho, "u": u, "title": title}, name="gallery_map")
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


def trust(reading: GaussianReading) -> str:
    """What to think of the closed form for these matrices, before its error is shown."""
    low, high = reading.usual
    verdict = (
        "The Gaussian law may be trusted here"
        if reading.trusted
        else "The Gaussian law, and the closed form with it, is not to be trusted here"
    )
    return (
        f"<b>{verdict}.</b> At {reading.bits} bits it says nmse {scientific(reading.predicted)} "
        f"and {scientific(reading.measured)} is measured: <b>{decimal(reading.ratio, 2)} times</b> "
        f"as much, where its own samples have {decimal(low, 2)} to {decimal(high, 2)}. The cdf of "
        f"the entries is off by {decimal(reading.distance, 2)}, that of its samples by up to "
        f"{decimal(reading.usual_distance, 2)}."
    )
