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

from quantlab.dashboard.files.uploads import Matrix, read_matrices, shown

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
    "three dimensions": ("a.npy", npy(np.zeros((2, 2, 2))), "2 dimensions"),
    "empty": ("a.csv", b"", "empty"),
    "huge header, tiny body": ("a.npy", lying_header((10**9, 10**9)), "more than 50 MB"),
    "text": ("a.csv", b"once upon a time\nthere was a matrix\n", "expected a number; got"),
    "truncated": ("a.npy", npy(MATRIX)[:-9], "bytes follow"),
    "zip bomb": ("a.npz", zipped({"a.npy": b"\0" * (80 * 2**20)}), "unpacks to 84 MB"),
    "path in a name": ("../../etc/a.npz", zipped({"../../x.npy": b"no"}), "not numpy's"),
    "no array": ("a.npz", zipped({"readme.txt": b"hello"}), "got nothing"),
    "renamed": ("a.npy", b"PK\x03\x04 not numpy", "first bytes are not numpy's"),
    "half a zip": ("a.npz", npz(a=MATRIX)[:-30], "not a whole zip"),
    "half a header": ("a.npy", b"\x93NUMPY\x01\x00\xff\xff", "claims"),
    "a program for a header": (
        "a.npy",
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 23) + b"__import__('os').nothing",
        "header is not numpy's",
    ),
    "zero rows": ("a.npy", npy(np.zeros((0, 3))), "empty: shape"),
    "complex": ("a.npy", npy(np.zeros((2, 2), complex)), "real numbers"),
    "words": ("a.npy", npy(np.array([["a", "b"]])), "real numbers"),
    "too large for float32": ("a.npy", npy(np.array([[1e300]])), "fit float32"),
    "ragged": ("a.csv", b"1,2\n3\n", "row 2: expected 2 numbers, as in the rows before; got 1"),
    "one bad cell in the first row": (
        "a.csv", b"1,2,x\n3,4,5\n", "row 1, column 3: expected a number; got 'x'",
    ),
    "an empty cell": ("a.csv", b"\n1,2\n\n3,\n", "row 4, column 2: .* got an empty cell"),
    "decimal commas": (
        "a.csv", b"1,5;2,5\n3;4\n", "row 1, column 1: .* written like 1234.5; got '1,5'",
    ),
    "thousands": ("a.csv", b"1,234,567;2.000,5\n3;4\n", "row 1, column 1: .*'1,234,567'"),
    "nothing usable": (
        "a.npz", npz(m=np.eye(2, dtype=bool), v=np.ones(3)),
        r"m: expected real numbers; got dtype bool; v: expected a matrix.* shape \(3,\)",
    ),
    "twice the same name": (
        "a.npz", zipped_twice(npy(MATRIX)), "holds 'a' twice",
    ),
    "safetensors of a strange type": (
        "a.safetensors", tensor(dtype=["F32"], shape=[4], data_offsets=[0, 16]), "got dtype",
    ),
    "not text": ("a.csv", b"\xff\xfe\x00\x01", "not text"),
    "safetensors cut": ("a.safetensors", b"\x00\x01", "ends within"),
    "safetensors header too long": (
        "a.safetensors", struct.pack("<Q", 2**62) + b"{}", "header claims",
    ),
    "safetensors without JSON": ("a.safetensors", struct.pack("<Q", 3) + b"[1]", "not JSON"),
    "safetensors past its end": (
        "a.safetensors", tensor(dtype="F32", shape=[9, 9], data_offsets=[0, 999]), "does not fit",
    ),
    "safetensors of another size": (
        "a.safetensors", tensor(dtype="F32", shape=[9, 9], data_offsets=[0, 16]), "bytes follow",
    ),
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
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32]),
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
    for header in (b"a,b,c", b",first,second", b'"2020","2021",x'):
        assert_array_equal(matrices("a.csv", header + b"\n1,2,3\n")["table"], [[1, 2, 3]])


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
        "q.npy": npy(MATRIX), "mask.npy": npy(np.eye(3, dtype=bool)), "names.npy": pickled(),
        "bias.npy": npy(np.ones(7)),
    })  # fmt: skip
    found = read_matrices("a.npz", content)
    assert list(found.matrices) == ["q"]
    assert_array_equal(found.matrices["q"], MATRIX)
    assert list(found.left_out) == ["names", "mask", "bias"]
    assert "pickle" in found.left_out["names"]
    assert "dtype bool" in found.left_out["mask"]
    assert "shape (7,)" in found.left_out["bias"]
    tensors = {"w": MATRIX, "mask": np.eye(3, dtype=bool)}
    found = read_matrices("a.safetensors", save_safetensors(tensors))
    assert (list(found.matrices), list(found.left_out)) == (["w"], ["mask"])


@given(st.binary(max_size=200), st.sampled_from(["npy", "npz", "csv", "safetensors"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_end_in_a_matrix_or_a_sentence(content: bytes, kind: str) -> None:
    for raw in (content, b"\x93NUMPY\x01\x00" + content, npz(a=MATRIX)[:40] + content):
        with suppress(ValueError):
            for matrix in read_matrices(f"a.{kind}", raw).matrices.values():
                assert matrix.ndim == 2
                assert np.isfinite(matrix).all()
