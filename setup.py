"""Packages only; all else is in pyproject.toml.

The folders dashboard/ and notebooks/ at the top of the repository are quantlab.dashboard and
quantlab.notebooks: a wheel holds no other top-level name than quantlab.
"""

from setuptools import find_packages, setup

DASHBOARD = "quantlab.dashboard"
NOTEBOOKS = "quantlab.notebooks"

setup(
    packages=[
        *find_packages(include=["quantlab*"]),
        DASHBOARD,
        *(f"{DASHBOARD}.{name}" for name in find_packages("dashboard")),
        NOTEBOOKS,
    ],
    package_dir={DASHBOARD: "dashboard", NOTEBOOKS: "notebooks"},
)
