"""What every test may count on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine must not fail a test
settings.register_profile("quantlab", deadline=None)
settings.load_profile("quantlab")

_BROWSER = Path(__file__).parent / "browser"


@pytest.fixture(autouse=True)
def no_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Playwright's loop outlives the browser tests, and turns for nobody else's callbacks."""
    if request.path.is_relative_to(_BROWSER):
        yield
        return
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)
