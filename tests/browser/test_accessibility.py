"""axe-core on every page: nothing that it calls serious."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from quantlab.dashboard.state import PAGES
from tests.browser.test_connection import STALE
from tests.browser.test_page import Dashboard

_GRAVE = ("serious", "critical")
#: What passes is not written out.
_OPTIONS = {"resultTypes": ["violations"]}


def findings(page: Page) -> list[str]:
    """Rule, and the first element that breaks it, for each grave finding."""
    return [
        f"{found['id']}: {found['help']} ({len(found['nodes'])} times)\n  "
        + "\n  ".join(f"{node['target']} {node['html'][:160]}" for node in found["nodes"][:3])
        for found in Axe().run(page, options=_OPTIONS).response["violations"]
        if found["impact"] in _GRAVE
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_no_grave_finding(dashboard: Dashboard, name: str, theme: str) -> None:
    page = dashboard(f"?page={name}&theme={theme}")
    page.wait_for_function(f"{STALE} === '0'")  # grey numbers are pale, as what is off may be
    page.wait_for_timeout(1000)
    assert findings(page) == []


def test_it_finds_what_is_wrong(dashboard: Dashboard) -> None:
    page = dashboard("?page=speed")
    page.evaluate("document.body.append(document.createElement('button'))")
    assert any(found.startswith("button-name") for found in findings(page))
