"""Whatever holds a matrix of real numbers is taken, by everything that takes one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab._matrices import finite_matrix

BOOK = ql.Codebook([-2.0, -0.5, 0.5, 2.0])
#: Small whole numbers, which every dtype holds.
A = np.array([[2, 0, -1, 1], [1, -2, 0, 2], [0, 1, 1, -1]], float)
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
WHOLE = [torch.int8, torch.int16, torch.int32, torch.int64]
DOORS = {
    "encode": lambda x: ql.encode(x, BOOK).codes,
    "packed": lambda x: ql.encode(x, BOOK, packed=True).packed,
    "EmpiricalPair": lambda x: ql.EmpiricalPair(x, A.T).column_weight,
    "design_empirical": lambda x: ql.design_empirical((x, A.T), 3)[0].centers,
    "balance": lambda x: ql.balance((x, A.T)).forward,
    "design_report": lambda x: [row.measured_nmse for row in ql.design_report((x, A.T), 2).rows],
    "encode_blocks": lambda x: ql.encode_blocks(x, BOOK, 2).codes,
    "apply": lambda x: ql.balance((A, A.T)).apply(x, A.T)[0],
    "matmul": lambda x: np.asarray(ql.matmul(x, ql.encode(A.T, BOOK))),
}


def frame(values: np.ndarray, kind: object) -> object:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(values).astype(kind)


def of_every_kind() -> dict[str, object]:
    kinds: dict[str, object] = {str(d): torch.tensor(A).to(d) for d in FLOATS + FLOAT8 + WHOLE}
    for name in ("f2", "f4", "f8", "g", ">f4", ">f8", "i1", ">i4", "i8"):
        kinds[name] = A.astype(name)
    kinds |= {
        "Fortran order": np.asfortranarray(A),
        "every other": np.repeat(A, 2, axis=1)[:, ::2],
        "backwards": A[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": np.frombuffer(A.tobytes()).reshape(A.shape),
        "lists": A.tolist(),
        "turned tensor": torch.tensor(A.T.copy()).T,
        "needs a gradient": torch.tensor(A, requires_grad=True),
        "window": torch.tensor(np.pad(A, 2))[2:-2, 2:-2],
        "frame": frame(A, "float32"),
        "frame of whole numbers": frame(A, "int64"),
        "frame of nullable numbers": frame(A, "Float64"),
    }
    return kinds


KINDS = of_every_kind()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_enters_by_every_door(kind: str, door: str) -> None:
    # sums in the entries' own precision: float32 or float64
    assert_allclose(DOORS[door](KINDS[kind]), DOORS[door](A.astype(np.float32)), rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64, bool])
def test_unsigned_kinds_and_booleans(kind: type) -> None:
    values = np.abs(A).astype(kind)
    expected = ql.encode(values.astype(float), BOOK).codes
    assert_array_equal(ql.encode(values, BOOK).codes, expected)
    assert_array_equal(ql.encode(torch.tensor(values), BOOK).codes, expected)
    assert_array_equal(finite_matrix(torch.tensor(values), "a"), values.astype(float))


def refused() -> dict[str, tuple[object, str]]:
    dense = torch.tensor(A)
    return {
        "complex": (A + 1j, "dtype complex128"),
        "complex tensor": (dense + 1j, "dtype torch.complex128"),
        "sparse tensor": (dense.to_sparse(), r"dense: \.to_dense\(\)"),
        "sparse": (scipy.sparse.csr_array(A), r"dense: \.toarray\(\)"),
        "meta": (torch.empty(2, 2, device="meta"), "meta device"),
        "masked": (np.ma.masked_less(A, 0), r"masked: \.filled\(value\)"),
        "words": (A.astype(str), "dtype <U"),
        "objects": (A.astype(object), "dtype object"),
        "frame of words": (frame(A, str), "column 0 has dtype"),
    }


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", refused())
def test_what_is_not_a_matrix_of_real_numbers(kind: str, door: str) -> None:
    value, says = refused()[kind]
    with pytest.raises(TypeError, match=rf"(matrix|a|b) must (hold|be|not be) .*{says}"):
        DOORS[door](value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_first_entry_that_is_not_finite_is_named(kind: torch.dtype, bad: float) -> None:
    values = torch.ones(3, 4, dtype=kind)
    values[2, 1] = bad
    for name in sorted(set(DOORS) - {"apply"}):  # which is only linear
        with pytest.raises(ValueError, match=rf"must be finite; \w+\[2, 1\] = {bad}"):
            DOORS[name](values)
    with pytest.raises(ValueError, match=r"a\[0, 0\] = nan"):
        finite_matrix(torch.full((1, 1), np.nan).to(torch.float8_e4m3fn), "a")


def test_missing_values_of_a_frame_are_not_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    holed = pandas.DataFrame({"x": [1.0, None], "y": [2.0, 3.0]}).astype("Float64")
    with pytest.raises(ValueError, match=r"matrix\[1, 0\] = nan"):
        ql.encode(holed, BOOK)


@pytest.mark.parametrize("kind", FLOATS + WHOLE)
def test_tensors_in_tensor_out(kind: torch.dtype) -> None:
    coded = ql.encode(A, BOOK)
    factor = torch.tensor(A.T.copy()).to(kind)
    expected = coded.decode(np.float64) @ A.T
    for c in (ql.matmul(coded, factor), coded @ factor, (factor.T @ coded.T).T):
        assert isinstance(c, torch.Tensor)
        # torch's own rule for a float32 matrix and this one
        assert c.dtype == torch.promote_types(torch.float32, kind)
        assert c.device.type == "cpu"
        assert_array_equal(c, expected)


def test_a_float64_tensor_loses_nothing() -> None:
    coded, rng = ql.encode(A, BOOK), np.random.default_rng(0)
    factor = torch.tensor(rng.standard_normal((4, 5)))
    assert_array_equal(coded @ factor, coded.decode(np.float64) @ factor.numpy())
