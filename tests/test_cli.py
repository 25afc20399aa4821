"""The command line says what it takes, and what it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

import quantlab
import quantlab as ql
from quantlab import cli
from quantlab.cli import dashboard, lab


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
        (["dashboard", "--processes", "0"], "is an integer from 1 to 64; got '0'"),
        (
            ["dashboard", "--upload-limit", "nan"],
            "a number of MB above 0 and up to 2000; got 'nan'",
        ),
        (["dashboard", "--upload-limit", "0"], "got '0'"),
        (["dashboard", "--address", "http://me"], "without port or http://; got 'http://me'"),
        (["dashboard", "--origin", "me:x"], "an origin is HOST or HOST:PORT"),
        (["dashboard", "--origin", "me:70000"], "got 'me:70000'"),
        (["dashboard", "--origin", ""], "an origin is HOST or HOST:PORT"),
        (["dashboard", "--frame-ancestors", "me.example.org"], "is SCHEME://HOST[:PORT]"),
        (["dashboard", "--frame-ancestors", "https://a; x"], "got 'https://a; x'"),
        (["dashboard", "--frame-ancestors", "https://a:70000"], "got 'https://a:70000'"),
        (["dashboard", "--prefix", "a/../b"], "a prefix is a path of letters"),
        (["dashboard", "--prefix", "a b"], "got 'a b'"),
        (["dashboard", "--password", "a", "--password-file", "b"], "not allowed with"),
    ],
)
def test_bad_arguments(arguments, message, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("quantlab.cli.common.find_spec", lambda name: None)
    assert cli.main(["dashboard"]) == 1
    assert "panel is not installed: pip install -e '.[dashboard]'" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "quantlab.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "dashboard" in out.stdout


@pytest.fixture
def opened(monkeypatch) -> list[list[str]]:
    """The commands that would start JupyterLab."""
    commands: list[list[str]] = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command: commands.append(command) or 0)
    for name in ("WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return commands


@pytest.mark.parametrize("mark", [[], ["--"]])
def test_lab_passes_all_on_to_jupyterlab(mark, opened) -> None:
    assert cli.main(["lab", *mark, "--no-browser", "--port", "9000", "05_bias_and_gain.ipynb"]) == 0
    (command,) = opened
    assert command[-4:] == ["--no-browser", "--port", "9000", "05_bias_and_gain.ipynb"]
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--notebook-dir={Path(quantlab.__file__).parents[1] / 'notebooks'}" in command


def test_lab_opens_no_browser_without_a_display(opened, monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    cli.main(["lab"])
    monkeypatch.delenv("DISPLAY")
    cli.main(["lab"])
    assert ["--no-browser" in command for command in opened] == [False, True]


def test_lab_keeps_what_was_changed_in_the_copy(opened, tmp_path, monkeypatch) -> None:
    packaged = tmp_path / "wheel" / "quantlab"
    (packaged / "notebooks").mkdir(parents=True)
    for name in ("00.ipynb", "01.ipynb"):
        (packaged / "notebooks" / name).write_text("as it came")
    monkeypatch.setattr(lab, "__file__", str(packaged / "cli" / "lab.py"))
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "quantlab-notebooks"
    copy.mkdir()
    (copy / "01.ipynb").write_text("mine")
    assert cli.main(["lab"]) == 0
    assert f"--notebook-dir={copy}" in opened[0]
    assert [(copy / name).read_text() for name in ("00.ipynb", "01.ipynb")] == [
        "as it came",
        "mine",
    ]


def test_lab_says_what_it_is_when_asked(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["lab", "--help"])
    assert "passed on to it" in capsys.readouterr().out


@pytest.fixture
def served(monkeypatch) -> list[tuple[tuple, dict]]:
    """The calls of `quantlab.dashboard.server.serving.serve`, which serves nothing here."""
    calls: list[tuple[tuple, dict]] = []
    monkeypatch.delenv(dashboard.PASSWORD, raising=False)
    monkeypatch.setattr(
        "quantlab.dashboard.server.serving.serve", lambda *a, **k: calls.append((a, k))
    )
    return calls


def test_the_dashboard_answers_this_machine_alone_by_default(served, capsys) -> None:
    assert cli.main(["dashboard"]) == 0
    assert served == [
        (
            (5006, "localhost"),
            {
                "processes": 1, "origins": [], "upload_limit": 50.0, "password": None,
                "admin": False, "prefix": "", "frame_ancestors": [], "spare": 60, "show": False,
            },
        )
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


def test_the_dashboard_takes_what_a_proxy_needs(served) -> None:
    origins = ["--origin", "https://Stats.example.org/", "--origin", "me:8080", "--origin", "*"]
    cli.main(["dashboard", "--prefix", "/a/b/", "--processes", "3", "--admin", *origins])
    given = served[0][1]
    assert given["origins"] == ["stats.example.org", "me:8080", "*"]
    assert (given["prefix"], given["processes"], given["admin"]) == ("a/b", 3, True)


def test_who_may_show_the_dashboard_in_a_frame(served, capsys) -> None:
    option = "--frame-ancestors"
    cli.main(["dashboard", option, "https://*.Example.org/", option, "http://me:8080"])
    assert served[0][1]["frame_ancestors"] == ["https://*.example.org", "http://me:8080"]
    assert cli.main(["dashboard", option, "none", option, "*"]) == 2
    assert "none stands alone" in capsys.readouterr().err


def test_an_open_server_is_warned_of_and_a_guarded_one_is_not(served, capsys, monkeypatch) -> None:
    cli.main(["dashboard", "--address", "0.0.0.0"])
    assert "everybody who can reach 0.0.0.0:5006 can use this server" in capsys.readouterr().err
    monkeypatch.setenv(dashboard.PASSWORD, "hoelder")
    cli.main(["dashboard", "--address", "0.0.0.0"])
    out = capsys.readouterr()
    assert out.err == ""
    assert "hoelder" not in out.out


def test_where_the_password_comes_from(served, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(dashboard.PASSWORD, "of the environment")
    file = tmp_path / "password"
    file.write_text("of the file\nnot this\n")
    for options, password in (
        ([], "of the environment"),
        (["--password-file", str(file)], "of the file"),
        (["--password", "of the line"], "of the line"),
    ):
        cli.main(["dashboard", *options])
        assert served[-1][1]["password"] == password


@pytest.mark.parametrize("text", ["", " \nsecond line", None])
def test_a_password_that_guards_nothing_is_refused(text, served, tmp_path, capsys) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
    assert cli.main(["dashboard", "--password-file", str(file)]) == 2
    message = "cannot be read" if text is None else "the password is empty"
    assert message in capsys.readouterr().err
    assert served == []


def test_measure_prints_each_design_beside_the_exact_theory(capsys) -> None:
    options = ["--rho", "0.5", "--levels", "8", "--shape", "48", "64", "40", "--trials", "8"]
    assert cli.main(["measure", *options, "--designs", "closed_form", "bilinear"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[0].strip() for row in rows] == ["closed_form", "bilinear"]
    assert_allclose([float(row[1]) for row in rows], [float(row[2]) for row in rows], rtol=0.1)


def test_measure_with_feedback_prints_each_design_beside_its_law(capsys) -> None:
    options = ["--rho", "0.7", "--levels", "32", "--shape", "90", "12", "90", "--trials", "20"]
    command = ["measure", *options, "--designs", "gaussian_compander", "closed_form"]
    assert cli.main([*command, "--rounding", "feedback"]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "_" in line]
    pair = ql.GaussianPair(0.7)
    books = ql.design_companding(pair, 32, weighted=False)
    found = ql.measure(pair, *books, 12, m=90, n=90, trials=20, rounding="feedback")
    law = ql.asymptotic_mse(pair, 32, 12, rounding="feedback")
    assert [row[1].strip() for row in rows] == ["gaussian_compander", "closed_form"]
    assert rows[0][2].strip() == f"{found.nmse:.3e}"
    assert rows[0][4].strip() == f"{found.mse / law:.3f}"
    assert cli.main(["measure", *options, "--rho", "1", "--rounding", "feedback"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rho", "1.5"], "1.5"),
        (["--levels", "1"], "1"),
        (["--trials", "1"], "trials"),
        (["--shape", "0", "1", "1"], "m must"),
    ],
)
def test_measure_says_what_is_wrong(options, message, capsys) -> None:
    assert cli.main(["measure", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("device", [None, "NVIDIA H200"])
def test_the_backend_switch_is_there_only_with_cuda(device, monkeypatch, capsys) -> None:
    monkeypatch.setattr("quantlab.gemm.cuda.device_name", lambda: device)
    with pytest.raises(SystemExit):
        cli.main(["measure", "--help"])
    shown = capsys.readouterr().out
    assert ("--backend" in shown) == (device is not None)
    assert ("NVIDIA H200" in shown) == (device is not None)
