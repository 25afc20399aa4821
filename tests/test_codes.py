"""encode against np.searchsorted; packing, scales and files against their definitions."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab._llvm import host_features
from quantlab.codes import CodedMatrix, search
from quantlab.codes.halves import widened
from quantlab.codes.thresholds import finder


def book(k: int, seed: int = 0) -> ql.Codebook:
    return ql.Codebook(np.sort(np.random.default_rng(seed).normal(size=k)))


@contextmanager
def finding(halving: bool) -> Iterator[None]:
    """Thresholds found by permutes where the processor has them, or as on every other processor."""
    with pytest.MonkeyPatch.context() as patch:
        if not halving:
            patch.setattr(search, "here", lambda: False)
        finder.cache_clear()
        yield
    finder.cache_clear()


def naive(codebook: ql.Codebook, matrix: np.ndarray) -> np.ndarray:
    return np.searchsorted(codebook.thresholds, matrix, side="left")


@settings(max_examples=80)
@given(data=st.data())
def test_encode_is_searchsorted(data: st.DataObject) -> None:
    """Any codebook, dtype and values; entries equal to thresholds, and their neighbours, too."""
    dtype = np.dtype(data.draw(st.sampled_from([np.float16, np.float32, np.float64])))
    k = data.draw(st.sampled_from([2, 3, 4, 7, 16, 17, 32, 33, 100, 256]))
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    spread = data.draw(st.sampled_from([0.0, 1.0, 6.0]))  # up to cells of very uneven widths
    cb = ql.Codebook(np.unique(rng.normal(size=k) * np.exp(spread * rng.normal(size=k))))
    elements = st.floats(width=8 * dtype.itemsize, allow_nan=False, allow_infinity=False)
    matrix = data.draw(hnp.arrays(dtype, shape, elements=elements))
    with np.errstate(over="ignore"):
        near = rng.choice(cb.thresholds, shape).astype(dtype)
    near = np.nextafter(near, rng.choice([-9, 0, 9], shape).astype(dtype), dtype=dtype)
    matrix = np.where(rng.random(shape) < 0.6, np.nan_to_num(near), matrix)
    with finding(data.draw(st.booleans())):
        assert_array_equal(ql.encode(matrix, cb).codes, naive(cb, matrix))
        assert_array_equal(ql.encode(matrix, cb, packed=True).codes, naive(cb, matrix))


@pytest.mark.parametrize("halving", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [1e6, 1e30, 3e38, 1e55, 1e300, 1.6e308])
@pytest.mark.parametrize("k", [2, 16, 32, 33, 64, 256])
def test_encode_with_hugely_spread_centres(
    k: int, largest: float, dtype: type, halving: bool
) -> None:
    """Centres beyond float32's range, and ranges that overflow even float64's."""
    half = np.geomspace(1e-3, largest, k // 2)
    cb = ql.Codebook(np.concatenate([-half[::-1], half]))
    rng = np.random.default_rng(k)
    top = np.finfo(dtype).max
    with np.errstate(over="ignore"):
        near = np.clip(cb.thresholds, -top, top).astype(dtype)
    values = [near, np.nextafter(near, dtype(-top)), np.nextafter(near, dtype(top))]
    values += [rng.normal(size=99), 10 ** rng.uniform(-40, 38, 99), [0, top, -top]]
    matrix = np.concatenate(values).astype(dtype)[None, :]
    even = ql.Codebook(largest * np.linspace(-1, 1, max(k, 3)))
    with finding(halving):
        for tried in (cb, even):
            expected = naive(tried, matrix.astype(np.float64))
            assert_array_equal(ql.encode(matrix, tried).codes, expected)


@pytest.mark.parametrize("k", [16, 32, 64, 256])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("halving", [True, False])
def test_encode_in_tiles_and_threads(k: int, packed: bool, halving: bool) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(701, 333)).astype(np.float32)
    cb = book(k)
    expected = naive(cb, matrix)
    for source in (matrix, np.asfortranarray(matrix), matrix.astype(np.float64), matrix[::-1]):
        flipped = source.strides[0] < 0
        with finding(halving):
            codes = ql.encode(source, cb, packed=packed).codes
        assert_array_equal(codes, expected[::-1] if flipped else expected)


def test_encode_of_integers_and_torch() -> None:
    import torch

    rng = np.random.default_rng(2)
    cb = book(16)
    assert_array_equal(ql.encode([[-3, 0], [1, 3]], cb).codes, naive(cb, [[-3, 0], [1, 3]]))
    matrix = torch.from_numpy(rng.normal(size=(37, 53)))
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        tensor = matrix.to(dtype)
        assert_array_equal(ql.encode(tensor, cb).codes, naive(cb, tensor.double().numpy()))
        assert_array_equal(ql.encode(tensor.T, cb).codes, naive(cb, tensor.double().numpy()).T)


def test_every_float16_and_bfloat16_is_widened_exactly() -> None:
    import torch

    patterns = np.arange(1 << 16, dtype=np.uint16)
    halves = patterns.view(np.float16)
    for size in (1 << 16, 35, 16, 1):  # 16 at once, and what is left
        wide = widened(halves[-size:])
        if "f16c" in host_features():
            assert_array_equal(wide, halves[-size:].astype(np.float32))
        else:
            assert wide is None
    brain = torch.from_numpy(patterns.view(np.int16)).view(torch.bfloat16)
    assert_array_equal(widened(brain), brain.float().numpy())
    assert_array_equal(widened(brain.reshape(256, 256).T), brain.reshape(256, 256).T.float())
    for other in (halves.astype(">f2"), halves.astype(np.float32), brain.float()):
        assert widened(other) is None


def test_ties_go_to_the_lower_cell() -> None:
    cb = ql.Codebook([-1.0, 0.0, 1.0], thresholds=[-0.5, 0.1])  # 0.1 is no float32
    for dtype in (np.float32, np.float64):
        matrix = np.array([[-0.5, np.float32(0.1), 0.1]], dtype)
        assert_array_equal(ql.encode(matrix, cb).codes, naive(cb, matrix.astype(np.float64)))
    assert ql.encode([[0.1]], cb).codes[0, 0] == 1


def test_encode_into_out() -> None:
    matrix = np.random.default_rng(3).normal(size=(5, 7))
    cb = book(16)
    out = np.full((5, 7), 99, np.uint8)
    assert ql.encode(matrix, cb, out=out).codes is out
    assert_array_equal(out, naive(cb, matrix))
    packed = np.full((5, 4), 99, np.uint8)
    assert_array_equal(ql.encode(matrix, cb, packed=True, out=packed).codes, naive(cb, matrix))
    with pytest.raises(ValueError, match=r"out must be .* shape \(5, 7\); got uint8 .*\(5, 4\)"):
        ql.encode(matrix, cb, out=packed)
    for other in (np.empty((5, 7)), np.empty((7, 5), np.uint8).T):
        with pytest.raises(ValueError, match=r"out must be a C-ordered uint8 array of shape"):
            ql.encode(matrix, cb, out=other)


def test_encode_takes_no_second_matrix() -> None:
    matrix = np.asfortranarray(np.zeros((2000, 1000), np.float32))
    ql.encode(matrix, book(16), packed=True)
    tracemalloc.start()
    ql.encode(matrix, book(16), packed=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 1 MB of packed codes, and a tile of 64 K entries (5 bytes each) or so a thread
    assert peak < 1e6 + 16 * 5 * 2**16


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("k", [4, 256])
def test_the_first_bad_entry_is_named(bad: float, k: int) -> None:
    matrix = np.zeros((300, 300), np.float32)
    matrix[123, 45] = bad
    for source in (matrix, np.asfortranarray(matrix), matrix.astype(np.float16)):
        with pytest.raises(ValueError, match=r"must be finite; matrix\[123, 45\] = "):
            ql.encode(source, book(k))
    for first in ((7, 9), (7, 2)):
        matrix[first] = bad
        with pytest.raises(ValueError, match=rf"matrix\[{first[0]}, {first[1]}\]"):
            ql.encode(matrix, book(k))


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        ([[1j]], TypeError, "real numbers; got dtype complex"),
        ([["a"]], TypeError, "real numbers"),
        ([1.0, 2.0], ValueError, r"2-D\); got shape \(2,\)"),
        (np.zeros((0, 3)), ValueError, r"not be empty; got shape \(0, 3\)"),
    ],
)
def test_encode_rejects(matrix: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ql.encode(matrix, book(4))
    with pytest.raises(ValueError, match="at most 256 levels; got 257"):
        ql.encode([[0.0]], ql.Codebook(np.arange(257.0)))


@pytest.mark.parametrize("bits", range(1, 9))
def test_packed_bits_are_a_little_endian_stream(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, (5, 13)).astype(np.uint8)
    coded = CodedMatrix(codes, book(2**bits))
    stream = (codes[:, :, None] >> np.arange(bits)) & 1
    expected = np.packbits(stream.reshape(5, -1).astype(np.uint8), axis=1, bitorder="little")
    packed = coded.pack()
    assert_array_equal(packed.packed, expected)
    assert_array_equal(packed.codes, codes)
    assert packed.nbytes == 5 * -(-13 * bits // 8)
    assert_array_equal(packed.decode(), coded.decode())
    again = CodedMatrix.from_packed(expected, (5, 13), coded.codebook)
    assert_array_equal(again.codes, codes)


def test_low_nibble_first() -> None:
    assert CodedMatrix([[3, 12]], book(16)).packed.tolist() == [[3 + 16 * 12]]


def test_codes_beyond_k_are_named() -> None:
    codes = np.zeros((4, 5), np.int64)
    codes[2, 3] = 3
    with pytest.raises(ValueError, match=r"0 \.\. 2 \(K = 3\); codes\[2, 3\] = 3"):
        CodedMatrix(codes, book(3))
    packed = CodedMatrix(codes, book(4)).packed
    with pytest.raises(ValueError, match=r"codes\[2, 3\] = 3"):
        CodedMatrix.from_packed(packed, (4, 5), book(3))
    codes[2, 3] = -1
    with pytest.raises(ValueError, match=r"codes\[2, 3\] = -1"):
        CodedMatrix(codes, book(3))
    with pytest.raises(TypeError, match="integers; got dtype float64"):
        CodedMatrix([[0.0]], book(3))
    with pytest.raises(ValueError, match=r"uint8 of shape \(4, 2\)"):
        CodedMatrix.from_packed(packed[:, :1], (4, 5), book(4))


@pytest.mark.parametrize(
    ("shape", "group"),
    [((1, 1), None), ((6, 1), None), ((1, 10), None), ((6, 3), 4), ((2, 10), 4), ((6, 10), 1)],
)
@pytest.mark.parametrize("packed", [False, True])
def test_scales_by_definition(shape: tuple[int, int], group: int | None, packed: bool) -> None:
    rng = np.random.default_rng(4)
    codes, scale = rng.integers(0, 16, (6, 10)), rng.normal(size=shape).astype(np.float32)
    coded = CodedMatrix(codes, book(16), scale, group)
    coded = coded.pack() if packed else coded
    expected = np.empty((6, 10))
    for i in range(6):
        for j in range(10):
            by_row = i // (group or 1) if shape[0] not in (6, 1) else min(i, shape[0] - 1)
            by_column = j // (group or 1) if shape[1] not in (10, 1) else min(j, shape[1] - 1)
            expected[i, j] = book(16).centers[codes[i, j]] * scale[by_row, by_column]
    assert_allclose(coded.decode(np.float64), expected, rtol=1e-15, err_msg="one multiplication")
    assert_allclose(coded.decode(), expected, rtol=2e-7, err_msg="float32, two roundings")


def test_bad_scales_are_refused() -> None:
    codes = np.zeros((4, 6), int)
    with pytest.raises(ValueError, match=r"\(4, 3\), \(2, 6\)\]; got \(4, 2\)"):
        CodedMatrix(codes, book(4), np.ones((4, 2)), group=2)
    with pytest.raises(ValueError, match="group needs a scale"):
        CodedMatrix(codes, book(4), group=2)
    with pytest.raises(ValueError, match="scale must be finite; got nan"):
        CodedMatrix(codes, book(4), np.nan)


def test_files_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    cb = ql.Codebook(np.sort(rng.normal(size=7)), info={"design": "test", "K": 7})
    for scale, group in ((None, None), (rng.normal(size=(9, 3)), 4)):
        coded = CodedMatrix(rng.integers(0, 7, (9, 11)), cb, scale, group)
        coded.save(tmp_path / "a.safetensors")
        again = CodedMatrix.load(tmp_path / "a.safetensors")
        assert again.shape == coded.shape
        assert again.codebook == cb
        assert again.codebook.info == cb.info
        assert again.is_packed
        assert_array_equal(again.codes, coded.codes)
        assert_array_equal(again.decode(), coded.decode())


def test_files_open_in_torch_without_quantlab(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    coded = CodedMatrix(rng.integers(0, 16, (3, 5)), book(16), rng.normal(size=(3, 1)))
    coded.save(tmp_path / "a.safetensors")
    script = """
