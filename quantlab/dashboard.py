"""The dashboard, whose files stand in dashboard/ at the top of a checkout.

In an installed wheel they are the package of this name, which comes before this module: either way
the dashboard is imported as `quantlab.dashboard`, and a user's own dashboard.py hides nothing.
"""

from pathlib import Path

__path__ = [str(Path(__file__).parents[1] / "dashboard")]
