"""What users install: the wheel alone in a new environment, and the checkout as an editable one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged: building leaves traces beside the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("quantlab", "dashboard", "notebooks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", checkout)
    (found,) = folder.glob("*.whl")
    return found


def environment(folder: Path, *install: str | Path) -> Path:
    """The `bin` of a new environment: all that quantlab needs is there, quantlab is `install`."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)}))
    packages = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    # a path in a .pth file is searched, and the .pth files there, editable installs, are not read
    (Path(packages) / "needs.pth").write_text(sysconfig.get_path("purelib"))
    python = shutil.which("python", path=str(scripts))
    assert python is not None
    run(*PIP, f"--python={python}", "install", "--no-deps", "--no-build-isolation", *install)
    return scripts


def test_a_wheel_holds_quantlab_and_no_other_name(wheel: Path, checkout: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"quantlab"}
    packaged = {Path(name) for name in names}
    for folder in ("quantlab", "dashboard", "notebooks"):
        inside = Path("quantlab") / (folder if folder != "quantlab" else "")
        for path in (checkout / folder).rglob("*"):
            if path.is_file():
                assert inside / path.relative_to(checkout / folder) in packaged


def test_the_wheel_serves_beside_a_dashboard_of_ones_own(wheel: Path, tmp_path: Path) -> None:
    scripts = environment(tmp_path / "new", wheel)
    here = tmp_path / "lecture"
    here.mkdir()
    (here / "dashboard.py").write_text("raise SystemExit('this is not it')\n")
    where = run(scripts / "python", "-c", "import quantlab; print(quantlab.__file__)", cwd=here)
    assert Path(where).is_relative_to(tmp_path / "new")
    shown = run(
        scripts / "python", "-c",
        "from quantlab.dashboard.explorers.density import density_explorer\n"
        "from quantlab.notebook import show_page\n"
        "print(type(density_explorer()).__name__, type(show_page('error')).__name__)",
        cwd=here,
    )  # fmt: skip
    assert shown.split()[0] == "Column"

    # JupyterLab itself is asked which of these it took
    asked = run(scripts / "quantlab", "lab", "--", "--no-browser", "--version", cwd=here)
    assert asked == run(scripts / "python", "-m", "jupyterlab", "--version")
    assert {path.name for path in (here / "quantlab-notebooks").iterdir()} == {
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    }

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [scripts / "quantlab", "dashboard", f"--port={port}", "--spare=0"],
        cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert "quantlab" in _answer(f"http://localhost:{port}/", server)
    finally:
        server.terminate()
        output = server.communicate(timeout=20)[0]
    assert "Traceback" not in output


def test_an_editable_install_finds_the_folder_at_the_top(checkout: Path, tmp_path: Path) -> None:
    scripts = environment(tmp_path / "new", "--editable", checkout)
    code = "import quantlab.dashboard.app as app; print(app.__file__)"
    where = run(scripts / "python", "-c", code, cwd=tmp_path)
    assert Path(where) == checkout / "dashboard" / "app.py"


def _answer(address: str, server: subprocess.Popen[str]) -> str:
    for _ in range(600):
        try:
            with urlopen(address, timeout=30) as page:
                return page.read().decode()
        except OSError:
            assert server.poll() is None, server.communicate()[0]
            time.sleep(0.1)
    raise TimeoutError(address)
