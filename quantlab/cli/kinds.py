"""What kind of file one is, by its first bytes and its header."""

from __future__ import annotations

from enum import Enum
from pathlib import Path


class Kind(Enum):
    """Files that quantlab writes, and others."""

    SCHEME = "scheme"
    CODES = "coded matrix"
    OFFSET_CODES = "coded matrix with offsets"
    LATTICE_CODES = "matrix of lattice points"
    SCHEME_CODES = "matrix coded by a scheme"
    CODEBOOKS = "codebooks"
    OTHER = "matrices"


_BY_FORMAT = {
    "quantlab.scheme.v1": Kind.SCHEME,
    "quantlab.coded_matrix.v1": Kind.CODES,
    "quantlab.offset_matrix.v1": Kind.OFFSET_CODES,
    "quantlab.lattice_matrix.v1": Kind.LATTICE_CODES,
    "quantlab.scheme_matrix.v1": Kind.SCHEME_CODES,
    "quantlab.codebooks.v1": Kind.CODEBOOKS,
}


def kind_of_file(path: Path) -> Kind:
    """By the format in a safetensors header; JSON is codebooks. Nothing but the header is read."""
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as file:
        start = file.read(9)
    if path.suffix.lower() == ".json" or start.lstrip()[:1] in (b"{", b"["):
        return Kind.CODEBOOKS
    if start[8:] != b"{":
        return Kind.OTHER
    try:
        with safe_open(str(path), framework="np") as file:
            return _BY_FORMAT.get((file.metadata() or {}).get("format", ""), Kind.OTHER)
    except SafetensorError:
        return Kind.OTHER
