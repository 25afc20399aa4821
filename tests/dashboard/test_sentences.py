"""Every sentence that the pages can write, over a grid of settings; run as a script it lists them.

Measured and exact errors are stood in for: what is tested is the words around them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantlab import CRITICAL_RHO
from quantlab.dashboard.pages.attention import AttentionPage
from quantlab.dashboard.pages.codebooks import CodebooksPage, Made
from quantlab.dashboard.pages.density import DensityPage
from quantlab.dashboard.pages.error import ErrorPage
from quantlab.dashboard.pages.error_study import ErrorStudyPage
from quantlab.dashboard.pages.limits import LimitsPage
from quantlab.dashboard.pages.speed import SpeedPage
from quantlab.dashboard.parts.why import why
from quantlab.dashboard.state import ATTENTION, DESIGN_LABELS, GALLERY, LAWS, DashboardState
from quantlab.dashboard.work.error_study import Split
from quantlab.dashboard.work.measurements import Point, Update, codebooks, most_levels
from quantlab.dashboard.work.reasons import Reason
from quantlab.dashboard.work.speed import Comparison, Timing
from quantlab.dashboard.work.stored import stored_wins
from quantlab.data import gallery

RHOS = (-1.0, -0.62, -0.3, 0.0, 0.5773, 0.5774, 0.9, 1.0)
LEVELS = ((2, 2), (2, 256), (12, 12), (256, 256))
INNER_DIMS = (1, 256, 4096)
#: Errors of designs beside one another: none, hardly any, alike, far apart.
ERRORS = ((0.0, 0.0), (4.9e-16, 2e-4), (2e-4, 2.0001e-4), (3e-3, 2e-3), (1e-3, 2.9), (1.0, 1.0))


class Parts(HTMLParser):
    """Words of a piece of HTML, and the tags that stay open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.open = "", list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "math":
            self.words += dict(attrs)["alttext"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "math" not in self.open:
            self.words += data


def _session(state: DashboardState) -> Any:
    """What a page is built with, where nothing runs."""
    background = SimpleNamespace(run=lambda *_, **__: None, cancel=lambda _: None, awaited=set())
    return SimpleNamespace(
        state=state, background=background, deliver=lambda show: show(), on_end=lambda _: None
    )


def _settings() -> Iterator[dict[str, Any]]:
    """Controls of synthetic inputs."""
    for law, rho in itertools.product(LAWS, RHOS):
        for rounding in (
            ("nearest", "feedback") if law == "gaussian" or rho == 0.9 else ("nearest",)
        ):
            yield {"law": law, "rho": rho, "rounding": rounding}


def of_the_density() -> Iterator[tuple[dict, str]]:
    for setting in _settings():
        if setting["law"] != "gaussian" or setting["rounding"] == "feedback":
            if setting["law"] == "uniform" and setting["rho"] not in (0.0, 0.9):
                continue  # integrals: slow, and the words are the same
            page = DensityPage.__new__(DensityPage)
            page.state = DashboardState(**setting)
            for text in page.law_texts():
                yield setting, text


def of_given_matrices() -> Iterator[tuple[dict, str]]:
    page = DensityPage.__new__(DensityPage)
    for name, one in gallery().items():
        setting = {"source": GALLERY, "problem": name}
        page.state = DashboardState(**setting)
        for text in (*page.law_texts(), page.state.request().words, one.sentence, one.why):
            yield setting, text


def of_errors() -> Iterator[tuple[dict, str]]:
    state = DashboardState(linked=False)
    page, study = ErrorPage(state, lambda job: job()), ErrorStudyPage(_session(state))
    study._references = []
    study.view()
    base = [{"rounding": r, "source": s} for r in ("nearest", "feedback")
            for s in ("synthetic", ATTENTION)]  # fmt: skip
    for more, (k_x, k_y), k in itertools.product(base, LEVELS, INNER_DIMS):
        setting = {"k_x": k_x, "k_y": k_y, "inner_dim": k, "linked": False, **more}
        state.param.update(**setting)
        request = state.request()
        yield setting, request.words
        for errors in ERRORS:
            points = {
                name: Point(e, 0.9 * e, 1.1 * e, 5, np.empty(0), np.empty(0))
                for name, e in zip(request.designs, errors, strict=False)
            }
            page.show(Update(request, k_x, k_y, points))
            for text in (page.error_text.text, page.readout.text, page.status.text):
                yield setting, text
            if request.problem.source == ATTENTION:
                continue
            known = dict(zip(request.designs, errors, strict=False))
            study._show_exact(request, ({} if request.problem.fed_back else known, {}))
            yield setting, study.exact_text.text
        page._kept = request
        page._kept_points = {(n, k_x, k_y): p for n, p in points.items() if p.nmse}
        page.show(Update(request, k_x, k_y, points))
        yield setting, page.readout.text
        yield setting, page.status.text
        page._kept, page._kept_points = None, {}
        page.show(Update(request, k_x, k_y, {}))
        yield setting, page.error_text.text
        for error in (1e-9, 0.3):
            pictures = {"gaussian_compander": (np.eye(2), error), "bilinear": (np.eye(2), 1e-9)}
            study._show_images(pictures)
            for text in study.image_texts:
                yield setting, text.text
        for bias, takeover in ((0.0, np.inf), (1e-9, 3e8), (1e-3, 0.2), (1e-5, 800.4)):
            one = np.full(13, bias)
            split = Split(tuple(2**i for i in range(13)), one + 1e-4, one, one, takeover, 1 + one)
            study._kept_split = (request, {"lloyd_max": split}) if bias else None
            study._show_split(request, {"closed_form": split, "lloyd_max": split})
            yield setting, study.split_text.text
            yield setting, study.parts.text
            reasons = (
                Reason(2e-4, 1.003, 1.9e-4, 1e-4, 1e-4, 5e-5), Reason(1e-3, 1.0, 1e-3, 1e-3, 0.0),
                Reason(0.0, 1.0, 0.0, 0.0, 0.0, 0.0), Reason(0.1, 1.2, 1e-6, 1e-3, 0.099, 0.2),
                Reason(2e-4, 0.99, 1e-4), Reason(2e-4, 1.0, 2e-4, 1.999e-4, 1e-7, 2e-4),
            )  # fmt: skip
            for reason in reasons:
                yield setting, why(request, "bilinear", reason)


def of_codebooks() -> Iterator[tuple[dict, str]]:
    state = DashboardState()
    page = CodebooksPage(_session(state))
    for rho, k, design in itertools.product((-0.62, 0.0, 1.0), (2, 3, 16), DESIGN_LABELS):
        if design == "empirical":
            continue
        setting = {"rho": rho, "k_x": k}
        state.param.update(**setting)
        request = state.request()
        if k <= most_levels(request.problem, design):
            books = codebooks(request.problem, design, k, k)
            trace = np.stack([books[0].centers, 1.01 * books[0].centers])
            for path in (trace, None):
                page._show(Made(design, request, "x", books, path))
                for text in (page.sentence.text, page.trace_text.text, page.table.text):
                    yield {**setting, "design": design}, text


def of_other_pages() -> Iterator[tuple[dict, str]]:
    state = DashboardState()
    attention = AttentionPage(_session(state))
    for bits, names in itertools.product((2, 4, 8), (3, 1)):
        wins = stored_wins(bits)
        if wins is not None:
            attention._write_wins(wins)
            yield {"bits": bits}, attention.wins_text.text
            yield {"bits": bits}, attention.wins.text
        errors = dict(zip(list(DESIGN_LABELS)[:names], (1e-3, 2e-3, 3e-3), strict=False))
        found = {"exact": np.eye(4), "coded": np.eye(4), "design": "gaussian_compander",
                 "nmse": errors}  # fmt: skip
        for shown in (found, {**found, "nmse": {}}):
            attention._show_logits(state.request(), shown)
            yield {"designs": names}, attention.coded_text.text
            yield {"designs": names}, attention.logit_text.text
        for worse in (1.0, 3.0):
            rungs = ("INT absmax", "Gaussian compander", "closed form", "fitted", "balanced",
                     "fitted + feedback", "balanced + feedback", "allocated bits")  # fmt: skip
            found = {name: 1e-3 * worse**-i for i, name in enumerate(rungs)} | {"limit": 1e-7}
            attention.ladder.show(2, 6, bits, found)
            yield {"bits": bits}, attention.ladder.text.text
    limits = LimitsPage(_session(state))
    for rho in limits.rho.options.values():
        limits.rho.value = rho
        limits._draw()
        limits._drop()
        for text in (limits.rung_text, limits.density_text, limits.cell_text):
            yield {"rho": rho}, text.text
    speed = SpeedPage(_session(state))
    roofs = {"copy": 4e10, "int8": 2e12, "fp32": 2.5e11}
    for ratio, m in itertools.product((0.4, 1.0, 7.3), (1, 100, 4096)):
        timings = {
            "numpy fp32": Timing(0.02, 1.0, 5, 1e7),
            "from codes": Timing(0.02 / ratio, ratio, 5, 2e6, 0.03 / ratio),
        }
        speed._write(Comparison(m, 1024, 4096, 4, timings, roofs))
        for text in (speed.sentence, speed.table, speed.roof_text):
            yield {"ratio": ratio, "m": m}, text.text


SOURCES = (of_the_density, of_given_matrices, of_errors, of_codebooks, of_other_pages)
#: What no sentence has: numbers that are none, a sign of another kind, shares nobody can picture.
WRONG = {
    "no number": r"\b(?:nan|inf|True|False)\b|\bNone(?! of)\b|[{}]",
    "a hyphen for a minus": r"(?<![\w⁻])-\d",
    "a zero with a sign": r"[−-]0(?:\.0+)?(?![\d.])",
    "many percent": r"\b[2-9]\d\d\d? %|\b\d{4,} %",
    "one of many": r"\b1 (?:levels|trials|bits|heads|sequences|times)\b",
    "spaces": r" [,.;:)]|\( |  ",
    "stops": r"\.\.|,\.|\.,|;\.|:\.",
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_sentence_can_be_read(source) -> None:
    found = list(source())
    assert len(found) > 20
    for setting, html in found:
        parts = Parts(html)
        assert parts.open == [], (setting, html)
        for what, pattern in WRONG.items():
            wrong = re.search(pattern, parts.words)
            assert wrong is None, (what, wrong and wrong[0], setting, parts.words)


def test_what_is_said_of_peaks_is_so() -> None:
    for setting, html in of_the_density():
        words, rho = Parts(html).words, abs(setting["rho"])
        if "two peaks, at" in words:
            assert rho > CRITICAL_RHO or (setting["law"] == "uniform" and rho > 0), setting
            assert setting["rounding"] == "nearest"
        if "one peak, at u = 0." in words.lower() and setting["rounding"] == "nearest":
            assert rho <= CRITICAL_RHO, setting


if __name__ == "__main__":
    for each in SOURCES:
        for words in dict.fromkeys(Parts(html).words for _, html in each()):
            print(words)
