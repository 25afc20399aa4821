"""Write bilinear.json: the symmetric codebooks of least exact error that the instrument carries.

    python website/instrument/make_bilinear.py

books[k][K] is, for Gaussian pairs and K = K_X = K_Y, a list of [100 rho, codebook(s)]: one
codebook where A and B share it, else two. Between two correlations of the list a mix of both has at
most `SLACK` of the least error at every hundredth; where it has more, as where the best codebooks
become staggered, the list holds the hundredths themselves. A codebook is symmetric about 0; listed
are its positive centres, then its positive thresholds, in units of 1e-4 standard deviations.
Ten minutes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from quantlab import Codebook, GaussianPair, design_bilinear, exact_mse

TABLE = Path(__file__).with_name("bilinear.json")
LEVELS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
INNER_DIMS = (1, 4, 16, 64, 256, 1024)
UNIT = 1e-4
SLACK = 1.005
#: The last correlation, and how far apart two of the list may be, in hundredths.
LAST, STRIDES = 99, (20, 15, 10, 7, 5, 4, 3, 2)

#: Half a codebook, in units.
Half = list[int]


def half(book: Codebook) -> Half:
    """Positive centres, then positive thresholds, in units."""
    k = book.n_levels
    values = np.concatenate([book.centers[(k + 1) // 2 :], book.thresholds[k // 2 :]])
    return [int(value) for value in np.rint(values / UNIT)]


def whole(values: np.ndarray, n_levels: int) -> Codebook:
    """The codebook of a half."""
    n, odd = n_levels // 2, n_levels % 2
    c, t = values[:n] * UNIT, values[n:] * UNIT
    zero = np.zeros(1)
    return Codebook(
        np.concatenate([-c[::-1], zero[: 1 if odd else 0], c]),
        np.concatenate([-t[::-1], zero[: 0 if odd else 1], t]),
    )


def entry(rho: float, n_levels: int, inner_dim: int) -> tuple[list[Half], float]:
    """One codebook, or two where they differ by more than rounding; and the least nmse."""
    books = design_bilinear(GaussianPair(rho), n_levels, inner_dim, symmetric=True)
    halves = [half(book) for book in books]
    same = np.abs(np.subtract(*halves)).max() <= 1
    return halves[:1] if same else halves, books[0].info["nmse"]


def mixed(left: list[Half], right: list[Half], share: float, n_levels: int) -> list[Codebook]:
    """For A and for B, `share` of the way from one entry to another."""
    both = ((np.array(left[i % len(left)]), np.array(right[i % len(right)])) for i in range(2))
    return [whole(a + share * (b - a), n_levels) for a, b in both]


def knots(n_levels: int, inner_dim: int) -> list[tuple[int, list[Half]]]:
    """The list of one K and k."""
    found = [entry(i / 100, n_levels, inner_dim) for i in range(LAST + 1)]

    def close(i: int, j: int) -> bool:
        for between in range(i + 1, j):
            share = (between - i) / (j - i)
            books = mixed(found[i][0], found[j][0], share, n_levels)
            nmse = exact_mse(GaussianPair(between / 100), *books, inner_dim).nmse
            if nmse > SLACK * found[between][1]:
                return False
        return True

    chosen = [0]
    while chosen[-1] < LAST:
        i = chosen[-1]
        stops = (i + stride for stride in STRIDES if i + stride <= LAST)
        chosen.append(next((j for j in stops if close(i, j)), i + 1))
    return [(i, found[i][0]) for i in chosen]


def main() -> None:
    books: dict[str, dict[str, list]] = {}
    for k in INNER_DIMS:
        books[str(k)] = {str(n_levels): knots(n_levels, k) for n_levels in LEVELS}
        print(f"k = {k}: {sum(map(len, books[str(k)].values()))} designs", flush=True)
    table = {"unit": UNIT, "levels": LEVELS, "inner_dims": INNER_DIMS, "books": books}
    text = json.dumps(table, separators=(",", ":")).replace('"books"', '\n"books"')
    TABLE.write_text(text.replace("]]]],", "]]]],\n") + "\n")


if __name__ == "__main__":
    main()
