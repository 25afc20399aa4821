"""Uploaded files: good ones come through whole, hostile ones end in a sentence."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from safetensors.numpy import save as save_safetensors

from quantlab.files.tensors import read_tensors
from quantlab.files.uploads import MATRICES_LIMIT, Matrix, read_matrices, shown

MATRIX = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def matrices(name: str, content: bytes) -> dict[str, Matrix]:
    return read_matrices(name, content).matrices


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**members: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **members)
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def zipped_twice(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.npy", content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", content)
    return out.getvalue()


def lying_header(shape: tuple[int, ...]) -> bytes:
    words = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words


def tensor(**entry: object) -> bytes:
    header = json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 16


def pickled() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    return out.getvalue()


#: The kinds of file that a stranger may send: (name, content, what the answer says).
HOSTILE = {
    "wrong type": ("a.exe", b"MZ\x90", "expected a file of kind .npy"),
    "pickle inside npy": ("a.npy", pickled(), "a pickle"),
    "nan": ("a.npy", npy(np.array([[1.0, np.nan]])), r"entry \(0, 1\) is nan"),
    "five dimensions": ("a.npy", npy(np.zeros((2, 2, 2, 2, 2))), "3 or 4 dimensions; got shape"),
    "empty": ("a.csv", b"", "empty"),
    "huge header, tiny body": ("a.npy", lying_header((10**9, 10**9)), "0 bytes follow"),
    "text": ("a.csv", b"once upon a time\nthere was a matrix\n", "expected a number; got"),
    "truncated": ("a.npy", npy(MATRIX)[:-9], "bytes follow"),
    "zip bomb": ("a.npz", zipped({"a.npy": b"\0" * (80 * 2**20)}), "unpacks to 84 MB"),
    "path in a name": ("../../etc/a.npz", zipped({"../../x.npy": b"no"}), "not numpy's"),
    "no array": ("a.npz", zipped({"readme.txt": b"hello"}), "got nothing"),
    "renamed": ("a.npy", b"PK\x03\x04 not numpy", "header is not numpy's"),
    "half a zip": ("a.npz", npz(a=MATRIX)[:-30], "not a whole zip"),
    "half a header": ("a.npy", b"\x93NUMPY\x01\x00\xff\xff", "header is not numpy's"),
    "a program for a header": (
        "a.npy",
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 23) + b"__import__('os').nothing",
        "header is not numpy's",
    ),
    "zero rows": ("a.npy", npy(np.zeros((0, 3))), "empty: shape"),
    "complex": ("a.npy", npy(np.zeros((2, 2), complex)), "real numbers"),
    "words": ("a.npy", npy(np.array([["a", "b"]])), "real numbers"),
    "too large for float32": ("a.npy", npy(np.array([[1e300]])), "fit float32"),
    "ragged": ("a.csv", b"1,2\n3\n", "row 2: expected 2 cells, as in the rows before; got 1"),
    "one bad cell in the first row": (
        "a.csv", b"1,2,x\n3,4,5\n", "row 1, column 3: expected a number; got 'x'",
    ),
    "an empty cell": ("a.csv", b"\n1,2\n\n3,\n", "row 4, column 2: .* got an empty cell"),
    "decimal commas": (
        "a.csv", b"1,5;2,5\n3;4\n", "row 1, column 1: .* written like 1234.5; got '1,5'",
    ),
    "thousands": ("a.csv", b"1,234,567;2.000,5\n3;4\n", "row 1, column 1: .*'1,234,567'"),
    "nothing usable": (
        "a.npz", npz(m=np.eye(2, dtype=complex), v=np.ones(3)),
        r"m: expected real numbers; got dtype complex128; v: expected a matrix.* shape \(3,\)",
    ),
    "twice the same name": (
        "a.npz", zipped_twice(npy(MATRIX)), "holds 'a' twice",
    ),
    "safetensors of a strange type": (
        "a.safetensors", tensor(dtype=["F32"], shape=[4], data_offsets=[0, 16]), "damaged: invalid",
    ),
    "not text": ("a.csv", b"\xff\xfe\x00\x01", "not text"),
    "not text in the end": ("a.csv", b"1,2\n" * 9999 + b"\xff", "the file is not text"),
    "safetensors cut": ("a.safetensors", b"\x00\x01", "damaged: header too small"),
    "safetensors header too long": (
        "a.safetensors", struct.pack("<Q", 2**62) + b"{}", "header claims",
    ),
    "safetensors without JSON": (
        "a.safetensors", struct.pack("<Q", 3) + b"[1]", "damaged: invalid JSON",
    ),
    "safetensors past its end": (
        "a.safetensors", tensor(dtype="F32", shape=[9, 9], data_offsets=[0, 999]),
        "damaged: invalid shape",
    ),
    "safetensors of another size": (
        "a.safetensors", tensor(dtype="F32", shape=[9, 9], data_offsets=[0, 16]),
        "damaged: invalid shape",
    ),
    "safetensors past any memory": (
        "a.safetensors", tensor(dtype="F32", shape=[2**40, 2**40], data_offsets=[0, 16]),
        "damaged: overflow",
    ),
    "a negative size": ("a.npy", lying_header((-2, -2)) + b"\0" * 16, "header is not numpy's"),
    "a matrix of too many entries": (
        "a.npy", npy(np.zeros((2, 2**12, 2**12 + 1), np.int8)), "entries; at most 16,777,216",
    ),
    "a NaN of eight bits": (
        "a.safetensors",
        tensor(dtype="F8_E4M3", shape=[4, 4], data_offsets=[0, 16])[:-16] + b"\x7f" * 16,
        r"entry \(0, 0\) is nan",
    ),
    "an index and nothing else": ("a.csv", b"name\nleft\nright\n", "got 'left'"),
    "a slip that looks like a name": (
        "a.csv", b"l.5,2\n3,4\n", "row 1, column 1: expected a number; got 'l.5'",
    ),
    "words after an index": ("a.csv", b",x,y\nl,1,2\nr,3,no\n", "row 3, column 3: .* got 'no'"),
    "a row of empty cells": ("a.csv", b"1,2\n,\n3,4\n", "row 2, column 1: .* an empty cell"),
    "decimal commas in quotes": (
        "a.csv", b'"1,5","2"\n"3","4"\n', "written like 1234.5; got '1,5'",
    ),
    "a number over two lines": ("a.csv", b'1,"2\n3"\n4,5\n', "expected a number"),
    "an open quote": ("a.csv", b'1,2\n3,"4\n', "row 2: unexpected end of data"),
    "200 MB": ("a.npy", b"\0" * (200 * 2**20), "210 MB; the limit is 50 MB"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_ends_in_a_sentence(case: str) -> None:
    name, content, says = HOSTILE[case]
    tracemalloc.start()
    with pytest.raises(ValueError, match=says):
        read_matrices(name, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70 * 2**20, "nothing is allocated because a header says so"


@given(
    arrays(
        st.sampled_from(
            [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.uint32]
        ),
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.integers(0, 100),
    ),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_good_files_come_through_whole(array: np.ndarray, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    expected = array.astype(np.float32)
    assert_array_equal(matrices("a.npy", npy(array))["array"], expected)
    assert_array_equal(matrices("A.NPZ", npz(q=array))["q"], expected)
    stored = save_safetensors({"w": np.ascontiguousarray(array)})
    assert_array_equal(matrices("a.safetensors", stored)["w"], expected)
    for mark in (",", ";", "\t", " "):
        words = "\n".join(mark.join(map(repr, row)) for row in array.astype(float).tolist())
        assert_array_equal(matrices("a.csv", words.encode())["table"], expected)


def test_a_line_of_names_is_left_out_and_bfloat16_is_read() -> None:
    found = matrices("a.csv", b"first, second\n1, 2\n3, 4\n")
    assert_array_equal(found["table"], [[1, 2], [3, 4]])
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    raw = struct.pack("<Q", len(header)) + header + struct.pack("<HH", 0x3F80, 0xC000)
    assert_array_equal(matrices("a.safetensors", raw)["w"], [[1.0, -2.0]])


def test_a_header_is_a_row_without_a_number() -> None:
    for header in (b"a,b,c", b'"2020","2021",x', b'"0","1","2"'):
        assert_array_equal(matrices("a.csv", header + b"\n1,2,3\n")["table"], [[1, 2, 3]])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b",x,y\n0,1,2\n1,3,4\n", "has no name"),
        (b",0,1\n0,1,2\n1,3,4\n", "has no name"),
        (b",x,y\nleft,1,2\nright,3,4\n", "has no name"),
        (b'"","2020","2021"\n"1",1,2\n"2",3,4\n', "has no name"),
        (b"\tx\ty\n0\t1\t2\n1\t3\t4\n", "has no name"),
        (b"name,x,y\nleft,1,2\nright,3,4\n", "holds words"),
        (b"left 1 2\nright 3 4\n", "holds words"),
    ],
)
def test_an_index_is_left_out_and_named(content: bytes, why: str) -> None:
    found = read_matrices("a.csv", content)
    assert_array_equal(found.matrices["table"], [[1, 2], [3, 4]])
    assert (found.index, found.index_left_out) == (why, True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"0,7\n1,8\n2,9\n", "counts 0, 1, 2, …"),
        (b"n,x\n1,7\n2,8\n3,9\n", "counts 1, 2, 3, …"),
        (b"id,x\n12,7\n30,8\n4,9\n", "is called “id”"),
        (b"Index,x\n12,7\n30,8\n4,9\n", "is called “Index”"),
        (b"Unnamed: 0,x\n12,7\n30,8\n4,9\n", "is called “Unnamed: 0”"),
        (b"x,id\n12,7\n30,8\n4,9\n", ""),
        (b"2,7\n3,8\n4,9\n", ""),
        (b"0\n1\n2\n", ""),
        (b"0,7\n", ""),
    ],
)
def test_what_may_be_an_index_is_taken_and_pointed_out(content: bytes, why: str) -> None:
    found = read_matrices("a.csv", content)
    rows = [line.split(b",") for line in content.splitlines() if line[-1:].isdigit()]
    assert_array_equal(found.matrices["table"], np.array(rows, float))
    assert (found.index, found.index_left_out) == (why, False)


def test_numbers_in_quotes_and_tabs_are_read() -> None:
    for content in (
        b'"1.5","-2"\n"3","4e2"\n', b'x;y\n"1.5"; "-2"\n"3"; 4e2\n', b'"1.5"  -2\r\n3 "4e2"\r\n',
        b'"x, in m","y"\n1.5,-2\n"3",4e2\n', b'"x","y"\r"1.5","-2"\r"3","4e2"\r',
    ):  # fmt: skip
        assert_array_equal(matrices("a.csv", content)["table"], [[1.5, -2], [3, 400]])
    assert_array_equal(matrices("a.TSV", b"x\ty\n1.5\t-2\n3\t4\n")["table"], [[1.5, -2], [3, 4]])


def test_every_code_of_eight_bits_and_a_mask_are_read() -> None:
    torch = pytest.importorskip("torch")
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind, dtype in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)):
        expected = torch.from_numpy(codes).view(dtype).float().numpy()
        entry = {"dtype": kind, "shape": [16, 16], "data_offsets": [0, 256]}
        header = json.dumps({"w": entry}).encode()
        found = read_tensors(struct.pack("<Q", len(header)) + header + codes.tobytes())[0]["w"]
        assert_array_equal(found.astype(np.float32), expected)
        finite = np.where(np.isfinite(expected), codes, 0)
        raw = struct.pack("<Q", len(header)) + header + finite.tobytes()
        assert_array_equal(
            matrices("a.safetensors", raw)["w"], np.where(np.isfinite(expected), expected, 0)
        )
    mask = MATRIX > 0
    for name, content in (
        ("a.safetensors", save_safetensors({"array": mask})), ("a.npy", npy(mask)),
    ):  # fmt: skip
        assert_array_equal(matrices(name, content)["array"], mask)


def test_each_matrix_of_an_array_is_offered_by_its_index() -> None:
    heads = np.random.default_rng(1).standard_normal((2, 3, 5, 4)).astype(np.float32)
    files = {
        "a.npy": npy(np.asfortranarray(heads)), "a.npz": npz(array=heads),
        "a.safetensors": save_safetensors({"array": heads}),
    }  # fmt: skip
    for name, content in files.items():
        found = matrices(name, content)
        assert list(found) == [f"array[{i}, {j}]" for i in range(2) for j in range(3)]
        for i, j in np.ndindex(2, 3):
            assert_array_equal(found[f"array[{i}, {j}]"], heads[i, j])
    assert list(matrices("a.npy", npy(heads[0]))) == ["array[0]", "array[1]", "array[2]"]
    heads[1, 0, 2, 3] = np.inf
    left_out = read_matrices("a.npy", npy(heads)).left_out
    assert left_out == {
        "array[1, 0]": "entry (2, 3) is inf; expected finite numbers that fit float32"
    }


def test_of_very_many_matrices_the_first_are_offered() -> None:
    many = np.zeros((300, 1000, 2, 1), np.int8)
    found = read_matrices("a.npz", npz(few=np.ones((3, 2, 2)), many=many, last=MATRIX))
    assert len(found.matrices) == MATRICES_LIMIT
    assert list(found.matrices)[2:4] == ["few[2]", "many[0, 0]"]
    assert found.more == 3 + 300_000 + 1 - MATRICES_LIMIT


def test_tensors_come_in_the_order_of_their_numbers() -> None:
    names = [f"layers.{i}.{kind}" for i in range(12) for kind in ("keys", "queries")]
    content = save_safetensors(dict.fromkeys(names, MATRIX))
    assert list(matrices("a.safetensors", content)) == names


def test_long_names_stay_distinct() -> None:
    names = [
        f"vision_model.encoder.layers.{layer}.self_attn.{kind}_proj.weight"
        for layer in (10, 11)
        for kind in "qkv"
    ]
    tensors = {name: MATRIX + i for i, name in enumerate(names)}
    found = matrices("a.safetensors", save_safetensors(tensors))
    assert sorted(found) == sorted(names)
    for name in names:
        assert_array_equal(found[name], tensors[name])
    assert sorted(matrices("a.npz", npz(**tensors))) == sorted(names)
    nested = {"left/w.npy": npy(MATRIX), "right/w.npy": npy(MATRIX)}
    assert sorted(matrices("a.npz", zipped(nested))) == ["left/w", "right/w"]


def test_long_names_are_shown_short_and_distinct() -> None:
    layers = [f"vision_model.encoder.layers.{i}.self_attn.q_proj.weight" for i in range(12)]
    labels = shown(layers)
    assert len(set(labels)) == 12
    assert max(map(len, labels)) < 48
    assert labels[11].endswith("11.self_attn.q_proj.weight")
    far = [f"{i}{'x' * 1000}" for i in range(3)]
    assert len(set(shown([name[1:] + name[0] + name[1:] for name in far]))) == 3
    assert shown(["q", "k"]) == ["q", "k"]


def test_what_cannot_be_used_is_left_out_and_named() -> None:
    content = zipped({
        "q.npy": npy(MATRIX), "waves.npy": npy(np.eye(3, dtype=complex)), "names.npy": pickled(),
        "bias.npy": npy(np.ones(7)),
    })  # fmt: skip
    found = read_matrices("a.npz", content)
    assert list(found.matrices) == ["q"]
    assert_array_equal(found.matrices["q"], MATRIX)
    assert list(found.left_out) == ["waves", "names", "bias"]
    assert "pickle" in found.left_out["names"]
    assert "dtype complex128" in found.left_out["waves"]
    assert "shape (7,)" in found.left_out["bias"]
    tensors = {"w": MATRIX, "waves": np.eye(3, dtype=np.complex64)}
    found = read_matrices("a.safetensors", save_safetensors(tensors))
    assert (list(found.matrices), list(found.left_out)) == (["w"], ["waves"])


@given(st.binary(max_size=200), st.sampled_from(["npy", "npz", "csv", "tsv", "safetensors"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_end_in_a_matrix_or_a_sentence(content: bytes, kind: str) -> None:
    for raw in (content, b"\x93NUMPY\x01\x00" + content, npz(a=MATRIX)[:40] + content):
        with suppress(ValueError):
            for matrix in read_matrices(f"a.{kind}", raw).matrices.values():
                assert matrix.ndim == 2
                assert np.isfinite(matrix).all()
