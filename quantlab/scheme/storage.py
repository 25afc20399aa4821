"""A coder's tensors as they come from a file, checked; and matrices coded by a scheme on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab._files import whole_file
from quantlab.scheme.books import IndexBooks
from quantlab.scheme.coder import USUAL, Coder, spare_tensors

FORMAT = "quantlab.scheme_matrix.v1"
KINDS = ("matrix", "index", "shape")
_LAYOUT = (
    "Rows r of A (operand x), or columns of B as rows (y), in units of 2^exponent where that is "
    "there. codes: uint8, a row is a stream of its indices' codes, index 0 first, index l in "
    "ceil(log2 n_levels[l]) bits, least significant bit first; value[l] = centers[l, code[l]], one "
    "row of centers: for every l. payload: a range coder's words (constriction), one index after "
    "the other, by the tables probabilities; value[l] = offsets[l] + steps[l] * (integer + its "
    "shift). matrix = value @ inverse (value without it); product = values of x @ values of y "
    "transposed, where x.forward is y.inverse transposed. moved: so many float32 numbers moved the "
    "scheme's centers to these. grids: what products lose more on grids of bytes and of words, "
    "over what they lose by the codes."
)
#: Entries of a coded matrix whose length its file does not tell.
_MOST_ENTRIES = 2**31


def coder_of(tensors: Mapping[str, NDArray], kind: str) -> Coder:
    """The coder of a file's tensors; ValueError where they contradict each other.

    What is compiled trusts their sizes, so nothing that a file states is taken unseen.
    """
    k = len(_tensor(tensors, "upper", "f", 2))
    _require(k > 0, "upper must not be empty")
    for name in ("upper", "forward", "inverse"):
        if name in tensors:
            _finite(_tensor(tensors, name, "f", 2), name, (k, k))
    _require(("forward" in tensors) == ("inverse" in tensors), "forward and inverse go together")
    order = _tensor(tensors, "order", "iu", 1)
    _require(np.array_equal(np.sort(order), np.arange(k)), f"order must permute 0 .. {k - 1}")
    if "exponent" in tensors:
        exponent = _tensor(tensors, "exponent", "i", 1)
        _require(exponent.shape == (1,) and abs(int(exponent[0])) <= 2200, "exponent is one number")
    if "steps" in tensors:
        _check_grid(tensors, k)
    else:
        _require(kind in KINDS, f"books must be one of {KINDS}; got {kind!r}")
        _check_books(tensors, k)
        _check_usual(tensors, k)
    spares = spare_tensors(tensors)
    _require(bool(spares) == ("moment" in tensors), "spares and the moment go together")
    if spares:
        _finite(_tensor(tensors, "moment", "f", 2), "moment", (k, k))
        _finite(_tensor(tensors, "margin", "f", 1), "margin", (1,))
        _require(_tensor(tensors, "alike", "i", 1).shape == (1,), "alike is one number")
    for spare in spares:
        coder_of(spare, "matrix")
        _require(len(spare["upper"]) == k and "moment" not in spare, "a spare has the same k")
    return Coder.from_tensors(tensors, kind)


def _check_books(tensors: Mapping[str, NDArray], k: int) -> None:
    centers = _tensor(tensors, "centers", "f", 2)
    rows, most = centers.shape
    _require(rows in (1, k) and 1 <= most <= 256, f"centers has shape {centers.shape}")
    thresholds = _tensor(tensors, "thresholds", "f", 2)
    _require(thresholds.shape == (rows, max(most - 1, 1)), "thresholds lie between centers")
    levels = _tensor(tensors, "n_levels", "iu", 1)
    _require(levels.shape == (rows,), "n_levels has one number a row of centers")
    _require(bool((levels >= 1).all() and (levels <= most).all()), f"n_levels: 1 to {most}")
    used = np.arange(most) < levels[:, None]
    _require(bool(np.isfinite(centers[used]).all()), "centers must be finite")
    between = thresholds[:, : most - 1][used[:, 1:]]
    _require(bool(np.isfinite(between).all()), "thresholds must be finite")


def _check_usual(tensors: Mapping[str, NDArray], k: int) -> None:
    if "moved" in tensors:
        moved = _tensor(tensors, "moved", "i", 1)
        _require(moved.shape == (1,) and 0 <= int(moved[0]) <= 2 * k, "moved is one number")
    if "grids" in tensors:
        _finite(_tensor(tensors, "grids", "f", 1), "grids", (2,))
    if "partners" in tensors:
        partners = _tensor(tensors, "partners", "i", 1)
        known = partners.shape == (1,) and 0 <= int(partners[0]) <= _MOST_ENTRIES
        _require(known and "error" in tensors, "partners is one number, and goes with the error")
    if not any(name in tensors for name in USUAL):
        return
    for name in USUAL:
        _finite(_tensor(tensors, name, "f", 1), name, (1 if name == "error" else k,))
    _require(
        all(bool((tensors[name] >= 0).all()) for name in ("spread", "prices", "error")),
        "spread, prices and error must not be negative",
    )


def _check_grid(tensors: Mapping[str, NDArray], k: int) -> None:
    for name in ("steps", "offsets"):
        _finite(_tensor(tensors, name, "f", 1), name, (k,))
    _require(bool((tensors["steps"] > 0).all()), "steps must be positive")
    least, counts = (_tensor(tensors, name, "i", 1) for name in ("least", "counts"))
    _require(least.shape == counts.shape == (k,), f"least and counts have {k} numbers")
    _require(bool((np.abs(least) <= 2**21).all()), "least is out of reach")
    size = _tensor(tensors, "probabilities", "f", 1).size
    _require(bool((counts >= 1).all() and (counts <= size).all()), "counts are positive")
    _require(int(counts.sum()) == size, "counts add up to the tables' sizes")
    _finite(tensors["probabilities"], "probabilities", (size,))
    _require(bool((tensors["probabilities"] > 0).all()), "probabilities must be positive")
    _finite(_tensor(tensors, "shifts", "f", 1), "shifts", (size,))
    for name in ("bits", "finer"):
        if name in tensors:
            _finite(_tensor(tensors, name, "fi", 1), name, (1,))
    if "sizes" in tensors:
        sizes = _tensor(tensors, "sizes", "i", 1)
        _require(sizes.shape == (k,) and bool((sizes >= 1).all()), "sizes has one number an index")
        total = _tensor(tensors, "points", "f", 1).size
        _require(bool((sizes <= total).all()) and int(sizes.sum()) == total, "sizes add up")
        for name in ("points", "mass"):
            _finite(_tensor(tensors, name, "f", 1), name, (total,))
        apart = np.delete(np.diff(tensors["points"]), np.cumsum(sizes)[:-1] - 1)
        _require(bool((apart > 0).all() and (tensors["mass"] > 0).all()), "densities increase")
    if "borders" in tensors:
        _require(_tensor(tensors, "borders", "f", 1).shape == (size,), "one border an integer")


def _tensor(tensors: Mapping[str, NDArray], name: str, kinds: str, ndim: int) -> NDArray:
    if name not in tensors:
        raise ValueError(f"{name!r} is missing")
    tensor = tensors[name]
    if tensor.dtype.kind not in kinds or tensor.ndim != ndim:
        raise ValueError(
            f"{name} is of {tensor.dtype} and shape {tensor.shape}, which it cannot be"
        )
    return tensor


def _finite(tensor: NDArray, name: str, shape: tuple[int, ...]) -> None:
    _require(tensor.shape == shape, f"{name} must have shape {shape}; got {tensor.shape}")
    _require(bool(np.isfinite(tensor).all()), f"{name} must be finite")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def write(path: str | Path, coded: Any) -> None:
    """Codes or payload, and all that decoding and products need; not what encoding needs."""
    from safetensors.numpy import save_file

    encoding = ("upper", "order", *USUAL, "points", "mass", "sizes", "bits")
    coder = replace(coded.coder, spares=None)
    held = {name: t for name, t in coder.tensors().items() if name not in encoding}
    if coded.payload is None:
        held["codes"] = coded.packed
    else:
        held["payload"] = coded.payload
    header = {
        "format": FORMAT, "layout": _LAYOUT, "operand": coded.operand,
        "books": coded.coder.books.kind,
        "shape": json.dumps([len(coded.codes), coded.coder.inner_dim]),
    }  # fmt: skip
    with whole_file(path) as beside:
        save_file({name: np.ascontiguousarray(t) for name, t in held.items()}, str(beside), header)


def read(path: str | Path) -> tuple[NDArray, Coder, Any, NDArray | None]:
    """Codes, coder, operand and payload; ValueError if the file holds others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}; got {header.get('format')!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from None
    operand, (rows, k) = header.get("operand"), _shape(header.get("shape", ""))
    _require(operand in ("x", "y"), f"operand must be x or y; got {operand!r}")
    for name in ("forward", "inverse", "offsets"):  # each of them says what k is
        if name in tensors:
            _require(len(tensors[name]) == k, f"{name} is not of {k} indices")
    _require(k <= 2**16, f"an inner dimension of {k} is more than a scheme has")
    feedback = {"upper": np.zeros((k, k)), "order": np.arange(k)}
    coder = coder_of(tensors | feedback, header.get("books", ""))
    if isinstance(coder.books, IndexBooks):
        return _unpacked(_tensor(tensors, "codes", "u", 2), coder.books, rows), coder, operand, None
    payload = _tensor(tensors, "payload", "u", 1)
    try:
        codes = coder.books.read(np.ascontiguousarray(payload, np.uint32), rows)
    except (AssertionError, ValueError) as error:
        raise ValueError(f"the payload is damaged: {error}") from None
    return codes, coder, operand, payload


def _shape(text: str) -> tuple[int, int]:
    try:
        shape = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        shape = None
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not whole or min(shape) < 1 or shape[0] * shape[1] > _MOST_ENTRIES:
        raise ValueError(f"shape must be [rows, k]; got {text[:40]!r}")
    return shape[0], shape[1]


def _unpacked(packed: NDArray, books: IndexBooks, rows: int) -> NDArray[np.uint8]:
    bits = books.bits
    width = -(-int(bits.sum()) // 8)
    _require(
        packed.dtype == np.uint8 and packed.shape == (rows, width),
        f"codes must be uint8 of shape {(rows, width)}; got {packed.dtype} of {packed.shape}",
    )
    stream = np.unpackbits(packed, axis=1, bitorder="little")
    codes = np.zeros((rows, bits.size), np.uint8)
    ends = np.cumsum(bits)
    for index, (end, count) in enumerate(zip(ends, bits, strict=True)):
        for bit in range(count):
            codes[:, index] |= stream[:, end - count + bit] << np.uint8(bit)
    _require(bool((codes < books.n_levels).all()), "a code is beyond its codebook")
    return codes
