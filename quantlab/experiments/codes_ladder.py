"""The ladder to the floor for one law: formats, codebooks, entropy-coded ones, lattices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.design import DESIGNS, design_entropy_coded
from quantlab.design.entropy_coded import uniform_at_entropy
from quantlab.entropy import codebook_entropy
from quantlab.experiments.claims import Finding, Run
from quantlab.experiments.statistics import Mean
from quantlab.formats import FORMATS, GROUP_FORMATS
from quantlab.lattices import PyramidCode, VoronoiCode
from quantlab.limits import floor_nmse
from quantlab.pairs import GaussianPair
from quantlab.sweep import Row

#: m, k and n of a trial's product
SHAPE = (192, 256, 192)
#: name -> design or format, and the sizes that it is measured at
_BOOKS: dict[str, tuple[str, tuple[int, ...]]] = {
    "INT": ("int_absmax", (2, 3, 4, 6)), "FP4": ("fp4_e2m1", (4,)), "NF4": ("nf4", (4,)),
    "plain compander": ("gaussian_compander", (2, 3, 4, 6)),
    "Lloyd-Max": ("lloyd_max", (2, 3, 4)), "closed form": ("closed_form", (2, 3, 4, 6)),
    "bilinear": ("bilinear", (2, 3, 4)),
}  # fmt: skip
_GROUPS = {
    "MX": ("mxfp4", "mxfp6_e2m3"), "NV": ("nvfp4",), "GGUF": ("q4_k", "q6_k"),
}  # fmt: skip
_PYRAMIDS = ((32, 24, 4), (32, 48, 5), (32, 100, 6))
_Matrices = tuple[NDArray, NDArray]
#: (a, b) -> the matrices that their codes stand for
_Coder = Callable[[NDArray, NDArray], _Matrices]


def code_rungs(
    rho: float, entropy_bits: Iterable[float] = (1, 2, 3, 4), trials: int = 6, seed: int = 0
) -> list[Row]:
    """Measured nmse of products of a Gaussian pair: a row a rung and size.

    Each with `bits` an entry, scales and gains counted and entropies for codes of variable length,
    the mean `nmse` of the trials, its 95 % interval `low` .. `high`, and `over_floor_db`: over
    `floor_nmse`, which is a bound at rho = 0 and a reference elsewhere.
    """
    pair = GaussianPair(rho)
    samples = [
        pair.sample_matrices(*SHAPE, np.random.default_rng([seed, trial]))
        for trial in range(trials)
    ]
    exact = [a.astype(np.float64) @ b for a, b in samples]
    energy = pair.energy(SHAPE[1])
    rows: list[Row] = []
    for rung, bits, coder in _coders(pair, entropy_bits):
        errors = []
        for (a, b), c in zip(samples, exact, strict=True):
            a_hat, b_hat = coder(a, b)
            errors.append(float(np.mean(np.square(c - a_hat @ b_hat))) / energy)
        mean = Mean.of(errors)
        over = 10 * float(np.log10(mean.value / floor_nmse(bits)))
        rows.append({
            "rho": rho, "rung": rung, "bits": float(bits), "nmse": mean.value,
            "low": max(mean.low, 0.0), "high": mean.high, "over_floor_db": over,
        })  # fmt: skip
    return rows


def _coders(pair: GaussianPair, entropy_bits: Iterable[float]) -> Iterator[tuple[str, Any, _Coder]]:
    k = SHAPE[1]
    for rung, (name, sizes) in _BOOKS.items():
        for bits in sizes:
            made = FORMATS[name] if name in FORMATS else DESIGNS[name]
            if name in FORMATS:
                yield rung, bits, partial(_by_format, name, 2**bits)
            else:
                yield rung, bits, partial(_by_books, made(pair, 2**bits, k))
    for rung, names in _GROUPS.items():
        for name in names:
            yield rung, GROUP_FORMATS[name].bits(SHAPE[:2]), partial(_by_groups, name)
    for entropy in entropy_bits:
        for rung, design in (
            ("uniform, entropy", uniform_at_entropy), ("optimal, entropy", design_entropy_coded),
        ):  # fmt: skip
            books = design(pair, entropy, k)
            spent = codebook_entropy(pair, books[0]), codebook_entropy(pair, books[1], "y")
            yield rung, float(np.mean(spent)), partial(_by_books, books)
    for size in (2, 3, 4):
        code = VoronoiCode.gaussian("E8", size)
        yield "E8", code.bits_per_entry, partial(_by_lattice, code)
    for shape in _PYRAMIDS:
        pyramid = PyramidCode(*shape)
        yield "pyramid", pyramid.bits_per_entry, partial(_by_pyramid, pyramid)


def _by_books(books: tuple[Codebook, Codebook], a: NDArray, b: NDArray) -> _Matrices:
    return books[0].quantize(a), books[1].quantize(b)


def _by_format(name: str, n_levels: int, a: NDArray, b: NDArray) -> _Matrices:
    books = FORMATS[name]((a, b), n_levels)
    return encode(a, books[0]).decode(np.float64), encode(b, books[1]).decode(np.float64)


def _by_groups(name: str, a: NDArray, b: NDArray) -> _Matrices:
    made = GROUP_FORMATS[name]
    return made.encode(a).decode(np.float64), made.encode(b, "y").decode(np.float64)


def _by_lattice(code: VoronoiCode, a: NDArray, b: NDArray) -> _Matrices:
    return code.encode(a).decode(np.float64), code.encode(b, "y").decode(np.float64)


def _by_pyramid(code: PyramidCode, a: NDArray, b: NDArray) -> _Matrices:
    a_hat, b_hat = code.decode(*code.encode(a)), code.decode(*code.encode(b.T))
    return a_hat[:, : a.shape[1]], b_hat[:, : b.shape[0]].T


def codes_ladder(run: Run) -> Finding:
    """The rungs at several correlations, as a table of `quantlab reproduce`."""
    rhos: Sequence[float] = (0.0,) if run.quick else (0.0, 0.5, 0.8, 0.95)
    bits = (1, 2) if run.quick else (1, 2, 3, 4)
    trials = 3 if run.quick else 8
    rows = [row for rho in rhos for row in code_rungs(rho, bits, trials, run.seed)]
    settings = {"rho": list(rhos), "shape": SHAPE, "trials": trials, "seed": run.seed}
    return Finding([], {"the ladder to the floor": rows}, settings)
