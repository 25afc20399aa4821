"""The files in deploy/ say what the command line understands, with one port and without root."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path

import pytest

from quantlab.cli import dashboard, main
from tests.dashboard.waiting import LONG

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "quantlab.service"
CONTAINER = ROOT / "deploy" / "Containerfile"


def unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest of its line) of the container file, continued lines joined."""
    lines = CONTAINER.read_text().replace("\\\n", " ").splitlines()
    return [
        (name, rest.strip())
        for name, _, rest in (line.partition(" ") for line in lines)
        if name and not name.startswith("#")
    ]


def last(name: str) -> str:
    return [rest for found, rest in instructions() if found == name][-1]


def given(command: list[str], monkeypatch, tmp_path: Path) -> tuple[tuple, dict]:
    """What `serve` would be called with, the password's file being one of the test's own."""
    program, *arguments = command
    assert Path(program).name == "quantlab"
    file = tmp_path / "password"
    file.write_text("hoelder\n")
    arguments[arguments.index("--password-file") + 1] = str(file)
    calls: list[tuple[tuple, dict]] = []
    monkeypatch.setattr(
        "quantlab.dashboard.server.serving.serve", lambda *a, **k: calls.append((a, k))
    )
    monkeypatch.delenv(dashboard.PASSWORD, raising=False)
    assert main(arguments) == 0
    return calls[0]


def test_the_service_starts_what_nginx_asks(monkeypatch, tmp_path: Path) -> None:
    service = unit()["Service"]
    (port, address), options = given(shlex.split(service["ExecStart"]), monkeypatch, tmp_path)
    nginx = (ROOT / "docs" / "nginx.conf").read_text()
    assert f"server {address}:{port};" in nginx
    assert f"server_name {options['origins'][0]};" in nginx
    assert options["password"] == "hoelder"
    assert service["ExecStartPost"].endswith(f" http://{address}:{port}/readyz")
    assert "${CREDENTIALS_DIRECTORY}/password" in service["ExecStart"]
    assert service["LoadCredential"].startswith("password:/")
    assert service["DynamicUser"] == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_has_nothing_to_say_against_the_service(tmp_path: Path) -> None:
    here = shutil.which("true")
    assert here is not None
    text = UNIT.read_text()
    for program in ("/opt/quantlab/bin/quantlab", "/usr/bin/curl"):
        assert program in text
        text = text.replace(program, here)
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    out = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60
    )
    said = [line for line in (out.stdout + out.stderr).splitlines() if UNIT.name in line]
    assert (out.returncode, said) == (0, [])


def test_the_container_serves_the_port_that_it_shows(monkeypatch, tmp_path: Path) -> None:
    (port, address), options = given(json.loads(last("ENTRYPOINT")), monkeypatch, tmp_path)
    assert (str(port), address, options["password"]) == (last("EXPOSE"), "0.0.0.0", "hoelder")
    assert f"http://127.0.0.1:{port}/readyz" in last("HEALTHCHECK")
    assert last("USER") not in ("root", "0")
    names = [name for name, _ in instructions()]
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")


def test_the_container_holds_what_the_package_is_made_of() -> None:
    copied = [source for name, rest in instructions() if name == "COPY" for source in rest.split()]
    assert all(source == "./" or (ROOT / source).exists() for source in copied)
    named = re.findall(r'"(\w+)"', re.search(r"package_dir=\{.*\}", setup())[0])  # type: ignore[index]
    assert {"quantlab", "pyproject.toml", "setup.py", "README.md", "LICENSE", *named} <= {*copied}


def setup() -> str:
    return (ROOT / "setup.py").read_text()


def test_the_containers_command_becomes_healthy(tmp_path: Path) -> None:
    """The two commands themselves, on another port, where no container can be made."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    secret = tmp_path / "secret"
    secret.write_text("hoelder\n")
    start = last("ENTRYPOINT").replace("5006", port).replace("/run/secrets/quantlab", str(secret))
    check = last("HEALTHCHECK").partition("CMD ")[2].replace("5006", port)
    environment = {k: v for k, v in os.environ.items() if k != dashboard.PASSWORD}
    server = subprocess.Popen(
        [sys.executable, "-m", "quantlab.cli", *json.loads(start)[1:]], cwd=ROOT, env=environment
    )
    deadline = time.monotonic() + LONG
    try:
        command = [sys.executable, *json.loads(check)[1:]]
        while subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30).returncode:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.3)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
