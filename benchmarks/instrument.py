"""The instrument in a real browser, opened from disk: first picture, slider, measured error.

    python benchmarks/instrument.py [--moves 100] [--quick]

"first picture" ends when the density has been painted, counted from the request of the page, each
time in a fresh context; "painted" runs from the hand's event to the end of the frame that shows the
new density, with the worker measuring; "first error" ends when the table holds the error measured
for the new setting. Intervals are the widest of the four codebooks', relative to their errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from _harness import machine  # noqa: E402

from tests.browser.chromium import FLAGS, MISSING, find  # noqa: E402
from website.build import instrument  # noqa: E402

#: Runs in each page: when the frame that shows a density ended, when an error came, how wide it is.
_WATCH = """(() => {
  const at = (window.at = {first: 0, move: 0, painted: 0, error: -1, precise: -1, width: 1});
  const afterPaint = (then) => requestAnimationFrame(() => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => { port1.close(); then(performance.now()); };
    port2.postMessage(null);
  });
  const begin = () => {
    const path = document.querySelector("#density .optimal");
    if (!path?.getAttribute("d")) return requestAnimationFrame(begin);
    afterPaint((time) => { at.first = time; });
    new MutationObserver(() => afterPaint((time) => { at.painted = time; }))
      .observe(path, {attributes: true, attributeFilter: ["d"]});
    new MutationObserver(() => {
      const rows = Object.values(shown.rows);
      if (rows.length === 0) return;
      if (at.error < at.move) at.error = performance.now();
      at.width = Math.max(...rows.map(({half, value}) => half / value));
      if (at.precise < at.move && at.width < 0.1) at.precise = performance.now();
    }).observe(document.getElementById("rows"), {childList: true});
  };
  document.addEventListener("DOMContentLoaded", begin);
  for (const kind of ["keydown", "pointermove"])
    addEventListener(kind, (event) => { at.move = event.timeStamp; }, {capture: true});
})()"""
_SETTINGS = tuple((rho, seed) for rho in (0.0, 0.3, 0.58, 0.8, 0.95) for seed in (1, 2))


def first_pictures(browser: Browser, url: str, loads: int) -> list[float]:
    """ms from asking for the page to its painted density, each in a context of its own."""
    found = []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.add_init_script(_WATCH)
        page.goto(url)
        page.wait_for_function("() => at.first > 0")
        found.append(page.evaluate("at.first"))
        context.close()
    return found


def drags(page: Page, moves: int) -> list[float]:
    """ms from the pointer's event to the end of the frame with the new density."""
    box = page.get_by_role("slider", name="Correlation").bounding_box()
    assert box is not None
    y, found = box["y"] + box["height"] / 2, []
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    for step in range(moves):
        before = page.evaluate("at.painted")
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.4 * np.sin(0.1 * step)), y)
        page.wait_for_timeout(60)
        if (
            page.evaluate("at.painted") > before
        ):  # a move within one stop of the slider draws nothing
            found.append(page.evaluate("at.painted - at.move"))
    page.mouse.up()
    return found


def keys(page: Page, moves: int) -> tuple[list[float], list[float]]:
    """ms to the painted density, and to the first measured error, each of a new correlation."""
    slider = page.get_by_role("slider", name="Correlation")
    painted, errors = [], []
    slider.focus()
    for step in range(moves):
        page.wait_for_timeout(300)  # the last setting is being measured: it must give way
        page.keyboard.press("ArrowRight" if step % 80 < 40 else "ArrowLeft")
        page.wait_for_function("() => at.error > at.move && at.painted > at.move", polling=5)
        painted.append(page.evaluate("at.painted - at.move"))
        errors.append(page.evaluate("at.error - at.move"))
    return painted, errors


def intervals(page: Page, url: str) -> list[dict[str, float]]:
    """ms until every interval is within 10 % of its error, and the widest after 5 s."""
    found = []
    for rho, seed in _SETTINGS:
        page.goto("about:blank")
        page.goto(f"{url}#rho={rho}&seed={seed}")
        page.wait_for_function("() => at.first > 0")
        begun = page.evaluate("at.first")
        page.wait_for_function("() => at.precise > 0", timeout=60_000)
        page.wait_for_function(
            "(begun) => shown.done || performance.now() > begun + 5000", arg=begun, timeout=60_000
        )
        precise, width, draws = page.evaluate("[at.precise, at.width, shown.draws]")
        found.append({
            "rho": rho, "seed": seed, "ms_to_10_percent": precise - begun,
            "width_after_5_s": width, "draws": draws,
        })  # fmt: skip
    return found


def measure(chromium: str, url: str, moves: int) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        first = first_pictures(browser, url, max(5, moves // 5))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(_WATCH)
        page.goto(f"{url}#rho=0.3")
        page.wait_for_function("() => at.error > 0")
        dragged = drags(page, moves)
        painted, errors = keys(page, moves)
        widths = intervals(page, url)
        version = browser.version
        browser.close()
    return {
        "chromium": version, "intervals": widths,
        "ms": {
            "first picture, from disk": first,
            "slider to painted density, dragged": dragged,
            "slider to painted density, a key": painted,
            "slider to first measured error": errors,
        },
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="20 moves; prints, writes nothing")
    options = parser.parse_args(argv)
    chromium = find()
    if chromium is None:
        print(MISSING)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instrument.html"
        file.write_text(instrument())
        size = file.stat().st_size
        found = measure(chromium, file.as_uri(), 20 if options.quick else options.moves)
    text = report(found, size)
    print(text)
    if not options.quick:
        results = ROOT / "benchmarks" / "results"
        (results / "instrument.md").write_text(text)
        settings = machine(["playwright"]) | {"chromium": found.pop("chromium")}
        record = {"settings": settings, "bytes": size, **found}
        (results / "instrument.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


def report(found: dict[str, Any], size: int) -> str:
    lines = [
        "# The instrument in the browser", "",
        f"`python benchmarks/instrument.py`: one file of {size / 1e3:.0f} kB, opened from disk in "
        "Chromium without a GPU; K = 16, four codebooks at 128 × 256 × 128, the worker measuring "
        "all the while.", "",
        "| ms | median | 95th percentile | of |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for name, values in found["ms"].items():
        median, tail = np.percentile(values, [50, 95])
        lines.append(f"| {name} | {median:.1f} | {tail:.1f} | {len(values)} |")
    lines += [
        "", "Until the widest of the four 95 % intervals is within ±10 % of its error, from the "
        "first picture, and its width 5 s after it (or where the page stops, at ±0.3 %):", "",
        "| ρ | seed | ms to ±10 % | after 5 s | pairs of matrices |", "|---:|---:|---:|---:|---:|",
        *(
            f"| {row['rho']} | {row['seed']} | {row['ms_to_10_percent']:.0f} | "
            f"±{100 * row['width_after_5_s']:.2f} % | {row['draws']} |"
            for row in found["intervals"]
        ),
        "", f"{machine(['playwright']) | {'chromium': found['chromium']}}", "",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
