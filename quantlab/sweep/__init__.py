"""Sweeps: one function over a grid of settings and trials, anywhere, resumable."""

from quantlab.sweep.execute import Row
from quantlab.sweep.grid import Cell, Sweep
from quantlab.sweep.runners import RUNNERS, ProgressLine, open_executor
from quantlab.sweep.store import Store

__all__ = ["RUNNERS", "Cell", "ProgressLine", "Row", "Store", "Sweep", "open_executor"]
