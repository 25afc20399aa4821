"""What runs and is painted in the browser: scripts, style and the login page."""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> Path:
    """Where the file `name` of this folder is."""
    return Path(__file__).with_name(name)


def read(name: str) -> str:
    """Its text."""
    return path(name).read_text()


def formulas() -> str:
    """Densities, laws of a pair and exact errors: what pages and the instrument compute with."""
    return "\n".join(map(read, ("density.js", "special.js", "laws.js", "exact.js")))
