"""Write bilinear.json: the codebooks of least exact error that the instrument's page carries.

    python website/instrument/make_bilinear.py

One entry for each inner dimension k, K = K_X = K_Y and rho: a list of one codebook, where A and B
share it, or of two. A codebook is symmetric about 0; listed are its positive centres, then its
positive thresholds, in units of 1e-4 standard deviations. Gaussian pairs; a few minutes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from quantlab import Codebook, GaussianPair, design_bilinear

TABLE = Path(__file__).with_name("bilinear.json")
RHOS = tuple(round(0.05 * i, 2) for i in range(20))
LEVELS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
INNER_DIMS = (1, 4, 16, 64, 256, 1024)
UNIT = 1e-4


def half(book: Codebook) -> list[int]:
    """Positive centres, then positive thresholds, in units."""
    k = book.n_levels
    values = np.concatenate([book.centers[(k + 1) // 2 :], book.thresholds[k // 2 :]])
    return [int(value) for value in np.rint(values / UNIT)]


def entry(rho: float, n_levels: int, inner_dim: int) -> list[list[int]]:
    """One codebook, or two where they differ by more than rounding."""
    halves = [half(book) for book in design_bilinear(GaussianPair(rho), n_levels, inner_dim)]
    same = np.abs(np.subtract(*halves)).max() <= 1
    return halves[:1] if same else halves


def main() -> None:
    books = {
        str(inner_dim): {
            str(n_levels): [entry(rho, n_levels, inner_dim) for rho in RHOS] for n_levels in LEVELS
        }
        for inner_dim in INNER_DIMS
    }
    table = {
        "unit": UNIT, "rhos": RHOS, "levels": LEVELS, "inner_dims": INNER_DIMS, "books": books,
    }  # fmt: skip
    text = json.dumps(table, separators=(",", ":")).replace('"books"', '\n"books"')
    TABLE.write_text(text.replace("]]],", "]]],\n") + "\n")


if __name__ == "__main__":
    main()
