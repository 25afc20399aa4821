"""Slider to painted picture, and to the measured error, in a real browser on the served dashboard.

    python benchmarks/latency.py [--moves 200]

"first plot" is the first drawing of the density, from an empty cache; "painted" ends with the last
drawing call on the density's canvas; "error" ends when the page holds the error measured for the
last move. Prints medians and 95th percentiles in ms.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import FLAGS, MISSING, find  # noqa: E402

_WATCH = """() => {
  const at = {move: 0, drawn: 0, text: 0, waiting: false};
  const view = Bokeh.index.query_one((v) => v.model.name === "density");
  const canvas = view.canvas_view.primary.canvas;
  for (const name of ["stroke", "fill", "clearRect"]) {
    const draw = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...args) {
      const result = draw.apply(this, args);
      if (this.canvas === canvas) at.drawn = performance.now();
      if (at.waiting && this.canvas === canvas) {
        at.waiting = false;
        const {move, resolve} = at;
        setTimeout(() => resolve(at.drawn - move));
      }
      return result;
    };
  }
  for (const kind of ["keydown", "pointermove"])
    window.addEventListener(kind, () => {
      at.move = performance.now();
      at.waiting = true;
      at.painted = new Promise((resolve) => {
        at.resolve = resolve;
        setTimeout(resolve, 1000, -1);
      });
    }, {capture: true});
  const readout = Bokeh.documents[0].get_model_by_name("readout");
  readout.properties.text.change.connect(() => { at.text = performance.now(); });
  window.at = at;
}"""


#: Remembers when the density was first drawn, in ms since the page was asked for.
_FIRST = """(() => {
  const stroke = CanvasRenderingContext2D.prototype.stroke;
  CanvasRenderingContext2D.prototype.stroke = function (...args) {
    const result = stroke.apply(this, args);
    const curve = window.Bokeh?.documents?.[0]?.get_model_by_name("curve");
    if (window.first === undefined && curve?.data.u.length) {
      const view = Bokeh.index.query_one((v) => v.model.name === "density");
      if (view?.canvas_view?.primary.canvas === this.canvas) window.first = performance.now();
    }
    return result;
  };
})()"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    moves = parser.parse_args(argv).moves
    path = find()
    if path is None:
        print(MISSING)
        return 1
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "quantlab.cli", "dashboard", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://localhost:{port}")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
            cold_loads(browser, f"http://localhost:{port}")
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            report(page, f"http://localhost:{port}", moves)
            browser.close()
    finally:
        server.terminate()
        server.wait(timeout=20)
    return 0


def cold_loads(browser: Browser, url: str, loads: int = 5) -> None:
    """Each in a context of its own, whose cache is empty; the server is warm."""
    first, files, received = [], [], []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.add_init_script(_FIRST)
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        sizes: list[int] = []
        devtools.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))  # noqa: B023
        frames: list[int] = []
        devtools.on(
            "Network.webSocketFrameReceived",
            lambda e: frames.append(len(e["response"]["payloadData"])),  # noqa: B023
        )
        page.goto(f"{url}/?rho=0")
        page.wait_for_function("window.first !== undefined", timeout=60_000)
        first.append(page.evaluate("window.first") / 1000)
        files.append(sum(sizes) / 1e6)
        received.append(sum(frames) / 1e6)
        context.close()
    print(
        f"cold load until the first plot: {np.median(first):.2f} s ({min(first):.2f} to "
        f"{max(first):.2f}); {np.median(files):.1f} MB of files, {np.median(received):.1f} MB by "
        "websocket"
    )


def report(page: Page, url: str, moves: int) -> None:
    start = time.perf_counter()
    page.goto(f"{url}/?rho=0")
    page.wait_for_function("window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('points').data.K.length >= 30")
    print(f"first load until every curve is measured: {time.perf_counter() - start:.1f} s")
    page.evaluate(_WATCH)
    slider = page.get_by_role("slider", name="Correlation")
    slider.focus()

    print(f"{'ms, median / 95th percentile':46}{'median':>8}{'p95':>8}")
    drags = [_drag(page, slider, step) for step in range(moves)]
    line("slider to painted density, dragged, measuring", drags)
    slider.focus()
    keys = [_key(page, step, pause=20) for step in range(moves)]
    line("slider to painted density, keys at 30 a second", keys)
    errors, in_between = [], []
    for step in range(moves // 8):
        page.wait_for_timeout(700)  # the last sweep has begun: it must give way
        before = page.evaluate("at.text")
        in_between.append(_key(page, step, pause=0))
        page.wait_for_function("(before) => at.text > before", arg=before, polling=5)
        errors.append(page.evaluate("at.text - at.move"))
    line("slider to measured error, 128 x 256 x 128, 4 designs", errors)
    line("slider to painted density, sweep running", in_between)


def _drag(page: Page, slider: object, step: int) -> float:
    track = slider.locator("xpath=ancestor::*[contains(@class, 'MuiSlider-root')]").bounding_box()
    y = track["y"] + track["height"] / 2
    x = track["x"] + track["width"] * (0.5 + 0.45 * np.sin(0.05 * step))
    if step == 0:
        page.mouse.move(x, y)
        page.mouse.down()
    page.mouse.move(x + 2, y)
    latency = page.evaluate("at.painted")
    page.wait_for_timeout(60)
    return latency


def _key(page: Page, step: int, pause: int) -> float:
    page.keyboard.press("ArrowRight" if step % 80 < 40 else "ArrowLeft")
    latency = page.evaluate("at.painted")
    page.wait_for_timeout(pause)
    return latency


def line(what: str, milliseconds: list[float]) -> None:
    shown = [value for value in milliseconds if value > 0]  # a drag within one step draws nothing
    median, tail = np.percentile(shown, [50, 95])
    print(f"{what:52}{median:8.1f}{tail:8.1f}   ({len(shown)} moves)")


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urlopen(url, timeout=30).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing is served at {url}")


if __name__ == "__main__":
    sys.exit(main())
