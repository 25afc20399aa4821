"""The reference: a page for each public name of quantlab, from its docstring."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import quantlab as ql
from quantlab.formats import Format, GroupFormat

#: The rooms of the package, in the order of its one sentence, and the modules that are theirs.
ROOMS = {
    "The law of a multiplied pair": ("pairs",),
    "The point density and its transition": ("density", "transition"),
    "Codebooks": ("codebook", "design"),
    "Schemes for two matrices": ("scheme", "balancing"),
    "Codes and products": ("codes", "blocks", "formats", "lattices", "gemm"),
    "The error of the product": ("distortion", "entropy", "measure", "reading", "report", "limits"),
}
#: What a constant is: constants have no docstring of their own.
CONSTANTS = {
    "CRITICAL_RHO": r"""The correlation at which the best density of an elliptical pair splits.

.. math:: |\rho| = \frac{1}{\sqrt 3} = 0.57735...

The same for every elliptical law with a smooth density and finite variance: derived in
notebooks/03. `critical_rho` finds it for any family of laws, `finite_size_critical_rho` for
codebooks of K levels.

>>> import quantlab as ql
>>> round(ql.CRITICAL_RHO, 5)
0.57735
""",
    "DESIGNS": """Designs of a law by name, from the plainest to the best.

Each is called with (pair, n_levels, inner_dim) and returns two codebooks, for X and for Y.

>>> import quantlab as ql
>>> codebook_x, codebook_y = ql.DESIGNS["bilinear"](ql.GaussianPair(rho=0.8), 16, 256)
>>> codebook_x.n_levels
16
""",
    "FORMATS": """Number formats in use by name, as designers.

Each is called with a law or with two matrices, and with the number of levels; it returns two
codebooks, each scaled by its own operand. `levels(n_levels)` gives the bare levels, the largest 1.

>>> import quantlab as ql
>>> codebook_x, _ = ql.FORMATS["nf4"](ql.GaussianPair(rho=0.0), 16)
>>> ql.FORMATS["fp4_e2m1"].levels(16)[7:] * 6
array([0. , 0.5, 1. , 1.5, 2. , 3. , 4. , 6. ])
""",
    "GROUP_FORMATS": r"""Formats by name in which a group of entries shares a scale.

.. math:: \hat A_{il} = s_{ib} q_{il} + o_{ib}, \qquad b = \lfloor l / g \rfloor

`encode(matrix, operand)` codes a (m, k), or b (k, n) as operand "y"; `bits(shape, operand)` is
what an entry then takes, scales included.

>>> import quantlab as ql
>>> a, b = ql.GaussianPair(rho=0.0).sample_matrices(8, 64, 8)
>>> mxfp4 = ql.GROUP_FORMATS["mxfp4"]
>>> (mxfp4.encode(a, "x") @ mxfp4.encode(b, "y")).shape
(8, 8)
>>> mxfp4.bits((8, 64))
4.25
""",
}
#: The room of a constant.
_HOME = {
    "CRITICAL_RHO": "transition",
    "DESIGNS": "design",
    "FORMATS": "formats",
    "GROUP_FORMATS": "formats",
}
#: How a docstring names a source, and its key in references.bib.
SOURCES = {
    "[1]": "ang2026",
    "arXiv 2603.19559": "ang2026",
    "arXiv 2410.13780": "ordentlich2024",
    "arXiv 2110.02861": "dettmers2021",
    "arXiv 2305.14314": "dettmers2023",
    "arXiv 2209.05433": "micikevicius2022",
    "arXiv 2004.09602": "wu2020",
    "arXiv 2210.17323": "frantar2022",
    "arXiv 2509.25149": "nvidia2025",
    "OCP Microscaling Formats (MX) Specification 1.0": "ocp2023",
    "Max, IRE Trans. IT-6 (1960)": "max1960",
}
_OPENING = """Reference
=========

Every public name, from its docstring: ``import quantlab as ql``. Sizes are m x k and k x n
throughout; X is an entry of the left matrix, Y its partner in the right one; ``mse`` is per entry
of the product, ``nmse`` is divided by the mean square of one.
"""
_MATH = re.compile(r"(\s*)\.\. (?:math|code-block)::")
_NOTEBOOK = re.compile(r"notebooks/(\d\d)")
_LITERAL = re.compile(r"(``.+?``|`[^`]+`|:\w+(?::\w+)?:`[^`]+`)")


def write(folder: Path, notebooks: Iterable[Path]) -> None:
    """Write index.md's table and a page for each name of `quantlab.__all__` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    derived = uses(notebooks)
    known = {module for modules in ROOMS.values() for module in modules}
    if homeless := [name for name in ql.__all__ if module_of(name) not in known]:
        raise ValueError(f"no room of the reference holds {', '.join(homeless)}")
    chapters = []
    for room, modules in ROOMS.items():
        names = [name for name in ql.__all__ if module_of(name) in modules]
        for name in names:
            (folder / f"{name}.rst").write_text(page(name, derived.get(name, {})))
        rows = "\n".join(f"* - :doc:`{name}`\n  - {_escaped(summary(name))}" for name in names)
        table = f".. list-table::\n   :widths: 30 70\n   :class: names\n\n{_indented(rows)}"
        tree = _indented("\n".join(names))
        toctree = f".. toctree::\n   :hidden:\n   :titlesonly:\n\n{tree}"
        chapters.append(f"{room}\n{'-' * len(room)}\n\n{toctree}\n\n{table}\n")
    (folder / "index.rst").write_text(_OPENING + "\n" + "\n".join(chapters))


def module_of(name: str) -> str:
    """The room of a public name: the module under quantlab that it comes from."""
    return _HOME.get(name) or getattr(ql, name).__module__.split(".")[1]


