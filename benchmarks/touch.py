"""Hand to painted handle and exact error on the board of Codebooks, and tab to tab, in a browser.

    python benchmarks/touch.py [--moves 100]
    python benchmarks/touch.py --tabs [--rounds 3] [--store NAME]

"painted" ends after the frame that follows the pointer's event; "error" ends when the page holds
the exact error of the centres held. Medians and 95th percentiles in ms, by law and levels.

With --tabs every tab is visited `--rounds` times at 1280 x 800: ms from the click until the frame
in which the tab's picture is seen, its longest long task, and the sum of its long tasks (more than
50 ms in which nothing answers); and once on a page whose visitor's hand has rested, so that the
others are built. --store writes the figures under NAME into results/touch.md and
.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from _harness import machine  # noqa: E402

from tests.browser.chromium import FLAGS, MISSING, find  # noqa: E402
from tests.browser.conftest import served  # noqa: E402

_STORED = ROOT / "benchmarks" / "results" / "touch.json"
#: tab -> a picture of its page; the page that is loaded comes last.
TABS = {
    "Error": "exact",
    "Codebooks": "codebook",
    "Attention": "rho_heads",
    "Your data": "data_weight_picture",
    "Speed": "speed_bars",
    "Limits": "limit_rungs",
    "Density": "density",
}
#: Milliseconds after a click in which long tasks still count as its own.
_AFTER = 3500
LAWS = ("gaussian", "student_t", "laplace")
LEVELS = (4, 16)
_WATCH = """() => {
  const root = (within) => {
    for (const element of within.querySelectorAll("*")) {
      if (element.matches(".desk")) return element;
      const found = element.shadowRoot && root(element.shadowRoot);
      if (found) return found;
    }
  };
  const desk = root(document), at = window.at = {move: 0, painted: [], errors: []};
  window.addEventListener("pointermove", () => {
    const move = at.move = performance.now();
    at.waiting = true;
    requestAnimationFrame(() => {
      const {port1, port2} = new MessageChannel();
      port1.onmessage = () => at.painted.push(performance.now() - move);
      port2.postMessage(null);
    });
  }, {capture: true});
  desk.addEventListener("scored", () => {
    if (!at.waiting || !desk.dataset.nmse) return;
    at.waiting = false;
    at.errors.push(performance.now() - at.move);
  });
}"""

#: A hand that does not rest: no page is built before its visit.
_MOVING = "() => setInterval(() => document.dispatchEvent(new Event('pointermove')), 500)"
_VISIT = """([picture, after]) => new Promise((done) => {
  const start = performance.now(), tasks = [];
  let painted = null;
  const observer = new PerformanceObserver((list) => {
    for (const {startTime, duration} of list.getEntries())
      if (startTime + duration > start) tasks.push(duration);
  });
  observer.observe({type: "longtask"});
  const seen = () => {
    const model = Bokeh.documents[0].get_model_by_name(picture);
    const view = model && Bokeh.index.find_one(model);
    return view?._render_count > 0 && view.el.getClientRects().length > 0
      && view.el.checkVisibility({visibilityProperty: true});
  };
  const watch = () => {
    if (painted !== null) return;
    if (!seen()) return requestAnimationFrame(watch);
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => { painted ??= performance.now() - start; };
    port2.postMessage(null);
  };
  window.tab.click();
  requestAnimationFrame(watch);
  setTimeout(() => {
    observer.disconnect();
    done([painted, Math.max(0, ...tasks), tasks.reduce((sum, task) => sum + task, 0)]);
  }, after);
})"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--tabs", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store")
    args = parser.parse_args(argv)
    path = find()
    if path is None:
        print(MISSING)
        return 1
    with served("-m", "quantlab.cli") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        if args.tabs:
            found = turn(page, url, args.rounds)
            rested = turn(page, url, 1, rested=True)
            print("\n".join(_table(found, rested)))
            if args.store:
                _store(args.store, found, rested)
        else:
            _drags(page, url, args.moves)
        browser.close()
    return 0


