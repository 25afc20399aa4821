"""Ways to make a codebook: one file each, one signature (pair, n_levels, inner_dim=None, ...)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from quantlab.codebook import Codebook
from quantlab.design.bilinear import design_bilinear
from quantlab.design.companding import design_companding
from quantlab.design.empirical import design_empirical
from quantlab.design.entropy_coded import design_entropy_coded
from quantlab.design.lloyd_max import design_lloyd_max

Designer = Callable[..., tuple[Codebook, Codebook]]

#: name -> designer of a law, from the plainest to the best; names as in `Codebook.info["design"]`.
#: For comparisons, samples and data: bilinear is the best SYMMETRIC pair. A better one that shares
#: the work owes much of its error to products that a sample hardly ever holds.
DESIGNS: dict[str, Designer] = {
    "gaussian_compander": partial(design_companding, weighted=False),
    "lloyd_max": design_lloyd_max,
    "closed_form": design_companding,
    "weighted_lloyd_max": partial(design_lloyd_max, weighted=True),
    "bilinear": partial(design_bilinear, symmetric=True),
}

__all__ = [
    "DESIGNS",
    "Designer",
    "design_bilinear",
    "design_companding",
    "design_empirical",
    "design_entropy_coded",
    "design_lloyd_max",
]