import json, sys
sys.modules["quantlab"] = None
import torch
from safetensors import safe_open
with safe_open(sys.argv[1], framework="pt") as file:
    header = file.metadata()
    codes, centers, scale = (file.get_tensor(name) for name in ("codes", "centers", "scale"))
assert header["bits"] == "4" and "low nibble" in header["layout"]
rows, columns = json.loads(header["shape"])
pairs = torch.stack([codes & 15, codes >> 4], dim=-1).reshape(rows, -1)[:, :columns]
print(json.dumps((centers[pairs.long()] * scale).tolist()))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a.safetensors")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    decoded = json.loads(run.stdout)
    assert_allclose(decoded, coded.decode(np.float64), rtol=1e-15, err_msg="same arithmetic")


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(1)}, str(tmp_path / "x"), {"format": "other"})
    with pytest.raises(ValueError, match=r"must have format .* got 'other'"):
        CodedMatrix.load(tmp_path / "x")
    (tmp_path / "y").write_text("no")
    with pytest.raises(ValueError, match="not a safetensors file"):
        CodedMatrix.load(tmp_path / "y")


def coded_matrices() -> dict[str, ql.CodedMatrix]:
    rng = np.random.default_rng(0)
    book = ql.Codebook([-2.0, -0.5, 0.0, 0.5, 2.0])
    codes = rng.integers(0, 5, (12, 7))
    made = {
        "plain": ql.CodedMatrix(codes, book),
        "one scale": ql.CodedMatrix(codes, book, 3.0),
        "rows": ql.CodedMatrix(codes, book, rng.random((12, 1))),
        "columns": ql.CodedMatrix(codes, book, rng.random((1, 7))),
        "groups of columns": ql.CodedMatrix(codes, book, rng.random((12, 3)), group=3),
        "groups of rows": ql.CodedMatrix(codes, book, rng.random((4, 7)), group=3),
    }
    return made | {f"{name}, packed": coded.pack() for name, coded in made.items()}


