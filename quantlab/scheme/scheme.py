"""Scheme: how two matrices are coded for their product, for them and for what comes later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from quantlab import _validate as check
from quantlab._files import whole_file
from quantlab._matrices import finite_matrix
from quantlab.pairs import Operand
from quantlab.scheme.coded import SchemeMatrix
from quantlab.scheme.coder import Coder
from quantlab.scheme.lengths import TOLD_BITS, EntropyGrid
from quantlab.scheme.storage import coder_of

_FORMAT = "quantlab.scheme.v1"
_SLACK = (48, 112)  # bits that tell the step and end the coder: as a rule, and at most
_BOOKS = {
    "matrix": "one codebook a matrix",
    "index": "a codebook an index",
    "shape": "a mean and a deviation an index",
}
_LAYOUT = (
    "x.* codes rows r of A (m, k), y.* columns of B (k, n) as rows r, in units of 2^exponent where "
    "that is there. v = r @ forward (v = r without it). For i = k - 1 .. 0, l = order[i]: "
    "t = v[l] - sum over j > i of upper[i, j] * "
    "e[order[j]]; fixed length: code[l] = number of thresholds[l] below t, value[l] = "
    "centers[l, code[l]] (one row of centers: for every l; n_levels[l] are used); variable: "
    "z = (t - offsets[l]) / steps[l], code[l] = round(z), or with borders the first integer whose "
    "border is not below z; value[l] = offsets[l] + steps[l] * (code[l] + its shift); "
    "e[l] = value[l] - v[l]. Product = values of x @ values of y transposed; matrix = value @ "
    "inverse. probabilities, shifts, borders: one table an index, one behind the other, counts[l] "
    "integers from least[l]; 1e-4 is left for an escape. mean, spread, prices, error: of the rows "
    "that codebooks were fitted to; coded rows that lie elsewhere bring shift and stretch, by "
    "which centers[l] and thresholds[l] become mean[l] + shift[l] + stretch[l] (each - mean[l]). "
    "partners, where A = B^T: upper may then follow (partners * M + sum of r r^T + rows * d I) / "
    "(partners + rows) for the rows r at hand, M the moment that it follows, d their mean squared "
    "error. grids: what products lose more on grids of bytes and of words, over what they lose by "
    "the codes. "
    "spare0.*, spare1.*, ... are coders of their own for the same rows: the one with the least sum "
    "of (row's error) moment (row's error)^T, or where alike is 1 the least error of rows times "
    "rows transposed, codes them; that of the first taken margin times."
)


@dataclass(frozen=True, eq=False)
class Scheme:
    r"""How A and B are coded for their product; made by `design_scheme`.

    .. math:: C = A B \approx (\hat A T)(T^{-1} \hat B)

    for A (m, k) and B (k, n), in the basis T of the scheme.

    Attributes
    ----------
    x, y : Coder or None
        The halves for A and for B; None: that operand stays as it is.
    basis, rates, rounding, lengths, books : str
        The parts; see `design_scheme`.
    predicted_nmse : float
        By equation (2) from the matrices that it was designed for.
    info : dict
        Settings, and the errors that the choice was made by.

    Examples
    --------
    >>> from quantlab import GaussianPair, design_scheme
    >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
    >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
    >>> scheme.basis, scheme.rounding in ("nearest", "feedback")
    ('balanced', True)
    """

    x: Coder | None
    y: Coder | None
    basis: str
    rates: str
    rounding: str
    lengths: str
    books: str
    predicted_nmse: float
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inner_dim(self) -> int:
        """k.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> scheme.inner_dim
        8
        """
        coder = self.x or self.y
        assert coder is not None
        return coder.inner_dim

    @property
    def bits_per_entry(self) -> tuple[float | None, float | None]:
        """Mean bits of an entry of (x, y); None where nothing is coded, or the length varies.

        With lengths="entropy" what was written is known of each coded matrix.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> scheme.bits_per_entry
        (4.0, 4.0)
        """
        x, y = (None if coder is None else coder.books.bits_per_entry for coder in (self.x, self.y))
        return x, y

    @property
    def side_bytes(self) -> int:
        """Bytes of centres, or of steps, offsets and tables, that products need beside the codes.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> scheme.side_bytes > 0
        True
        """
        return sum(coder.side_bytes for coder in (self.x, self.y) if coder is not None)

    def encode(self, matrix: ArrayLike, operand: Operand) -> SchemeMatrix:
        """Code rows of A, or columns of B; later ones too.

        Where they lie elsewhere than those that the scheme was fitted to (a trend, another scale)
        codebooks are moved for all of them together, if that pays; the numbers that say so count
        in `bits_per_entry`. Plainer codebooks that the scheme keeps as spares take over where all
        of them together lose less by those. With lengths="entropy" the steps are the finest at
        which these rows are written in the scheme's bits. Where the scheme was designed for A = B^T
        the rows at hand are taken for both: feedback follows their moment too, which decoding need
        not know. See `Coder.code`.

        Parameters
        ----------
        matrix : array_like
            A (m, k) for operand "x", B (k, n) for operand "y".
        operand : {"x", "y"}
            Which factor the matrix is.

        Returns
        -------
        SchemeMatrix
            Of the same shape.

        Raises
        ------
        ValueError, TypeError
            If the matrix is not valid, has another inner dimension, or its operand stays as it is.
        ImportError
            If the scheme has codes of variable length and constriction is not installed.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> scheme.encode(a, "x").shape
        (64, 8)
        """
        coder = self.x if check.operand(operand) == "x" else self.y
        name = "a" if operand == "x" else "b"
        rows = finite_matrix(matrix, name)
        if coder is None:
            raise ValueError(f'operand "{operand}" stays as it is in this scheme: multiply it so')
        k = rows.shape[1 if operand == "x" else 0]
        if k != self.inner_dim:
            raise ValueError(
                f"this scheme is for the inner dimension {self.inner_dim}; got {name} of shape "
                f"{rows.shape}"
            )
        rows, payload = np.ascontiguousarray(rows if operand == "x" else rows.T), None
        for slack in _SLACK:
            own, codes = coder.code(rows, slack)
            if not isinstance(own.books, EntropyGrid):
                break
            payload = own.books.write(codes)
            written = 32 * payload.size + TOLD_BITS
            if own.books.finer is None or written <= (own.books.bits or 0) * codes.size:
                break
        return SchemeMatrix(codes, own, operand, payload)

    def save(self, path: str | Path) -> None:
        """Write safetensors, readable without quantlab: the header holds the parts and the layout.

        Parameters
        ----------
        path : path
            The file, whole or not at all.

        Raises
        ------
        FileNotFoundError
            If the folder is not there.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scheme.save(f"{folder}/s.safetensors")
        ...     Scheme.load(f"{folder}/s.safetensors").basis
        'balanced'
        """
        from safetensors.numpy import save_file

        tensors = {
            f"{operand}.{name}": np.ascontiguousarray(tensor)
            for operand, coder in (("x", self.x), ("y", self.y))
            if coder is not None
            for name, tensor in coder.tensors().items()
        }
        header = {
            "format": _FORMAT, "layout": _LAYOUT, "basis": self.basis, "rates": self.rates,
            "rounding": self.rounding, "lengths": self.lengths, "books": self.books,
            "predicted_nmse": json.dumps(self.predicted_nmse), "info": json.dumps(dict(self.info)),
        }  # fmt: skip
        with whole_file(path) as beside:
            save_file(tensors, str(beside), header)

    @classmethod
    def load(cls, path: str | Path) -> Scheme:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Scheme

        Raises
        ------
        ValueError
            If it holds something else; the message names the file and what is wrong with it.
        OSError
            If there is no such file.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scheme.save(f"{folder}/s.safetensors")
        ...     again = Scheme.load(f"{folder}/s.safetensors")
        >>> bool(np.array_equal(again.encode(a, "x").codes, scheme.encode(a, "x").codes))
        True
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="np") as file:
                header = file.metadata() or {}
                if header.get("format") != _FORMAT:
                    came = header.get("format")
                    raise ValueError(f"{path} must have format {_FORMAT!r}; got {came!r}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from None
        try:
            halves: dict[str, Coder | None] = {"x": None, "y": None}
            for operand in halves:
                own = {
                    name.partition(".")[2]: tensor
                    for name, tensor in tensors.items()
                    if name.startswith(f"{operand}.")
                }
                if own:
                    halves[operand] = coder_of(own, header["books"])
            basis, rates, rounding, lengths, books = (
                header[name] for name in ("basis", "rates", "rounding", "lengths", "books")
            )
            nmse, info = json.loads(header["predicted_nmse"]), json.loads(header["info"])
        except KeyError as error:
            raise ValueError(f"{path}: {error.args[0]!r} is missing") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: predicted_nmse and info must be JSON: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if halves["x"] is halves["y"] is None or not isinstance(info, dict):
            raise ValueError(f"{path} holds no coder, or an info that is not an object")
        x, y = halves["x"], halves["y"]
        return cls(x, y, basis, rates, rounding, lengths, books, nmse, info)

    def __repr__(self) -> str:
        parts = [self.basis + " basis" if self.basis != "none" else "own basis", self.rounding]
        parts += [f"{self.rates} rates", f"{self.lengths} length"]
        if self.lengths == "fixed":
            parts.append(_BOOKS[self.books])
        bits = self.info.get("bits", "?")
        return (
            f"Scheme(k={self.inner_dim}, {bits} bits: {', '.join(parts)}; "
            f"predicted nmse {self.predicted_nmse:.3g})"
        )
