"""The command line says what it takes, and what it lacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quantlab
from quantlab import cli


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"quantlab {quantlab.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["dashboard", "--port", "x"], "a port is an integer from 1 to 65535; got 'x'"),
        (["dashboard", "--port", "70000"], "got '70000'"),
    ],
)
def test_bad_arguments(arguments, message, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["dashboard"]) == 1
    assert "panel is not installed: pip install -e '.[dashboard]'" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "quantlab.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "dashboard" in out.stdout