CODED = coded_matrices()


@pytest.mark.parametrize("name", CODED)
def test_a_coded_matrix_behaves_as_a_matrix(name: str) -> None:
    coded = CODED[name]
    values = coded.decode(np.float64)
    assert (len(coded), coded.ndim, coded.shape) == (12, 2, (12, 7))
    assert_array_equal(np.asarray(coded), coded.decode())
    assert np.asarray(coded, np.float64).dtype == np.float64
    assert np.array(coded).dtype == np.float32
    assert_array_equal(coded.T.decode(np.float64), values.T)
    assert_array_equal(coded.T.T.codes, coded.codes)
    assert coded.T.is_packed == coded.is_packed
    for rows in (slice(3, 9), slice(None), slice(6, None), slice(0, 1), slice(-3, None)):
        assert_array_equal(coded[rows].decode(np.float64), values[rows])
        assert coded[rows].is_packed == coded.is_packed
        if coded.scale is not None:  # of a shape that the constructor takes
            part = coded[rows]
            again = CodedMatrix(part.codes, part.codebook, part.scale, group=part.group)
            assert_array_equal(again.decode(np.float64), values[rows])


@pytest.mark.parametrize("name", [name for name in CODED if "groups of rows" not in name])
def test_rows_by_any_slice(name: str) -> None:
    values = CODED[name].decode()
    for rows in (slice(1, 11, 3), slice(None, None, -1), slice(-2, 2, -4)):
        assert_array_equal(CODED[name][rows].decode(), values[rows])


