"""Make the coders of a model's products: by each design, from the operands on some texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quantlab import _validate as check
from quantlab.balancing import Basis, balance
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.design import DESIGNS, design_empirical
from quantlab.formats import FORMATS, GROUP_FORMATS, GroupFormat
from quantlab.model.operands import Array, Operands
from quantlab.model.routing import Coded, Coder
from quantlab.model.schemes import books_of_values, feed_back, scheme_halves
from quantlab.pairs import EmpiricalPair
from quantlab.scheme.coder import Coder as Half

#: What products are coded by, from the plainest to the best; those that do not exist at a number
#: of bits are left out by `designs_at`.
MODEL_DESIGNS = (
    "int_absmax", "int4_g32", "int8_g32", "mxfp4", "nvfp4", "mxfp6_e2m3", "mxfp8_e4m3",
    "gaussian_compander", "closed_form", "empirical", "balanced", "scheme",
)  # fmt: skip
_OF_DATA = ("empirical", "balanced", "scheme")


def designs_at(bits: int) -> list[str]:
    """Those of `MODEL_DESIGNS` that exist at `bits`, from 2 to 8.

    Examples
    --------
    >>> designs_at(3)[:3]
    ['int_absmax', 'gaussian_compander', 'closed_form']
    """
    levels = 2 ** check.count(bits, "bits", 2, 8)
    return [name for name in MODEL_DESIGNS if _exists(name, levels)]


def _exists(design: str, levels: int) -> bool:
    if design in GROUP_FORMATS:
        return 2 ** GROUP_FORMATS[design].code_bits == levels
    if design in FORMATS:
        return FORMATS[design].exists_at(levels)
    if design not in (*DESIGNS, *_OF_DATA):
        raise ValueError(f"design must be one of {MODEL_DESIGNS}; got {design!r}")
    return True


def code_products(
    products: Mapping[str, Operands], design: str, bits: int | Mapping[str, int]
) -> dict[str, Coder]:
    """A coder for each product, made from its operands on calibration texts.

    Parameters
    ----------
    products : mapping
        As `record_products` gives it.
    design : str
        A name of `DESIGNS`, `FORMATS` or `GROUP_FORMATS`; "empirical": `design_empirical`;
        "balanced": that in the basis of `balance`; "scheme": as `design_scheme`, with
        parts fixed by the inner dimension.
    bits : int or mapping
        Of a code, from 2 to 8; or for each `Operands.group`.

    Returns
    -------
    dict
        Name -> coder, for `run_model`.

    Raises
    ------
    ValueError, TypeError
        If the design does not exist at these bits, or a group has none.

    Notes
    -----
    Scales and codebooks are those of the calibration texts; only formats of groups take theirs from
    what they code. In attention times values the inner index is the token, and no index is like
    the next text's: "empirical" and "balanced" are one codebook an operand there, and "scheme"
    is that, rounded with feedback by the moments of the text itself.
    """
    made: dict[str, Coder] = {}
    for name, operands in products.items():
        own = bits.get(operands.group) if isinstance(bits, Mapping) else bits
        if own is None:
            raise ValueError(f"bits must have all groups; got none for {operands.group}")
        made |= code_at({name: operands}, design, (own,))[own]
    return made


def code_at(
    products: Mapping[str, Operands], design: str, rates: Sequence[int]
) -> dict[int, dict[str, Coder]]:
    """`code_products` at each of some numbers of bits: what they share is computed once."""
    for rate in rates:
        if not _exists(design, 2 ** check.count(rate, "bits", 2, 8)):
            raise ValueError(f"{design} does not exist at {rate} bits")
    found: dict[int, dict[str, Coder]] = {rate: {} for rate in rates}
    for name, operands in products.items():
        for rate, coder in _coders(operands, design, rates).items():
            found[rate][name] = coder
    return found


def _coders(operands: Operands, design: str, rates: Sequence[int]) -> Mapping[int, Coder]:
    if design in GROUP_FORMATS:
        return dict.fromkeys(rates, _ByGroups(GROUP_FORMATS[design]))
    if not all(any(part.any() for part in side) for side in (operands.x, operands.y)):
        return dict.fromkeys(rates, _as_it_is)
    if design in _OF_DATA and operands.kind == "values":
        how = _ByFeedback if design == "scheme" else _ByBooks
        return {rate: how(*books_of_values(operands, 2**rate)) for rate in rates}
    pair = operands.pair()
    if design in FORMATS:
        return {rate: _ByBooks(*FORMATS[design](pair, 2**rate)) for rate in rates}
    if design in DESIGNS:
        law = pair.gaussian()
        return {r: _ByBooks(*DESIGNS[design](law, 2**r, pair.inner_dim)) for r in rates}
    if design == "scheme":
        return {rate: _ByScheme(*halves) for rate, halves in scheme_halves(pair, rates).items()}
    basis = None
    if design == "balanced":
        basis = balance(pair)
        pair = EmpiricalPair(*basis.apply(pair.a, pair.b))
    return {
        rate: _ByBooks(*design_empirical(pair, 2**rate, smoothing="auto"), basis) for rate in rates
    }


def side_bits(coders: Mapping[str, Coder], products: Mapping[str, Operands]) -> float:
    """Bits beside the codes, an entry of all operands: scales, centres, means and deviations."""
    total = sum(
        coder.side_bits(products[name])
        for name, coder in coders.items() if isinstance(coder, _Cached)
    )  # fmt: skip
    return total / sum(each.entries for each in products.values())


def _as_it_is(operands: Operands) -> Coded:
    return operands.x, operands.y


@dataclass
class _Cached:
    """Weights are coded once."""

    weights: tuple[Array, ...] | None = field(default=None, init=False, repr=False)

    def __call__(self, operands: Operands) -> Coded:
        x = self.side(operands.x, 0)
        if operands.kind != "linear":
            return x, self.side(operands.y, 1)
        if self.weights is None:
            self.weights = self.side(operands.y, 1)
        return x, self.weights

    def side(self, parts: tuple[Array, ...], which: int) -> tuple[Array, ...]:
        raise NotImplementedError

    def side_bits(self, operands: Operands) -> float:
        """Of scales, or of centres in float32 or as `Coder.side_bytes` counts them."""
        raise NotImplementedError


@dataclass
class _ByBooks(_Cached):
    """A codebook an operand, in a basis of the inner index or as it is."""

    book_x: Codebook
    book_y: Codebook
    basis: Basis | None = None

    def side(self, parts: tuple[Array, ...], which: int) -> tuple[Array, ...]:
        book = (self.book_x, self.book_y)[which]
        if self.basis is not None:
            there, back = self.basis.forward, self.basis.inverse
            if which:
                there, back = back.T, there.T
            (rows,) = parts
            coded = encode((rows @ there).astype(np.float32), book).decode(np.float64)
            return ((coded @ back).astype(np.float32),)
        flat = np.concatenate([part.ravel() for part in parts])[None]
        coded = encode(flat, book).decode()[0]
        ends = np.cumsum([part.size for part in parts])[:-1]
        split = np.split(coded, ends)
        return tuple(c.reshape(part.shape) for c, part in zip(split, parts, strict=True))

    def side_bits(self, operands: Operands) -> float:
        return 32 * (self.book_x.n_levels + self.book_y.n_levels)


@dataclass
class _ByFeedback(_ByBooks):
    """Attention by values: each text's values steered by its probabilities, then these by those."""

    def __call__(self, operands: Operands) -> Coded:
        y = tuple(feed_back(v, p, self.book_y) for p, v in zip(operands.x, operands.y, strict=True))
        if not all(p.all() for p in operands.x):  # what a token does not see stays zero
            return self.side(operands.x, 0), y
        return tuple(feed_back(p, v, self.book_x) for p, v in zip(operands.x, y, strict=True)), y


