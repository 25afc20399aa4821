"""The project's own files agree with each other and with its habits."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import quantlab

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
# the extras that environment.yml promises, and the packages that go by another name there
PROMISED = (
    "dashboard",
    "lab",
    "docs",
    "torch",
    "cuda",
    "sweep",
    "dask",
    "figures",
    "entropy",
    "test",
)
CONDA_NAMES = {"torch": "pytorch", "ml-dtypes": "ml_dtypes"}
# not on conda-forge, or with a platform marker, which conda environments do not know
PIP_ONLY = ("axe-playwright-python", "constriction", "pytest-playwright", "triton")
CODE = [
    path
    for folder in ("quantlab", "dashboard", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def split(requirement: str) -> tuple[str, str]:
    name, found, version = requirement.partition(">=")
    assert found, f"{requirement} must state the oldest version that works"
    return name.strip(), version


def promised_requirements() -> dict[str, str]:
    listed = list(PYPROJECT["project"]["dependencies"])
    for extra in PROMISED:
        listed += [r for r in EXTRAS[extra] if not r.startswith("quantlab-matmul[")]
    return dict(split(r) for r in listed)


def test_environment_yml_lists_what_pyproject_lists() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    plain = dict(split(entry) for entry in conda if isinstance(entry, str) and entry != "pip")
    assert plain.pop("python") == PYPROJECT["project"]["requires-python"].removeprefix(">=")

    expected = promised_requirements()
    in_pip = {name: expected.pop(name) for name in PIP_ONLY}
    assert plain == {CONDA_NAMES.get(name, name): version for name, version in expected.items()}
    assert pip == [*(f"{name}>={version}" for name, version in in_pip.items()), "-e ."]


def test_constraints_pin_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = {name.lower().replace("_", "-") for name in pins}
    assert pins["torch"] == "2.13.0"
    assert {name.lower() for name in promised_requirements()} <= names


def test_the_version_is_in_one_place() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == quantlab.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == quantlab.__version__


def test_pre_commit_has_the_ruff_of_the_tests() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert f"ruff=={hooks[0]['rev'][1:]}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_workflow_runs_what_make_test_runs() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    steps = [step["run"] for step in jobs["test"]["steps"] if "run" in step]
    assert steps[0] == "make test PYTHON=python"
    makefile = (ROOT / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    for line in re.findall(r"\$\(BIN\)/(.*)", makefile):
        assert line in steps[1]
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert jobs["test"]["strategy"]["matrix"]["python"][0] == oldest


def test_importing_quantlab_loads_nothing_heavy() -> None:
    code = (
        "import sys, quantlab; "
        "print([m for m in ('torch', 'triton', 'panel', 'holoviews', 'bokeh', 'transformers')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_comparison_is_never_thrown_away(path: Path) -> None:
    """A bare `np.allclose(...)` statement checks nothing."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Compare)):
            call = node.value.func if isinstance(node.value, ast.Call) else None
            name = getattr(call, "attr", getattr(call, "id", ""))
            assert name not in {"allclose", "array_equal", "isclose"}, f"line {node.lineno}"
            assert not isinstance(node.value, ast.Compare), f"line {node.lineno}"


@pytest.mark.parametrize(
    "command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=" ".join
)
def test_lint_format_and_types(command: tuple[str, ...]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_benchmark_takes_the_name_of_what_torch_imports() -> None:
    # a script's folder comes first: a cuda.py there was what torch took for its own package
    script = "import sys; sys.path.insert(0, 'benchmarks'); import torch"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
