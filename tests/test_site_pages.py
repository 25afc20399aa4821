"""The site's pages that are not notebooks: their code runs, and what they print compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import quantlab as ql

PAGES = Path(__file__).parent.parent / "website/pages"
_CELL = re.compile(r"```\{code-cell\} python\n(?::tags:[^\n]*\n)?(.*?)```", re.S)
_RUN = [path for path in sorted(PAGES.rglob("*.md")) if _CELL.search(path.read_text())]


def run(path: Path) -> dict[str, object]:
    """The names that a page's cells leave behind."""
    names: dict[str, object] = {"__name__": __name__}  # where dataclasses look up their module
    for i, code in enumerate(_CELL.findall(path.read_text())):
        exec(compile(code, f"{path.name}, cell {i}", "exec"), names)
    return names


@pytest.mark.parametrize("path", _RUN, ids=lambda path: path.stem)
def test_its_code_runs(path: Path) -> None:
    run(path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_of_the_export_page_codes_as_quantlab_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGES / "howto/export.md"
    names = run(page)
    tables = [line for line in capsys.readouterr().out.splitlines() if "static const" in line]
    (functions,) = re.findall(r"```c\n(.*?)```", page.read_text(), re.S)
    source = tmp_path / "code.c"
    source.write_text(
        "#include <stdio.h>\n" + "\n".join(tables) + "\n" + functions + "int main(void) { float v;"
        ' while (scanf("%f", &v) == 1) printf("%d %.9g\\n", encode(v), decode(encode(v))); }'
    )
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "code", source], check=True)
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    given = "\n".join(map(repr, values.tolist()))
    done = subprocess.run([tmp_path / "code"], input=given, capture_output=True, text=True)
    found = np.array(done.stdout.split(), float).reshape(-1, 2)
    book = names["x"]
    assert isinstance(book, ql.Codebook)
    coded = ql.encode(values[None], book)
    np.testing.assert_array_equal(found[:, 0], coded.codes[0])
    np.testing.assert_allclose(found[:, 1], coded.decode()[0], rtol=1e-6)  # nine digits printed


def test_the_function_of_the_cluster_page_gives_a_row() -> None:
    (source,) = re.findall(
        r"```python\n# cells.py\n(.*?)```", (PAGES / "howto/cluster.md").read_text(), re.S
    )
    names: dict[str, object] = {}
    exec(source, names)
    gain = names["gain"]
    assert callable(gain)
    row = gain(np.random.default_rng(0), rho=0.8, n_levels=16, inner_dim=64)
    assert 0 < row["nmse"] < 0.1
