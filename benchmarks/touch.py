"""Hand to painted handle and to the exact error, on the board of Codebooks, in a real browser.

    python benchmarks/touch.py [--moves 100]

"painted" ends after the frame that follows the pointer's event; "error" ends when the page holds
the exact error of the centres held. Medians and 95th percentiles in ms, by law and levels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import FLAGS, MISSING, find  # noqa: E402
from tests.browser.conftest import served  # noqa: E402

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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=100)
    moves = parser.parse_args(argv).moves
    path = find()
    if path is None:
        print(MISSING)
        return 1
    print(f"{'ms':24}{'painted':>9}{'p95':>7}{'error':>9}{'p95':>7}")
    with served("-m", "quantlab.cli") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for law in LAWS:
            for levels in LEVELS:
                found = drag(page, f"{url}/?page=codebooks&law={law}", levels, moves)
                columns = [v for times in found for v in np.percentile(times, [50, 95])]
                print(
                    f"{f'{law}, K = {levels}':24}" + "{:9.1f}{:7.1f}{:9.1f}{:7.1f}".format(*columns)
                )
        browser.close()
    return 0


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
