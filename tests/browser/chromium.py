"""Find, or install, the Chromium that the browser tests drive.

Run as a script it makes sure that there is one: the system's, else Debian's package (root with
apt), else Playwright's own download. It prints the path, or fails with a line that says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
MISSING = (
    "The browser tests need Chromium and none was found or could be installed. "
    "Install Chromium or Chrome (Debian: apt-get install chromium), or run "
    "`python -m playwright install chromium`, or set QUANTLAB_CHROMIUM to its path."
)
#: No sandbox (it cannot start as root), no GPU, and nothing of Chromium's own traffic.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Path of a Chromium that starts, or None."""
    named = os.environ.get("QUANTLAB_CHROMIUM")
    if named:
        return named if starts(named) else None
    found = (shutil.which(name) for name in NAMES)
    candidates = [path for path in (*found, *PLACES, playwrights_own()) if path]
    return next((path for path in candidates if Path(path).exists() and starts(path)), None)


def starts(path: str) -> bool:
    """Whether `path --version` answers as a Chromium (a snap placeholder does not)."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "Chrom" in answer.stdout


def playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def install() -> None:
    """Debian's package where that is possible, else Playwright's download."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        packages = ["chromium", "fonts-dejavu-core"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        ):
            subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
        if find():
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> int:
    if find() is None:
        if os.environ.get("QUANTLAB_CHROMIUM"):
            print(f"QUANTLAB_CHROMIUM={os.environ['QUANTLAB_CHROMIUM']} does not start.")
            return 1
        print("no Chromium found; installing one for the browser tests ...", flush=True)
        install()
    path = find()
    if path is None:
        print(MISSING)
        return 1
    print(f"Chromium for the browser tests: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
