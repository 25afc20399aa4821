"""The dashboard without a browser: its state, its pool of threads, its measuring service."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from bokeh.server.connection import ServerConnection
from numpy.testing import assert_allclose, assert_array_equal
from tornado.websocket import WebSocketClosedError

import quantlab as ql
import quantlab.dashboard.work.measurements as service
from quantlab.dashboard.server.serving import not_a_closed_tab
from quantlab.dashboard.state import (
    ATTENTION,
    CONTROLS,
    SYNTHETIC,
    DashboardState,
    Problem,
    Request,
)
from quantlab.dashboard.work.background import server_pool
from quantlab.dashboard.work.measurements import Measurements, Point, Step, Subscription, Update
from quantlab.dashboard.work.pool import Pool
from quantlab.data import load_attention

PROBLEM = Problem(SYNTHETIC, 0.5, 8, 0)
REQUEST = Request(PROBLEM, 4, 4, ("closed_form",))


@pytest.fixture
def pool() -> Iterator[Pool]:
    with_one = Pool(workers=1)
    yield with_one
    with_one.close()


@pytest.fixture
def measurements() -> Iterator[Measurements]:
    made = Measurements(workers=1)
    yield made
    made.pool.close()


def take(updates: queue.Queue[Update]) -> Update:
    return updates.get(timeout=20)


def test_levels_of_b_follow_those_of_a_while_linked() -> None:
    state = DashboardState()
    state.k_x = 64
    assert state.k_y == 64
    state.linked = False
    state.k_x = 8
    assert state.k_y == 64
    state.linked = True
    assert state.k_y == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [("rho", 1.01), ("rho", float("nan")), ("k_x", 1), ("k_y", 257), ("inner_dim", 3),
     ("source", "file"), ("designs", ["magic"]), ("seed", -1), ("layer", 6), ("head", 12)],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(name: str, value: object) -> None:
    state = DashboardState()
    before = getattr(state, name)
    with pytest.raises(ValueError, match=name):
        setattr(state, name, value)
    assert getattr(state, name) == before


def test_own_centres_count_k_and_keep_their_spread_where_k_moves() -> None:
    state = DashboardState(own_x=[-2.0, -0.5, 0.5, 2.0])
    state.own_x = [-2.0, -0.5, 0.5, 2.5]
    assert (state.k_x, state.k_y, state.linked) == (4, 4, True)
    link = state.query()
    state.k_x = 7
    assert len(state.own_x) == 7
    assert_allclose(np.array(state.own_x)[[0, -1]], [-2.3214, 2.9286])
    assert state.own_y == []
    state.own_y = [-1.0, 0.0, 1.25]
    assert (state.k_x, state.k_y, state.linked) == (7, 3, False)
    state.k_y = 2
    assert_allclose(state.own_y, [-0.75, 0.9375])
    with pytest.raises(ValueError, match="increasing"):
        state.own_x = [1.0, 0.0]
    state.k_x = 64
    assert (state.own_x, state.own_y) == ([], [])
    refused = state.read_query(dict(pair.split("=") for pair in link[1:].split("&")))
    assert (refused, state.own_x, state.k_x) == ([], [-2.0, -0.5, 0.5, 2.5], 4)
    for bad in ("1", "1,x", "2,1", "1,nan", "1,1000"):
        assert "2 to 32 increasing centres" in state.read_query({"own_y": bad})[0]


def test_a_head_brings_its_rho_and_gives_back_the_users() -> None:
    state = DashboardState(rho=0.3)
    state.source = ATTENTION
    estimate = ql.EmpiricalPair(*load_attention().head(2, 6).calibration_pair()).gaussian().rho
    assert_allclose(state.rho, estimate, atol=1e-4)  # rounded to 4 digits
    state.head = 0
    assert abs(state.rho - estimate) > 1e-3
    problem = state.request().problem
    assert (problem.layer, problem.head, problem.inner_dim) == (2, 0, 32)
    state.source = SYNTHETIC
    assert state.rho == 0.3


def test_designs_that_need_data_are_left_out_of_synthetic_requests() -> None:
    state = DashboardState(designs=["empirical", "closed_form", "gaussian_compander"])
    assert state.request().designs == ("gaussian_compander", "closed_form")
    state.source = ATTENTION
    assert state.request().designs == ("gaussian_compander", "closed_form", "empirical")


def test_equal_settings_make_equal_requests() -> None:
    first, second = DashboardState(rho=0.1 + 0.2), DashboardState(rho=0.3)
    assert first.request() == second.request()
    assert hash(first.request()) == hash(second.request())


def test_a_link_is_read_value_by_value() -> None:
    state = DashboardState()
    query = {"rho": "-0.25", "k_x": "7", "linked": "0", "k_y": "33", "designs": "lloyd_max"}
    assert state.read_query(query) == []
    assert (state.rho, state.k_x, state.k_y, state.linked) == (-0.25, 7, 33, False)
    assert state.designs == ["lloyd_max"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("rho", "nan", "a number from -1 to 1"), ("rho", "1e9", "a number from -1 to 1"),
     ("rho", "", "a number"), ("k_x", "16.5", "an integer from 2 to 256"),
     ("k_x", "1", "an integer from 2 to 256"), ("k_y", "9" * 5000, "an integer from 2 to 256"),
     ("inner_dim", "100", "one of 1, 2, 4"), ("linked", "yes", "0 or 1"),
     ("designs", "closed_form,magic", "names of "),
     ("source", "../etc", "one of synthetic, attention")],
)  # fmt: skip
def test_a_bad_value_in_a_link_is_told_and_the_others_are_taken(
    name: str, text: str, expected: str
) -> None:
    state = DashboardState()
    default = getattr(state, name)
    refused = state.read_query({name: text, "seed": "5"})
    assert len(refused) == 1
    assert f"expected {expected}" in refused[0]
    assert len(refused[0]) < 300
    assert state.seed == 5
    assert getattr(state, name) == default


def test_reset() -> None:
    state = DashboardState(rho=0.1, k_x=4, linked=False, k_y=9, seed=7, designs=[])
    state.reset()
    assert state.request() == DashboardState().request()


def test_a_reset_links_the_levels_where_those_of_a_stay() -> None:
    state = DashboardState(k_x=2)
    state.reset(k_x=2)
    assert (state.k_x, state.k_y) == (2, 2)


def test_a_link_that_one_comes_back_to_is_the_whole_state_but_for_the_theme() -> None:
    state = DashboardState(
        rho=0.1, k_x=2, linked=False, k_y=9, theme="dark", tour=3, predict=True, hide=["seed"],
        page="error", designs=[],
    )  # fmt: skip
    state.revisit({"k_x": "2", "theme": "light", "seed": "x"})
    assert state.query() == "?k_x=2&theme=dark"
    assert (state.k_y, state.designs) == (2, DashboardState().designs)
    assert state.notice.startswith("seed = 'x' is not used")


def test_urgent_jobs_run_first_and_none_before_it_is_due(pool: Pool) -> None:
    gate, done = threading.Event(), queue.Queue()
    pool.submit(gate.wait)
    pool.submit(lambda: done.put("later"), priority=1)
    pool.submit(lambda: done.put("rested"), priority=0, delay=0.3)
    pool.submit(lambda: done.put("now"), priority=0)
    start = time.monotonic()
    gate.set()
    assert [done.get(timeout=5) for _ in range(3)] == ["now", "later", "rested"]
    assert time.monotonic() - start > 0.25


@pytest.mark.parametrize(("cause", "below"), [("control", 0), ("file", 10), ("button", 10)])
def test_what_takes_long_yields_its_processor_to_moving_controls(cause: str, below: int) -> None:
    found = queue.Queue()
    server_pool(cause).submit(lambda: found.put(os.nice(0)))
    below = below if sys.platform == "linux" else 0  # a thread has a priority of its own there
    assert found.get(timeout=5) == min(19, os.nice(0) + below)


def test_a_failing_job_leaves_its_thread_alive(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    done = queue.Queue()
    pool.submit(lambda: 1 / 0)
    pool.submit(lambda: done.put("next"))
    assert done.get(timeout=5) == "next"
    assert "a job failed" in caplog.text


def test_present_levels_come_first_then_every_k(measurements: Measurements) -> None:
    updates: queue.Queue[Update] = queue.Queue()
    Subscription(measurements, updates.put).request(REQUEST)
    first, better = take(updates), take(updates)
    assert first.present
    assert better.present
    assert first.points["closed_form"].trials < better.points["closed_form"].trials
    others = [take(updates) for _ in service.SWEEP]
    assert sorted(update.k_x for update in others) == list(service.SWEEP)


def test_a_point_is_the_measured_error_of_the_design(measurements: Measurements) -> None:
    point = measurements.points(REQUEST, Step(4, 4, 6))["closed_form"]
    pair = ql.GaussianPair(0.5)
    books = ql.design_companding(pair, 4)
    direct = ql.measure(pair, *books, inner_dim=8, trials=6)
    assert (point.nmse, point.low, point.high) == (direct.nmse, direct.low, direct.high)
    assert_array_equal(point.centers_x, books[0].centers)


def test_the_latest_setting_wins(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, gate = threading.Event(), threading.Event()
    measured: list[int] = []

    def slow(_: Request, step: Step) -> dict[str, Point]:
        measured.append(step.k_x)
        started.set()
        gate.wait(10)
        return {}

    monkeypatch.setattr(measurements, "points", slow)
    updates: queue.Queue[Update] = queue.Queue()
    session = Subscription(measurements, updates.put)
    session.request(REQUEST)
    assert started.wait(5)
    for k in (5, 6, 7):
        session.request(replace(REQUEST, k_x=k, k_y=k))
    gate.set()
    assert take(updates).k_x == 7
    assert measured[:2] == [4, 7], "5 and 6 were overtaken, and 4 must not be delivered"
    session.close()


def test_moves_in_quick_succession_measure_once(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    monkeypatch.setattr(measurements, "points", lambda _, step: measured.append(step.k_x) or {})
    updates: queue.Queue[Update] = queue.Queue()
    session = Subscription(measurements, updates.put)
    for k in range(10, 20):
        session.request(replace(REQUEST, k_x=k, k_y=k), delay=0.1)
    assert take(updates).k_x == 19
    assert measured[0] == 19
    session.close()


def test_curves_wait_longer_while_a_class_moves(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[int, float]] = []
    monkeypatch.setattr(measurements, "points", lambda *_: {})
    sessions = [Subscription(measurements, lambda _: None) for _ in range(40)]
    sessions[0].request(REQUEST)
    assert measurements.crowding() == 1
    for session in sessions:
        session.request(REQUEST, delay=60)
    assert measurements.crowding() == 10

    def submit(job: Callable[[], object], priority: int = 0, delay: float = 0.0) -> None:
        waits.append((priority, delay))
        if len(waits) == 1:
            job()

    monkeypatch.setattr(measurements.pool, "submit", submit)
    sessions[0].request(REQUEST)
    (first, at_once), (then, later) = waits
    assert (first, at_once) == (0, 0.0), "the present error waits for nobody"
    assert then > 0
    assert_allclose(later, 10 * 0.25)
    monkeypatch.setattr(service, "_RECENT", 0.0)
    assert measurements.crowding() == 1, "they have come to rest"


def test_codebooks_are_made_ahead_for_every_stop_of_the_slider(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: queue.Queue[tuple[float, str]] = queue.Queue()
    monkeypatch.setattr(service, "_PAUSE", 0.0)
    monkeypatch.setattr(
        service, "codebooks", lambda problem, design, *_: made.put((problem.rho, design))
    )
    measurements.prepare(replace(REQUEST, designs=("lloyd_max", "closed_form")))
    found = [made.get(timeout=10) for _ in range(402)]
    stops = {round(-1 + 0.01 * i, 2) for i in range(201)}
    for design in ("lloyd_max", "closed_form"):
        assert {rho for rho, name in found if name == design} == stops


def test_sessions_share_what_was_measured(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measurements.points(REQUEST, Step(4, 4, 4))
    both = replace(REQUEST, designs=("gaussian_compander", "closed_form"))
    asked = []
    real = service.measure_points

    def spy(problem: Problem, k_x: int, k_y: int, designs: tuple[str, ...], trials: int):  # type: ignore[no-untyped-def]
        if problem == PROBLEM:  # the server's own service may still measure for another test
            asked.append((designs, trials))
        return real(problem, k_x, k_y, designs, trials)

    monkeypatch.setattr(service, "measure_points", spy)
    again = measurements.points(both, Step(4, 4, 4))
    assert asked == [(("gaussian_compander",), 4)]
    assert again["closed_form"] is first["closed_form"]
    measurements.points(REQUEST, Step(4, 4, 8))
    assert asked[-1] == (("closed_form",), 8), "more trials are measured anew"


def test_a_failed_measurement_is_told(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> dict[str, Point]:
        raise ValueError("no such design")

    monkeypatch.setattr(measurements, "points", fail)
    updates: queue.Queue[Update] = queue.Queue()
    session = Subscription(measurements, updates.put)
    session.request(REQUEST)
    assert take(updates).error == "no such design"
    session.close()


def test_a_closed_session_gets_nothing(measurements: Measurements) -> None:
    updates: queue.Queue[Update] = queue.Queue()
    session = Subscription(measurements, updates.put)
    session.request(REQUEST, delay=0.05)
    session.close()
    done = threading.Event()
    measurements.pool.submit(done.set, priority=9, delay=0.1)
    assert done.wait(5)
    assert updates.empty()


def test_held_out_error_is_that_of_the_logits(measurements: Measurements) -> None:
    state = DashboardState(source=ATTENTION, designs=["empirical", "closed_form"])
    points = measurements.points(state.request(), Step(16, 16, 3))
    head = load_attention().head(2, 6)
    books = ql.design_empirical(head.calibration_pair(), 16, smoothing="auto")
    lost = total = 0.0
    for a, b in head.held_out.pairs():
        coded = books[0].quantize(a) @ books[1].quantize(b)
        lost += np.sum((a.astype(float) @ b - coded) ** 2)
        total += np.sum((a.astype(float) @ b) ** 2)
    # float32 rounds logits to 1e-7 of an error of 1e-2
    assert_allclose(points["empirical"].nmse, lost / total, rtol=1e-4)
    assert points["empirical"].trials == 6
    assert points["empirical"].low < points["empirical"].nmse < points["empirical"].high


def test_a_tab_closed_in_the_middle_of_a_message_is_not_logged(caplog) -> None:
    logger = logging.getLogger("quantlab-test")
    logger.addFilter(not_a_closed_tab)
    left = ServerConnection(None, None, None, Mock())
    left.detach_session()
    with pytest.raises(AssertionError) as of_bokeh:
        _ = left.session
    for error in (
        WebSocketClosedError(), of_bokeh.value, RuntimeError("mine"), AssertionError("mine too"),
    ):  # fmt: skip
        logger.error("Task exception was never retrieved", exc_info=error)
    logger.error("no exception at all")
    logged = [record.exc_info and str(record.exc_info[1]) for record in caplog.records]
    assert logged == ["mine", "mine too", None]


def test_the_page_opens_with_the_paper_s_example() -> None:
    state = DashboardState()
    opens = {name: getattr(state, name) for name in CONTROLS}
    assert opens == {
        "page": "density", "source": SYNTHETIC, "law": "gaussian", "nu": 5.0, "rho": 0.8,
        "k_x": 16, "k_y": 16, "linked": True, "inner_dim": 256, "layer": 2, "head": 6,
        "problem": "photo",
        "operand": "x", "gain": False, "rounding": "nearest", "seed": 0, "theme": "light",
        "own_x": [], "own_y": [], "beat": False, "keep": "",
        "tour": 0,
        "predict": False, "hide": [],
        "designs": ["gaussian_compander", "lloyd_max", "closed_form", "bilinear", "empirical"],
    }  # fmt: skip
    assert DashboardState.param.operand.label == "Operand shown"


def test_after_the_present_levels_curves_wait_for_no_delay_of_their_own(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def submit(job: Callable[[], object], priority: int = 0, delay: float = 0.0) -> None:
        waits.append(delay)
        job()

    monkeypatch.setattr(measurements, "points", lambda *_: {})
    monkeypatch.setattr(measurements.pool, "submit", submit)
    Subscription(measurements, lambda _: None).request(REQUEST, delay=0.5)
    assert waits == [0.5, 0.25, *len(service.SWEEP) * [0.0]]


def test_what_the_first_visitors_ask_for_is_measured_ahead(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: queue.Queue[tuple[Request, Step]] = queue.Queue()
    monkeypatch.setattr(measurements, "points", lambda *what: asked.put(what))
    requests = [REQUEST, replace(REQUEST, k_x=8, k_y=8)]
    then = threading.Event()
    measurements.warm(requests, lambda: (asked.qsize() == 2) and then.set())
    assert then.wait(timeout=5), "it is told before the end"
    found = [asked.get(timeout=5) for _ in requests]
    assert [request for request, _ in found] == requests
    assert [(step.k_x, step.k_y) for _, step in found] == [(4, 4), (8, 8)]
