"""Every design side by side, for a law or for two matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _display
from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.balancing import Basis, balance
from quantlab.blocks import coded_bits, encode_blocks
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix, encode
from quantlab.design import DESIGNS, design_empirical
from quantlab.distortion import exact_mse
from quantlab.formats import GroupFormat, OffsetMatrix, formats_at, group_formats_at
from quantlab.limits import floor_nmse, limit_nmse, product_spectrum
from quantlab.pairs import EmpiricalPair, GaussianPair, Pair
from quantlab.progress import Meter, Progress
from quantlab.scheme import Scheme, SchemeMatrix, design_scheme

Matrices = tuple[NDArray, NDArray]
#: Largest inner dimension of the change of basis, whose time grows as its cube: some seconds.
_MOST_IN_BASIS = 2048
#: The same of a scheme, which fits codebooks an index for each way that it tries.
_MOST_IN_SCHEME = 256
Coded = tuple[CodedMatrix | OffsetMatrix | SchemeMatrix, CodedMatrix | OffsetMatrix | SchemeMatrix]
Coder = Callable[[NDArray, NDArray], Coded]


@dataclass(frozen=True)
class ReportRow:
    """One design's line.

    Attributes
    ----------
    design : str
        Name; "nf4/32" is nf4 with a scale for every 32 entries along the inner dimension, "nvfp4"
        and others as in `GROUP_FORMATS`, "scheme" what `design_scheme` chose.
    n_levels : (int, int)
        K_X, K_Y: a format may have fewer than 2^bits; the most of an index for a scheme.
    bits_per_entry : float
        Mean of both matrices and all samples, scales included.
    exact_nmse : float or None
        Under the law; None for matrices and for block-wise scales.
    measured_nmse : float
        On sampled matrices, or on the matrices given.
    bias_share : float
        Share of the mean error's square in the mean squared error.
    gain, nmse_with_gain : float
        Best scalar on the product, and the nmse that it leaves.
    floor_db : float or None
        10 log10 of the nmse over `floor_nmse(bits_per_entry)`; for independent Gaussian operands.
    limit_db : float or None
        10 log10 of the nmse over `limit_nmse` of the matrices given at `bits_per_entry`; None for
        laws. A reference, which matrices of few values can be below.
    best_db : float
        10 log10 of the nmse over the least of all rows.
    side_bytes : int
        What products need beside the codes and scales: the codebooks, float32.
    encode_seconds, product_seconds : float
        Of all samples, on this machine as it was: for orders of magnitude.
    """

    design: str
    n_levels: tuple[int, int]
    bits_per_entry: float
    exact_nmse: float | None
    measured_nmse: float
    bias_share: float
    gain: float
    nmse_with_gain: float
    floor_db: float | None
    limit_db: float | None
    best_db: float
    side_bytes: int
    encode_seconds: float = field(compare=False)
    product_seconds: float = field(compare=False)

    @property
    def nmse(self) -> float:
        """Exact where it is known, else measured."""
        return self.measured_nmse if self.exact_nmse is None else self.exact_nmse


_FIELDS = fields(ReportRow)


@dataclass(frozen=True)
class DesignReport:
    """Rows from the least nmse to the largest, and the settings that made them.

    `report["bilinear"]` is that design's row.

    Attributes
    ----------
    rows : tuple of ReportRow
        One a design; their fields are the columns of `to_dataframe`.
    settings : dict
        Everything needed to make it again.

    Examples
    --------
    >>> from quantlab import GaussianPair, design_report
    >>> report = design_report(GaussianPair(rho=0.8), bits=2, inner_dim=16)
    >>> report.rows[0].nmse <= report["lloyd_max"].nmse
    True
    """

    rows: tuple[ReportRow, ...]
    settings: dict[str, Any]

    def __getitem__(self, design: str) -> ReportRow:
        for row in self.rows:
            if row.design == design:
                return row
        raise KeyError(f"{design!r} is not in the report: {[row.design for row in self.rows]}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON.

        Returns
        -------
        dict
            settings, and rows: a dict each.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_report
        >>> report = design_report(GaussianPair(rho=0.8), bits=2, inner_dim=16)
        >>> sorted(report.to_dict())
        ['rows', 'settings']
        """
        return {"settings": dict(self.settings), "rows": [asdict(row) for row in self.rows]}

    def to_markdown(self) -> str:
        """A table to paste; numbers to four digits.

        Returns
        -------
        str

        Examples
        --------
        >>> from quantlab import GaussianPair, design_report
        >>> report = design_report(GaussianPair(rho=0.8), bits=2, inner_dim=16)
        >>> report.to_markdown().startswith("| design |")
        True
        """
        names = [field.name for field in _FIELDS]
        lines = ["| " + " | ".join(names) + " |", "|" + "|".join(["---"] * len(names)) + "|"]
        lines += [
            "| " + " | ".join(_display.cell(getattr(row, name)) for name in names) + " |"
            for row in self.rows
        ]
        return "\n".join(lines)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, a row a design, which is its index; NaN where a value is None.

        Returns
        -------
        pandas.DataFrame
            The settings are in its `attrs`.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_report
        >>> report = design_report(GaussianPair(rho=0.8), bits=2, inner_dim=16)
        >>> report.to_dataframe().index.name
        'design'
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "to_dataframe needs pandas (pip install pandas); to_dict and to_markdown do not"
            ) from None
        records = []
        for row in self.rows:
            record = asdict(row)
            record["n_levels_x"], record["n_levels_y"] = record.pop("n_levels")
            records.append({k: np.nan if v is None else v for k, v in record.items()})
        frame = pd.DataFrame.from_records(records, index="design")
        frame.attrs = dict(self.settings)
        return frame

    def _repr_html_(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        every = {field.name: [getattr(row, field.name) for row in self.rows] for field in _FIELDS}
        known = {name: column for name, column in every.items() if set(column) != {None}}
        return _display.table(
            f"Designs: {settings}", list(known), zip(*known.values(), strict=True)
        )


def design_report(
    pair: Pair | tuple[ArrayLike, ArrayLike],
    bits: int,
    inner_dim: int | None = None,
    *,
    held_out: Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
    groups: Sequence[int] = (),
    trials: int = 8,
    rng: int = 0,
    progress: Progress = None,
) -> DesignReport:
    r"""Error of every design at one size, for a law or for two given matrices.

    .. math:: \mathrm{nmse} = \frac{\sum \lVert C - \hat C \rVert_F^2}{\sum \lVert C \rVert_F^2}

    Parameters
    ----------
    pair : Pair or (array_like, array_like)
        A law, or the matrices a (m, k) and b (k, n), also as an EmpiricalPair.
    bits : int
        b, from 1 to 8: designs have 2^b levels; formats join where they exist, those of
        `GROUP_FORMATS` where a code has b bits, their scales beside it.
    inner_dim : int, optional
        k for a law, 256 unless given; matrices have theirs.
    held_out : iterable of (a, b), optional
        Only with matrices: measure on these instead of those designed for.
    groups : sequence of int
        Block-wise scales for these group sizes, for every format that scales by absmax: float16,
        or float32 where `encode_blocks` needs them, and their bits counted.
    trials : int
        Pairs of matrices (128, k) and (k, 128) that a law's error is measured on.
    rng : int
        Seed of the trials.
    progress : callable or True, optional
        progress(done, total, seconds left) at each design and at each row; True: a bar of tqdm's.

    Returns
    -------
    DesignReport

    Raises
    ------
    ValueError, TypeError
        If bits, groups, trials or the matrices are not valid, or an argument does not apply.

    Notes
    -----
    Designs of a law meet data through `EmpiricalPair.gaussian`; "empirical" is fitted to the
    matrices, with smoothing="auto" where others are held out, and "balanced" likewise in the basis
    of `balance` (up to k = 2048); "scheme" is what `design_scheme` makes of them (up to k = 256).
    `exact_nmse` is of `exact_mse`.

    Examples
    --------
    >>> import quantlab as ql
    >>> report = design_report(ql.GaussianPair(rho=0.8), bits=4, trials=2)
    >>> f"{report['bilinear'].exact_nmse:.3e} {report['closed_form'].exact_nmse:.3e}"
    '1.911e-04 2.106e-04'
    """
    n_levels = 2 ** check.count(bits, "bits", 1, 8)
    if not isinstance(pair, Pair):
        pair = EmpiricalPair(*pair)
    if isinstance(pair, EmpiricalPair):
        if inner_dim is not None:
            raise ValueError(f"inner_dim is for laws: matrices have theirs; got {inner_dim}")
        data, e_x, e_y = pair.unit()
        samples = (
            [(data.a, data.b)]
            if held_out is None
            else [
                (np.ldexp(a, -e_x), np.ldexp(b, -e_y))
                for a, b in (_checked(*each) for each in held_out)
            ]
        )
        if not samples:
            raise ValueError("held_out must hold at least one pair of matrices; got none")
        described, pair = repr(pair), data
        law: Pair = data.gaussian()
        k, energy = data.inner_dim, None
    else:
        if held_out is not None:
            raise ValueError("held_out is for matrices; a law's error is measured on samples")
        k = check.count(256 if inner_dim is None else inner_dim, "inner_dim")
        described, pair = repr(pair), pair.unit()[0]
        law, energy = pair, pair.energy(k)
        samples = [
            pair.sample_matrices(128, k, 128, np.random.default_rng([rng, trial]))
            for trial in range(check.count(trials, "trials"))
        ]

    formats, grouped = formats_at(n_levels), group_formats_at(bits)
    in_blocks = [name for name, each in formats.items() if each.scaling == "absmax"]
    total = 2 * (len(DESIGNS) + len(formats)) + 5 + len(groups) * len(in_blocks) + len(grouped)
    with Meter(progress, total, label="design_report") as meter:
        books = {}
        for name, design in DESIGNS.items():
            books[name] = design(law, n_levels, k)
            meter.add()
        for name, each in formats.items():
            books[name] = each(pair, n_levels)
            meter.add()
        rows = []
        if isinstance(pair, EmpiricalPair):
            smoothing: float | Literal["auto"] = 0.0 if held_out is None else "auto"
            books["empirical"] = design_empirical(pair, n_levels, smoothing=smoothing)
            meter.add()
            if k <= _MOST_IN_BASIS:
                basis = balance(pair)
                moved = design_empirical(basis.apply(pair.a, pair.b), n_levels, smoothing=smoothing)
                coder = partial(_encode_in_basis, basis, *moved)
                rows.append(_measured("balanced", samples, coder, energy))
                meter.add()
            if k <= _MOST_IN_SCHEME:
                scheme = design_scheme(pair, bits)
                meter.add()
                rows.append(
                    _measured("scheme", samples, partial(_encode_by_scheme, scheme), energy)
                )
                meter.add()
        for name, (cb_x, cb_y) in books.items():
            row = _measured(name, samples, partial(_encode_both, cb_x, cb_y), energy)
            if not isinstance(pair, EmpiricalPair):
                exact = exact_mse(pair, cb_x, cb_y, k)
                row = replace(
                    row, exact_nmse=exact.nmse, bias_share=exact.bias_share, gain=exact.gain,
                    nmse_with_gain=exact.nmse_with_gain,
                )  # fmt: skip
            rows.append(row)
            meter.add()
        for name, made in grouped.items():
            in_format, bits_of = partial(_encode_by_format, made), partial(_format_bits, made)
            rows.append(_measured(name, samples, in_format, energy, bits_of))
            meter.add()
        for group in groups:
            for name in in_blocks:
                unit = Codebook(formats[name].levels(n_levels), info={"design": name})
                coder = partial(_encode_both_in_blocks, unit, group)
                rows.append(_measured(f"{name}/{group}", samples, coder, energy))
                meter.add()

    rows.sort(key=lambda row: row.nmse)
    independent = isinstance(pair, GaussianPair) and pair.rho == 0
    spectrum = None
    if isinstance(pair, EmpiricalPair) and k <= _MOST_IN_BASIS:
        spectrum = product_spectrum(pair)
    ranked = tuple(
        replace(
            row,
            best_db=_decibel(row.nmse, rows[0].nmse),
            floor_db=_decibel(row.nmse, floor_nmse(row.bits_per_entry)) if independent else None,
            limit_db=None
            if spectrum is None
            else _decibel(row.nmse, limit_nmse(spectrum, row.bits_per_entry)),
        )
        for row in rows
    )
    settings = {"pair": described, "bits": bits, "inner_dim": k, "samples": len(samples)}
    return DesignReport(ranked, settings | {"rng": rng})


def _decibel(nmse: float, reference: float) -> float:
    if reference == 0:
        return 0.0 if nmse == 0 else float("inf")
    return float(10 * np.log10(nmse / reference)) if nmse > 0 else float("-inf")


def _checked(a: ArrayLike, b: ArrayLike) -> Matrices:
    left, right = finite_matrix(a, "a"), finite_matrix(b, "b")
    check.multipliable(left.shape, right.shape)
    return left, right


def _encode_both(
    cb_x: Codebook, cb_y: Codebook, a: NDArray, b: NDArray
) -> tuple[CodedMatrix, CodedMatrix]:
    return encode(a, cb_x), encode(b, cb_y)


def _encode_in_basis(
    basis: Basis, cb_x: Codebook, cb_y: Codebook, a: NDArray, b: NDArray
) -> tuple[CodedMatrix, CodedMatrix]:
    return _encode_both(cb_x, cb_y, *basis.apply(a, b))


def _encode_by_scheme(scheme: Scheme, a: NDArray, b: NDArray) -> tuple[SchemeMatrix, SchemeMatrix]:
    return scheme.encode(a, "x"), scheme.encode(b, "y")


def _encode_both_in_blocks(
    unit: Codebook, group: int, a: NDArray, b: NDArray
) -> tuple[CodedMatrix, CodedMatrix]:
    return encode_blocks(a, unit, group, "x"), encode_blocks(b, unit, group, "y")


def _encode_by_format(made: GroupFormat, a: NDArray, b: NDArray) -> Coded:
    return made.encode(a, "x"), made.encode(b, "y")


def _format_bits(made: GroupFormat, coded: Any) -> float:
    a, b = coded
    return 0.5 * (made.bits(a.shape, "x") + made.bits(b.shape, "y"))


def _own_bits(coded: Any) -> float:
    return 0.5 * sum(map(_bits, coded))


def _measured(
    design: str,
    samples: list[Matrices],
    coder: Coder,
    energy: float | None,
    bits_of: Callable[[Any], float] = _own_bits,
) -> ReportRow:
    """Pooled error, bias share and gain; `energy` is E[C_ij^2] if that is known."""
    count, total, error, signed, cross, own, bits, encoding, multiplying = np.zeros(9)
    for a, b in samples:
        c = a.astype(np.float64) @ b.astype(np.float64)
        start = perf_counter()
        a_coded, b_coded = coder(a, b)
        made = perf_counter()
        _ = a_coded @ b_coded
        encoding += made - start
        multiplying += perf_counter() - made
        coded = a_coded.decode(np.float64) @ b_coded.decode(np.float64)
        left = c - coded
        count += c.size
        total += np.vdot(c, c)
        error += np.vdot(left, left)
        signed += left.sum()
        cross += np.vdot(c, coded)
        own += np.vdot(coded, coded)
        bits += bits_of((a_coded, b_coded)) / len(samples)
    scale = total if energy is None else energy * count
    if scale == 0:
        raise ValueError("nmse needs a product that is not zero everywhere")
    with_gain = max(total - cross**2 / own, 0.0) if own > 0 else total
    return ReportRow(
        design=design,
        n_levels=(_levels(a_coded), _levels(b_coded)),
        bits_per_entry=float(bits),
        side_bytes=sum(
            coded.coder.side_bytes if isinstance(coded, SchemeMatrix) else 4 * _levels(coded)
            for coded in (a_coded, b_coded)
        ),
        exact_nmse=None,
        measured_nmse=float(error / scale),
        bias_share=float(signed**2 / count / error) if error > 0 else 0.0,
        gain=float(cross / own) if own > 0 else 1.0,
        nmse_with_gain=float(with_gain / scale),
        floor_db=None,
        limit_db=None,
        best_db=0.0,
        encode_seconds=float(encoding),
        product_seconds=float(multiplying),
    )


def _levels(coded: CodedMatrix | OffsetMatrix | SchemeMatrix) -> int:
    if isinstance(coded, SchemeMatrix):
        return coded.coder.most_levels
    return coded.codebook.n_levels


def _bits(coded: CodedMatrix | SchemeMatrix) -> float:
    return coded.bits_per_entry if isinstance(coded, SchemeMatrix) else coded_bits(coded)
