"""A session without a browser: its tabs, its laws, and its slow work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from weakref import WeakSet

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.plotting import figure
from numpy.testing import assert_allclose
from panel.io.state import set_curdoc
from panel.links import Callback

import quantlab as ql
from quantlab.dashboard import session as sessions
from quantlab.dashboard.app import _document
from quantlab.dashboard.pages.density import FORK_REACH, DensityPage, fork, ridge
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import LAWS, PAGES, STUDENT_T, DashboardState
from quantlab.dashboard.work.background import Background, Task
from quantlab.dashboard.work.pool import Pool
from quantlab.notebook import show_page


@pytest.fixture
def background() -> Iterator[Background]:
    pool = Pool(workers=1)
    made = Background(lambda show: show(), pool)
    yield made
    made.close()
    pool.close()


@pytest.mark.parametrize("law", [law for law in LAWS if law != "gaussian"])
@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_a_law_without_a_formula_in_the_browser_is_drawn_by_the_server(law, rho) -> None:
    page = DensityPage(DashboardState(law=law, rho=rho, nu=6.0))
    pair = page.state.request().problem.law()
    curves = page.law.data
    optimal = ql.PointDensity.optimal(pair)
    # sigma is 1: u is x, and the drawn values are the density's own
    assert_allclose(curves["optimal"], optimal(curves["u"]), rtol=1e-12)
    assert_allclose(curves["plain"], ql.PointDensity.mse(pair)(curves["u"]), rtol=1e-12)
    two = rho > ql.CRITICAL_RHO or law == "uniform"
    assert len(page.law_peaks.data["u"]) == (2 if two else 1)
    assert ("two peaks" if two else "one peak") in page.law_texts()[0]


def test_a_gaussian_pair_is_left_to_the_browser() -> None:
    page = DensityPage(DashboardState(rho=0.9))
    assert np.isnan(page.law.data["optimal"]).all()
    assert page.law_texts() == []
    assert page.law_peaks.data["u"] == ()


def test_every_elliptical_fork_opens_at_the_critical_correlation() -> None:
    for family in ("gaussian", STUDENT_T, "laplace"):
        lines = fork(family, 5.0)
        opened = [
            np.abs(rho)[np.abs(u) > 0.02].min()
            for rho, u in zip(lines["rho"], lines["u"], strict=True)
            if np.any(u)
        ]
        # u = 0.02 is reached 0.003 past the transition at the latest (Laplace: linearly)
        assert_allclose(opened, ql.CRITICAL_RHO, atol=5e-3)


def test_the_heat_map_is_brightest_at_the_peaks() -> None:
    shares = ridge("gaussian", 0.0)["share"][0]
    u = np.linspace(-FORK_REACH, FORK_REACH, shares.shape[0])
    for column, rho in enumerate(np.linspace(-1, 1, shares.shape[1])):
        brightest = np.abs(u[shares[:, column] == 255])
        # the peak is flat: a byte's share of its height leaves some room
        assert np.min(np.abs(brightest - ql.gaussian_peaks(rho)[-1])) < 0.2


@pytest.mark.parametrize("name", PAGES)
def test_a_tab_is_built_on_its_first_visit_and_follows_the_controls(name: str) -> None:
    session = Session({"page": name})
    assert list(session._pages) == [name]
    session.state.rho = 0.4
    session.state.page = "density"
    assert set(session._pages) == {name, "density"}
    session.close()


def test_the_latest_run_of_a_name_wins(background: Background) -> None:
    begun, go_on = threading.Event(), threading.Event()
    shown: list[str] = []
    done = threading.Event()

    def slow(task: Task) -> str:
        begun.set()
        assert go_on.wait(20)
        return "first" if not task.cancelled else "told to stop"

    def show(value: str) -> None:
        shown.append(value)
        done.set()

    background.run("work", slow, show, cause="button")
    assert begun.wait(20)
    background.run("work", lambda task: "second", show, cause="button")
    go_on.set()
    assert done.wait(20)
    assert shown == ["second"]


@pytest.mark.parametrize("error", [ValueError("expected a matrix"), KeyError("lost")])
def test_an_error_becomes_a_sentence(background: Background, error: Exception, caplog) -> None:
    told: list[str] = []
    done = threading.Event()

    def job(task: Task) -> None:
        task.progress("half way")
        raise error

    def failed(sentence: str) -> None:
        told.append(sentence)
        done.set()

    background.run("work", job, told.append, failed, cause="button")
    assert done.wait(20)
    assert told == ["half way", str(error)]
    # what is not the input's fault is for the log too
    assert bool(caplog.records) == isinstance(error, KeyError)


def test_nothing_runs_after_the_end(background: Background) -> None:
    ran = threading.Event()
    background.close()
    job: Callable[[Task], None] = lambda task: ran.set()  # noqa: E731
    background.run("work", job, print, cause="button")
    assert not ran.wait(0.3)


def test_what_follows_a_control_does_not_wait_for_what_a_button_asked() -> None:
    busy, shown = threading.Event(), threading.Event()
    other, own = Background(lambda show: show()), Background(lambda show: show())
    other.run("trials", lambda task: busy.wait(20), print, cause="button")
    own.run("books", lambda task: "books", lambda _: shown.set())
    assert shown.wait(10)
    busy.set()
    other.close()
    own.close()


def test_a_page_for_a_notebook_takes_controls() -> None:
    assert show_page("codebooks", rho=0.123456, k_x=8, designs=["bilinear"]) is not None
    session = Session(page="speed", k_x=8)
    assert (session.state.page, session.state.k_y) == ("speed", 8)
    session.close()
    for controls, says in (
        ({"page": "errors"}, "page: expected one of density, error"),
        ({"rho": float("nan")}, "rho: expected a number from -1 to 1; got nan"),
        ({"k_x": "8"}, "k_x: expected a value like 16; got '8'"),
        ({"designs": ["best"]}, "designs: expected names of gaussian_compander"),
        ({"colour": "red"}, "colour is no control; expected one of page, source"),
    ):
        with pytest.raises(ValueError, match=says):
            show_page(**controls)


def test_nothing_is_shown_in_a_session_that_has_ended() -> None:
    shown: list[str] = []

    async def main() -> None:
        with set_curdoc(Document()):
            session = Session()
        session.deliver(lambda: shown.append("open"))
        await asyncio.sleep(0.05)
        session.deliver(lambda: shown.append("on its way when it ended"))
        session.close()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert shown == ["open"]


def test_a_closed_session_leaves_no_callback_behind() -> None:
    before = len(Callback.registry)
    session = Session({"page": "codebooks"})
    session.page()
    assert len(Callback.registry) > before
    session.close()
    assert len(Callback.registry) == before


def test_a_page_is_sent_without_what_nobody_has_asked_for() -> None:
    session = Session()
    page = session.page()

    def labels() -> set[str]:
        return {getattr(part, "label", "") for part in page.select()}

    later = {"Next", "Copy link", "Which design loses least?"}
    assert not labels() & later
    session.state.param.update(tour=1, predict=True)
    session.toolbar.share.clicks += 1
    assert later <= labels()
    again: list[object] = []
    for part in (session.toolbar.tour, session._pages["density"].errors.guess.card):
        part.param.watch(again.append, "objects")
    session.state.rho = 0.31
    assert again == [], "a move builds nothing anew"
    for plot in page.get_root().select({"type": figure}):
        for renderer in plot.renderers:
            assert renderer.muted_glyph == renderer.nonselection_glyph == "auto"
    session.close()


def test_a_page_does_not_follow_the_work_of_others() -> None:
    before = list(pn.state.param.watchers["busy"]["value"])
    page = _document()
    assert list(pn.state.param.watchers["busy"]["value"]) == before
    assert page.busy is False


def test_pages_are_built_before_they_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_VISITORS", WeakSet())
    session = Session()
    session._react()
    assert session.keys.tags == list(PAGES)[1:]
    session._pressed("rest:error")
    session._pressed("rest:nothing")
    session._pressed("near:speed")
    classes = {name: slot.css_classes for name, slot in session._slots.items()}
    assert classes["density"] == ["density"]
    assert classes["error"] == ["error", "away"], "one is laid out at a time"
    assert classes["speed"] == ["speed", "ahead"]
    assert session.state.page == "density"
    assert session.keys.tags == ["codebooks", "attention", "data", "limits"]
    built = session._pages["speed"]
    session.tabs.active = list(PAGES).index("speed")
    assert session.state.page == "speed"
    assert session._slots["speed"].css_classes == ["speed"]
    assert session._pages["speed"] is built
    assert len(session._slots["speed"]) == 1

    others = [Session() for _ in range(sessions._FEW)]
    for other in others:
        other._pressed("near:error")
    session._pressed("rest:limits")
    assert "limits" in session.keys.tags, "many visitors: what their hands are near, no more"
    session._pressed("near:limits")
    assert "limits" not in session.keys.tags
    others.pop().close()
    session._pressed("rest:data")
    assert "data" not in session.keys.tags
    for other in (session, *others):
        other.close()
    assert not sessions._VISITORS
