"""Sweeps: one function over a grid of settings and trials, anywhere, resumable."""

from quantlab.progress import ProgressLine
from quantlab.sweep.execute import Cell, Row
from quantlab.sweep.grid import Sweep
from quantlab.sweep.runners import RUNNERS, open_executor
from quantlab.sweep.store import Store

__all__ = ["RUNNERS", "Cell", "ProgressLine", "Row", "Store", "Sweep", "open_executor"]
