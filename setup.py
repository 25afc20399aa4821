"""Packages only; all else is in pyproject.toml.

The folder dashboard/ at the top of the repository is the package quantlab.dashboard: a wheel holds
no other top-level name than quantlab.
"""

from setuptools import find_packages, setup

DASHBOARD = "quantlab.dashboard"

setup(
    packages=[
        *find_packages(include=["quantlab*"]),
        DASHBOARD,
        *(f"{DASHBOARD}.{name}" for name in find_packages("dashboard")),
    ],
    package_dir={DASHBOARD: "dashboard"},
)