def _drags(page: Page, url: str, moves: int) -> None:
    print(f"{'ms':24}{'painted':>9}{'p95':>7}{'error':>9}{'p95':>7}")
    for law in LAWS:
        for levels in LEVELS:
            found = drag(page, f"{url}/?page=codebooks&law={law}", levels, moves)
            columns = [v for times in found for v in np.percentile(times, [50, 95])]
            print(f"{f'{law}, K = {levels}':24}" + "{:9.1f}{:7.1f}{:9.1f}{:7.1f}".format(*columns))


def turn(page: Page, url: str, rounds: int, rested: bool = False) -> dict[str, list[list[float]]]:
    """Of each tab and visit: ms until it is painted, its longest long task, and their sum.

    Soon after the page is loaded, or `rested`: when the others are built.
    """
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_function("window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle")
    if rested:
        page.wait_for_function("Bokeh.documents[0].get_model_by_name('keys').tags.length === 0")
    else:
        page.evaluate(_MOVING)
    page.wait_for_timeout(2000)
    found: dict[str, list[list[float]]] = {name: [] for name in TABS}
    for _ in range(rounds):
        for name, picture in TABS.items():
            tab = page.get_by_role("tab", name=name, exact=True)
            tab.evaluate("(tab) => { window.tab = tab; }")
            found[name].append(page.evaluate(_VISIT, [picture, _AFTER]))
            page.wait_for_timeout(500)
    return found


def _table(
    found: dict[str, list[list[float]]], rested: dict[str, list[list[float]]] | None = None
) -> list[str]:
    kinds = ["first", "first, rested", "later"] if rested else ["first", "later"]
    columns = "".join(f" {kind}: painted | longest task | all |" for kind in kinds)
    lines = [f"| tab |{columns}", "|---|" + "---:|" * (3 * len(kinds))]
    for name, visits in found.items():
        times = [visits[0], *(rested[name] if rested else [])]
        times.append(np.max(np.array(visits[1:] or visits, dtype=float), axis=0))
        cells = [f"{v:.0f}" for v in np.array(times, dtype=float).ravel()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _store(
    name: str, found: dict[str, list[list[float]]], rested: dict[str, list[list[float]]]
) -> None:
    """The figures under a name beside those stored, and the page that shows all."""
    stored = json.loads(_STORED.read_text()) if _STORED.exists() else {}
    about = {**machine(["panel", "bokeh"]), "load of the last minute": f"{os.getloadavg()[0]:.0f}"}
    stored[name] = {"machine": about, "tabs": found, "rested": rested}
    _STORED.write_text(json.dumps(stored, indent=1) + "\n")
    parts = [
        "# Tab to tab in a browser\n",
        "`python benchmarks/touch.py --tabs`: ms from the click to the painted picture at "
        "1280 × 800, the longest task in which nothing else is answered, and the sum of all above "
        "50 ms within 3.5 s; the slowest of the later visits. Server and browser share the "
        "machine; nan: not within 3.5 s. Density is the page that was loaded. Rested: the hand has "
        "rested until the other pages were built.\n",
    ]
    for label, part in stored.items():
        table = _table(part["tabs"], part.get("rested"))
        parts += [f"## {label}\n", *table, "", f"{part['machine']}", ""]
    _STORED.with_suffix(".md").write_text("\n".join(parts))


def drag(page: Page, url: str, levels: int, moves: int) -> tuple[list[float], list[float]]:
    """Times of the last centre's moves: to the painted handle, and to the exact error."""
    centers = ",".join(f"{(2 * i + 1 - levels) * 2 / levels:g}" for i in range(levels))
    page.goto(f"{url}&own_x={centers}")
    page.wait_for_selector(".desk:not([data-distance=''])[data-distance]", timeout=120_000)
    page.wait_for_timeout(2000)  # the cards have their places
    box = page.get_by_role("slider", name=f"Centre {levels} of A").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(_WATCH)
    for step in range(moves):
        page.mouse.move(x + 20 + 15 * np.sin(0.3 * step), y)
        page.wait_for_timeout(150)
    page.mouse.up()
    return page.evaluate("[at.painted, at.errors]")


if __name__ == "__main__":
    sys.exit(main())