@pytest.mark.parametrize("name", CODED)
def test_the_operator_is_matmul(name: str) -> None:
    coded, rng = CODED[name], np.random.default_rng(1)
    values = coded.decode(np.float64)
    left, right = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (7, 5)))
    assert_allclose(left @ coded, left @ values, rtol=1e-4, atol=1e-5)
    assert_allclose(coded @ right, values @ right, rtol=1e-4, atol=1e-5)
    assert_allclose(coded @ coded.T, values @ values.T, rtol=1e-3, atol=1e-2)
    assert_allclose(left.tolist() @ coded, left @ values, rtol=1e-4, atol=1e-5)
    assert isinstance(left @ coded, np.ndarray)


def test_what_is_no_row_of_a_coded_matrix() -> None:
    coded = CODED["plain"]
    with pytest.raises(TypeError, match=r"by a slice, as in coded\[2:5\]; got \[3\]"):
        coded[3]
    with pytest.raises(ValueError, match=r"no row of 12 is in \[20:\]"):
        coded[20:]
    with pytest.raises(ValueError, match=r"starts at a multiple of 3, with step 1; got \[1:4\]"):
        CODED["groups of rows"][1:4]
    with pytest.raises(TypeError, match="not iterable"):
        list(coded)
    with pytest.raises(ValueError, match="copy=False is impossible"):
        np.array(coded, copy=False)
    with pytest.raises(ValueError, match="share the inner dimension"):
        coded @ coded


