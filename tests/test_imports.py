"""Imports run one way: no circle, nothing against the data flow, no function hides one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Folders, and the names that they are imported by.
ROOMS = {"quantlab": "quantlab", "dashboard": "quantlab.dashboard"}
#: They start the dashboard, on request, as a program starts another.
DOORS = {"quantlab.cli.dashboard", "quantlab.notebook"}
#: (room, what it never imports)
NEVER = [
    ("quantlab.pairs", "quantlab.design"),
    ("quantlab.pairs", "quantlab.codebook"),
    ("quantlab.density", "quantlab.codebook"),
    ("quantlab.design", "quantlab.gemm"),
    ("quantlab.design", "quantlab.codes"),
    ("quantlab.design", "quantlab.views"),
    ("quantlab.codes", "quantlab.gemm"),
    ("quantlab.gemm", "quantlab.design"),
    ("quantlab.gemm", "quantlab.measure"),
    # views show what was computed elsewhere
    ("quantlab.views", "quantlab.design"),
    ("quantlab.views", "quantlab.codes"),
    ("quantlab.views", "quantlab.gemm"),
    ("quantlab.views", "quantlab.experiments"),
    ("quantlab.views", "quantlab.measure"),
    ("quantlab.views", "quantlab.sweep"),
    # slow work has no GUI, and neither have files
    ("quantlab.dashboard.work", "panel"),
    ("quantlab.dashboard.work", "bokeh"),
    ("quantlab.dashboard.work", "quantlab.dashboard.pages"),
    ("quantlab.files", "panel"),
    ("quantlab.files", "bokeh"),
    ("quantlab.dashboard.explorers", "panel"),
    ("quantlab.dashboard.parts", "quantlab.dashboard.pages"),
]


def modules() -> dict[str, Path]:
    found = {}
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *parts])] = path
    # in a checkout the package is the folder, and the module of its name leads there
    assert found["quantlab.dashboard"] == ROOT / "dashboard" / "__init__.py"
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """Modules that a module imports at any depth of its code, function bodies included."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base


def graph() -> dict[str, set[str]]:
    return {name: {to for to in imported(name) if to in MODULES} - {name} for name in MODULES}


def test_no_circle() -> None:
    # what a package's __init__ gathers, its own modules import from where it is
    try:
        tuple(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")


def test_quantlab_does_not_need_the_dashboard() -> None:
    backwards = [
        (name, to)
        for name in MODULES
        if not name.startswith("quantlab.dashboard") and name not in DOORS
        for to in imported(name)
        if to.startswith("quantlab.dashboard")
    ]
    assert backwards == []


@pytest.mark.parametrize(("room", "never"), NEVER)
def test_nothing_imports_against_the_data_flow(room: str, never: str) -> None:
    inside = [name for name in MODULES if name == room or name.startswith(room + ".")]
    assert inside, f"{room} is gone: mend this list"
    backwards = [
        (name, to)
        for name in inside
        for to in imported(name)
        if to == never or to.startswith(never + ".")
    ]
    assert backwards == []


def room_of(name: str) -> str:
    """ "design", "dashboard/pages" or, for the package's own __init__, "quantlab"."""
    parts = name.split(".")[1:3]
    if not parts:
        return "quantlab"
    return "/".join(parts) if parts[0] == "dashboard" else parts[0]


def arrows() -> dict[str, set[str]]:
    """room -> rooms that it imports; the helpers `_*.py`, which any room may, are left out."""
    found: dict[str, set[str]] = {}
    for name in MODULES:
        if (room := room_of(name)).startswith("_") or name == "quantlab.dashboard":
            continue
        others = {room_of(to) for to in imported(name) if to in MODULES} - {room, "dashboard"}
        found.setdefault(room, set()).update(to for to in others if not to.startswith("_"))
    return found


_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*?) ?\|$", re.MULTILINE)


def test_architecture_md_has_the_arrows_that_the_imports_have() -> None:
    rows = _ROW.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    told = {room: set(filter(None, imports.split(", "))) for room, _, imports in rows}
    found = arrows()
    assert told == found, "python tests/test_imports.py writes the arrows; a new room needs its row"
    order = list(told)
    upwards = [
        (room, to)
        for room in told
        for to in told[room]
        if "/" not in room and "/" not in to and order.index(to) > order.index(room)
    ]
    assert not upwards, "a room stands below those that it imports"


def write_arrows() -> None:
    """ARCHITECTURE.md with the imports that there are, in the rows that it has."""
    found = arrows()
    path = ROOT / "ARCHITECTURE.md"
    text = _ROW.sub(
        lambda row: f"| `{row[1]}` | {row[2]} | {', '.join(sorted(found.get(row[1], ())))} |",
        path.read_text(encoding="utf-8"),
    )
    path.write_text(text, encoding="utf-8")


def test_the_reader_of_imports_sees_every_kind() -> None:
    own = set(imported("quantlab.dashboard.session"))
    assert {"asyncio", "quantlab.dashboard.state", "quantlab.dashboard.parts.controls"} <= own
    assert "quantlab.codes.kernels" in set(imported("quantlab.codes.matrix"))  # in a function
    assert "quantlab._validate" in set(imported("quantlab.measure"))  # from quantlab import it


if __name__ == "__main__":
    write_arrows()