@dataclass
class _ByGroups(_Cached):
    """A scale for each group of entries along the inner index, from the entries themselves."""

    kind: GroupFormat

    def side(self, parts: tuple[Array, ...], which: int) -> tuple[Array, ...]:
        longest = max(part.shape[1] for part in parts)
        padded = [np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts]
        coded = self.kind.encode(np.vstack(padded)).decode()
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return tuple(
            np.ascontiguousarray(rows[:, : part.shape[1]])
            for rows, part in zip(np.split(coded, ends), parts, strict=True)
        )

    def side_bits(self, operands: Operands) -> float:
        parts = (*operands.x, *operands.y)
        return sum((self.kind.bits(p.shape) - self.kind.code_bits) * p.size for p in parts)


@dataclass
class _ByScheme(_Cached):
    """The halves of a scheme."""

    half_x: Half
    half_y: Half

    def side(self, parts: tuple[Array, ...], which: int) -> tuple[Array, ...]:
        half = (self.half_x, self.half_y)[which]
        (rows,) = parts
        coder, codes = half.code(np.ascontiguousarray(rows))
        return (coder.restored(coder.values(codes)).astype(np.float32),)

    def side_bits(self, operands: Operands) -> float:
        return 8 * (self.half_x.side_bytes + self.half_y.side_bytes)
