"""Every notebook runs, is committed clean, and keeps the course's form."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# warnings in quantlab or in the notebook itself are errors; those of the libraries are theirs
STRICT = (
    "import warnings\nwarnings.filterwarnings('error', module=r'quantlab|dashboard|__main__')\n"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_notebooks() -> None:
    assert "03_phase_transition" in {path.stem for path in NOTEBOOKS}


def test_it_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    figures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "<script" in output.get("data", {}).get("text/html", "")
    ]
    assert len(figures) >= 3  # BokehJS itself, and two pictures at least


def test_it_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_it_keeps_the_form_of_the_course(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    opening = cells[0].source
    assert opening.startswith(f"# {path.stem[:2]}")
    assert "**What you will know at the end:**" in opening
    assert "**Time:**" in opening
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert text.count("<details>") >= 2, "exercises with folded solutions"
    assert text.count("<details>") == text.count("</details>")
    assert "notice" in text
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert any("assert" in source for source in code), "an equation is checked"
    for source in code:
        assert len(source.splitlines()) <= 12, source
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, node.name