def damaged(tmp_path: Path, change: dict[str, str | None], drop: str = "") -> Path:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "codes.safetensors"
    CODED["groups of rows"].save(path)
    with safe_open(str(path), framework="np") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != drop}  # noqa: SIM118
    header |= {name: text for name, text in change.items() if text is not None}
    for name, text in change.items():
        if text is None:
            del header[name]
    save_file(tensors, str(path), header)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"info": None}, "header field 'info' is missing"),
        ({"info": "{design"}, "header field 'info' is not JSON"),
        ({"info": "[]"}, "header field 'info' must be dict; got '\\[\\]'"),
        ({"shape": "[12]"}, r"shape must be \[rows, columns\]; got \[12\]"),
        ({"shape": '"12 x 7"'}, "header field 'shape' must be list"),
        ({"shape": "[12, 70]"}, "packed must be uint8 of shape"),
        ({"shape": "[-12, 7]"}, "shape must be at least 1; got -12"),
        ({"shape": "[12.0, 7]"}, "shape must be an integer"),
        ({"bits": "4"}, "bits is 4, but the centers' is 3"),
        ({"bits": "three"}, "header field 'bits' is not JSON"),
        ({"n_levels": "8"}, "n_levels is 8, but the centers' is 5"),
        ({"n_levels": None}, "header field 'n_levels' is missing"),
        ({"group": "true"}, "header field 'group' must be int or null; got 'true'"),
        ({"group": "2"}, "scale must have one of the shapes"),
    ],
)
def test_a_damaged_file_names_itself_and_the_field(tmp_path, change, says) -> None:
    path = damaged(tmp_path, change)
    with pytest.raises(ValueError, match=rf"codes\.safetensors: .*{says}"):
        ql.CodedMatrix.load(path)


@pytest.mark.parametrize("tensor", ["codes", "centers", "thresholds"])
def test_a_file_without_a_tensor_says_which(tmp_path: Path, tensor: str) -> None:
    with pytest.raises(ValueError, match=rf"codes\.safetensors: tensor '{tensor}' is missing"):
        ql.CodedMatrix.load(damaged(tmp_path, {}, tensor))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        CODED["plain"].save(tmp_path / "nowhere" / "codes.safetensors")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [33, 64, 255, 256])
@pytest.mark.parametrize("law", ["uniform", "normal", "log", "close"])
def test_the_ends_of_the_table_search(dtype: type, k: int, law: str) -> None:
    """Every threshold and its neighbours; the last ones fall into the last bucket, and beyond."""
    rng = np.random.default_rng(k)
    values = {
        "uniform": np.linspace(-1, 1, k), "normal": rng.normal(size=k),
        "log": np.geomspace(1e-3, 1e3, k) * np.where(np.arange(k) % 2, 1, -1),
        "close": np.arange(k),
    }[law]  # fmt: skip
    thresholds = None
    if law == "close":  # the last two fall into neighbouring buckets: four of them a threshold
        thresholds = np.linspace(0, 1, k - 1)
        thresholds[-2] = 1 - 1.2 / (4 * thresholds.size)
    codebook = ql.Codebook(np.sort(values), thresholds)
    t = codebook.thresholds.astype(dtype)
    near = [t, np.nextafter(t, dtype(np.inf)), np.nextafter(t, dtype(-np.inf))]
    far = codebook.thresholds[[0, -1]] + np.ptp(codebook.thresholds) * np.array([[-1], [0.5], [9]])
    entries = np.concatenate([*near, far.ravel().astype(dtype)])[None]
    expected = np.searchsorted(codebook.thresholds, entries.astype(np.float64), side="left")
    assert_array_equal(ql.encode(entries, codebook).codes, expected)
