"""Vector codes whose points are small integers: lattices D4 and E8, A2 for pictures, pyramids."""

from quantlab.lattices.matrix import LatticeMatrix
from quantlab.lattices.points import SECOND_MOMENTS, nearest_a2, nearest_points
from quantlab.lattices.pyramid import PyramidCode
from quantlab.lattices.voronoi import VoronoiCode

__all__ = [
    "SECOND_MOMENTS",
    "LatticeMatrix",
    "PyramidCode",
    "VoronoiCode",
    "nearest_a2",
    "nearest_points",
]