def summary(name: str) -> str:
    """The first sentence of a docstring."""
    text = CONSTANTS.get(name) or inspect.getdoc(getattr(ql, name)) or ""
    return " ".join(text.split("\n\n")[0].split())


def page(name: str, derived: Mapping[str, str]) -> str:
    """One name's page in reStructuredText; `derived`: titles of the notebooks that use it."""
    value = getattr(ql, name)
    lines = [name, "=" * len(name), "", ".. currentmodule:: quantlab", ""]
    if name in CONSTANTS:
        kind = "float" if isinstance(value, float) else "dict"
        lines += [f".. py:data:: {name}", f"   :type: {kind}", ""]
        lines += prepared([_indent(line) for line in CONSTANTS[name].splitlines()])
        if isinstance(value, dict):
            lines += ["", _indented(_entries(value))]
    elif inspect.isclass(value):
        # what object and tuple have, nobody looks for here
        lines += [
            f".. autoclass:: {name}",
            "   :members:",
            "   :inherited-members: object, ABC",
            "",
        ]
    else:
        lines += [f".. autofunction:: {name}"]
    if derived:
        links = ", ".join(f":doc:`{title} </course/{stem}>`" for stem, title in derived.items())
        lines += ["", ".. rubric:: In the course", "", links]
    return "\n".join(lines) + "\n"


def uses(notebooks: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Public name -> {notebook: its title}, for every notebook whose code has the name."""
    found: dict[str, dict[str, str]] = {}
    for path in notebooks:
        cells = json.loads(path.read_text())["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        for name in ql.__all__:
            if re.search(rf"\bql\.{name}\b", code):
                found.setdefault(name, {})[path.stem] = title
    return found


def public_methods(owner: Any) -> dict[str, Callable[..., Any]]:
    """Name -> function of a class's public methods and properties, inherited ones included."""
    found = {}
    for name in dir(owner) if inspect.isclass(owner) else ():
        value = inspect.getattr_static(owner, name)
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, cached_property):
            value = value.func
        value = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(value):
            found[name] = value
    return found


def prepare(
    app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:  # Sphinx's signature
    """autodoc-process-docstring: what reads well in a terminal becomes reStructuredText."""
    lines[:] = prepared(lines)


def prepared(lines: Iterable[str]) -> list[str]:
    """Bars and stars stand for themselves; sources and notebooks become links.

    Formulas, examples and literals stay as they are.
    """
    done: list[str] = []
    depth: int | None = None  # of a directive, until a line that is not deeper
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent <= depth:
            depth = None
        if match := _MATH.match(line):
            depth = len(match[1])
        example = line.lstrip().startswith((">>>", "...")) or (
            bool(done) and bool(line.strip()) and done[-1].lstrip().startswith((">>>", "..."))
        )
        example = example or bool(done and line.strip() and _in_example(done))
        done.append(line if depth is not None or example else _linked(line))
    return done


def _in_example(done: list[str]) -> bool:
    """Whether the paragraph that `done` ends in began with a prompt."""
    for line in reversed(done):
        if not line.strip():
            return False
        if line.lstrip().startswith(">>>"):
            return True
    return False


def _linked(line: str) -> str:
    line = re.sub(r"^(\s*\w)\.$", r"\1\\.", line)  # "k." is no list
    parts = _LITERAL.split(line)
    for i in range(0, len(parts), 2):
        text = _escaped(parts[i])
        text = _NOTEBOOK.sub(_notebook, text)
        for words, key in SOURCES.items():
            if words == "[1]":
                text = re.sub(r"(?<!\w)\[1\](?!_)", f":cite:p:`{key}`", text)
            else:
                text = text.replace(words, f"{words.split(',')[0]} :cite:p:`{key}`")
        parts[i] = text
    return "".join(parts)


def _notebook(found: re.Match[str]) -> str:
    """A link to the notebook of that number; its name alone until it is there."""
    paths = sorted((Path(__file__).parent.parent / "notebooks").glob(f"{found[1]}_*.ipynb"))
    words = f"notebook {found[1]}"
    return f":doc:`{words} </course/{paths[0].stem}>`" if paths else words


def _escaped(text: str) -> str:
    text = re.sub(r"(?<!\\)([|*])", r"\\\1", text)
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", text)


def _entries(values: Mapping[str, Any]) -> str:
    if all(isinstance(each, Format) for each in values.values()):
        head, rows = "name, bits, scale, source", []
        for name, each in values.items():
            bits = "any" if each.bits is None else f"{min(each.bits)} to {max(each.bits)}"
            bits = bits if each.bits is None or len(each.bits) > 1 else str(each.bits[0])
            rows.append((f"``{name}``", bits, each.scaling, _linked(each.source)))
    elif all(isinstance(each, GroupFormat) for each in values.values()):
        head, rows = "name, written, bits of a code, group, source", []
        for name, each in values.items():
            group = "row or column" if each.group is None else str(each.group)
            source = _linked(each.source)
            rows.append((f"``{name}``", each.label, str(each.code_bits), group, source))
    else:
        head, rows = "name, made by", []
        for name, each in values.items():
            call = getattr(each, "func", each)
            extra = ", ".join(f"{k}={v}" for k, v in getattr(each, "keywords", {}).items())
            made = f"`{call.__name__}`" + (f" with ``{extra}``" if extra else "")
            rows.append((f"``{name}``", made))
    body = "\n".join(
        "\n".join(("* - " if i == 0 else "  - ") + cell for i, cell in enumerate(row))
        for row in [tuple(head.split(", ")), *rows]
    )
    return f".. list-table::\n   :header-rows: 1\n\n{_indented(body)}"


def _indent(line: str) -> str:
    return "   " + line if line.strip() else line


def _indented(text: str) -> str:
    return "\n".join(_indent(line) for line in text.splitlines())
