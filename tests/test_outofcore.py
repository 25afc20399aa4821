"""Matrices larger than memory: the numbers of the in-memory functions, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab import outofcore

SMALLEST = 64 * 24


def on_disk(folder: Path, name: str, matrix: np.ndarray) -> np.memmap:
    np.save(folder / f"{name}.npy", matrix)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


class OnlySlices:
    """What a zarr array or an HDF5 data set offers, and nothing more."""

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix, self.shape, self.dtype = matrix, matrix.shape, matrix.dtype
        self.largest = 0

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        block = self._matrix[index]
        self.largest = max(self.largest, block.size)
        return block


@pytest.mark.parametrize("n_levels", [2, 3, 16, 100])
@pytest.mark.parametrize("kind", ["memmap", "dask", "slices", "float64", "fortran", "int8"])
def test_encode_is_encode(tmp_path: Path, kind: str, n_levels: int) -> None:
    matrix = np.random.default_rng(0).normal(scale=3, size=(13, 203)).astype(np.float32)
    if kind == "int8":
        matrix = matrix.astype(np.int8)
    elif kind == "float64":
        matrix = matrix.astype(np.float64)
    elif kind == "fortran":
        matrix = np.asfortranarray(matrix)
    source = {
        "memmap": lambda: on_disk(tmp_path, "m", matrix),
        "slices": lambda: OnlySlices(matrix),
    }
    if kind == "dask":
        import dask.array

        wrapped = dask.array.from_array(matrix, chunks=(5, 50))
    else:
        wrapped = source.get(kind, lambda: matrix)()
    book = ql.Codebook(np.linspace(-5, 5, n_levels))
    expected = ql.encode(matrix, book).codes
    for memory in (SMALLEST, 5_000, 1 << 20):  # parts of rows, rows, all
        coded = outofcore.encode(wrapped, book, memory=memory)
        assert coded.is_packed
        assert_array_equal(coded.codes, expected)


def test_blocks_stay_within_the_memory_asked_for() -> None:
    source = OnlySlices(np.ones((50, 400), np.float32))
    outofcore.encode(source, ql.Codebook([0.0, 1.0]), memory=24_000)
    assert 500 < source.largest <= 1000
    source = OnlySlices(np.random.default_rng(0).normal(size=(200, 200)))
    outofcore.design_empirical(source, source, 4, memory=48_000)
    assert source.largest <= 2000


@pytest.mark.parametrize("memory", [SMALLEST, 20_000, 1 << 22])
@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 77, 9), (70, 300, 65)])
@pytest.mark.parametrize("packed", [True, False])
def test_matmul_is_the_reference(
    tmp_path: Path, memory: int, shape: tuple[int, int, int], packed: bool
) -> None:
    m, k, n = shape
    a, b = ql.GaussianPair(0.6).sample_matrices(m, k, n, rng=1)
    cb_x, cb_y = ql.design_companding(ql.GaussianPair(0.6), (8, 16))
    coded = [ql.encode(x, book, packed=packed) for x, book in ((a, cb_x), (b, cb_y))]
    out = np.lib.format.open_memmap(tmp_path / "c.npy", "w+", np.float32, (m, n))
    out[:] = np.nan
    assert outofcore.matmul(*coded, out=out, memory=memory, backend="reference") is out
    expected = cb_x.quantize(a) @ cb_y.quantize(b)
    scale = np.abs(expected).max()
    assert_allclose(out, expected, atol=1e-6 * scale, rtol=1e-6)  # float32 blocks' products
    fast = outofcore.matmul(*coded, memory=memory)
    # the integer grids of matmul add under 1 % of the codes' own error
    assert np.mean((fast - expected) ** 2) <= 0.02 * np.mean((a @ b - expected) ** 2) + 1e-9


def test_scales_of_rows_and_columns_are_kept() -> None:
    rng = np.random.default_rng(0)
    book = ql.Codebook([-1.0, 0.0, 1.0])
    rows, columns = rng.uniform(1, 2, (30, 1)), rng.uniform(1, 2, (1, 25))
    a = ql.CodedMatrix(rng.integers(3, size=(30, 50)), book, scale=rows)
    b = ql.CodedMatrix(rng.integers(3, size=(50, 25)), book, scale=columns)
    expected = a.decode(np.float64) @ b.decode(np.float64)
    # float32 scales and sums
    assert_allclose(outofcore.matmul(a, b, memory=SMALLEST), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("law", ["gaussian", "heavy"])
def test_design_is_design_empirical(law: str) -> None:
    rng = np.random.default_rng(0)
    a, b = ql.GaussianPair(0.8).sample_matrices(300, 150, 250, rng=rng)
    if law == "heavy":
        a = (a * rng.standard_t(3, size=a.shape)).astype(np.float32)
    expected = ql.design_empirical((a, b), (16, 7))
    found = outofcore.design_empirical(OnlySlices(a), OnlySlices(b), (16, 7), memory=100_000)
    c = a @ b

    def error(books: tuple[ql.Codebook, ql.Codebook]) -> float:
        return float(np.mean((c - books[0].quantize(a) @ books[1].quantize(b)) ** 2))

    # other bins, of which there are 8192; the gain is from a sample of the rows
    assert error(found) == pytest.approx(error(expected), rel=0.02)
    assert found[0].info["design"] == "empirical"
    without = outofcore.design_empirical(a, b, (16, 7), memory=100_000, fit_gain=False)
    bare = ql.design_empirical((a, b), (16, 7), fit_gain=False)
    assert_allclose(without[1].centers, bare[1].centers, atol=0.02)


LIMITED = """
import resource, sys, threading
import numpy as np
import quantlab as ql
from quantlab import _threads, outofcore

folder, allowed = sys.argv[1], int(sys.argv[2])
a, b = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in "ab")
def disk(name, kind, shape):
    return np.lib.format.open_memmap(f"{folder}/{name}.npy", "w+", kind, shape)

def run(a, b, tag, memory):
    books = outofcore.design_empirical(a, b, 16, memory=memory)
    coded = [
        outofcore.encode(x, book, out=disk(tag + name, np.uint8, (x.shape[0], x.shape[1] // 2)),
                         memory=memory)
        for x, book, name in zip((a, b), books, "ab")
    ]
    c = disk(tag + "c", np.float32, (a.shape[0], b.shape[1]))
    return outofcore.matmul(*coded, out=c, memory=memory)

small = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
run(small, small, "warm", 1 << 18)  # compiled kernels and BLAS buffers are there
pool = _threads._pool()  # and every thread, with its stack: on a busy machine few were asked for
start = threading.Barrier(pool._max_workers + 1)
for _ in range(pool._max_workers):
    pool.submit(start.wait)
start.wait()
data = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + allowed, data + allowed))
try:
    np.array(a)
except MemoryError:
    print("too large for memory")
run(a, b, "real", allowed // 3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
def test_a_product_of_operands_four_times_the_memory_allowed(tmp_path: Path) -> None:
    m, k, n, allowed = 1600, 8000, 1600, 24 << 20
    a, b = ql.GaussianPair(0.7).sample_matrices(m, k, n, rng=2)
    assert a.nbytes + b.nbytes > 4 * allowed
    on_disk(tmp_path, "a", a)
    on_disk(tmp_path, "b", b)
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(allowed)],
        capture_output=True, text=True, timeout=120,
        # freed blocks go back to the system at once, or how threads take turns decides what is held
        env=os.environ | {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "too large for memory" in run.stdout
    c, product = a @ b, np.load(tmp_path / "realc.npy")
    books = ql.design_empirical((a, b), 16)
    in_memory = ql.matmul(ql.encode(a, books[0]), ql.encode(b, books[1]))
    best = np.mean((c - in_memory) ** 2)
    assert np.mean((c - product) ** 2) == pytest.approx(best, rel=0.02)


def test_bad_input() -> None:
    book = ql.Codebook([-1.0, 0.0, 1.0])
    matrix = np.ones((40, 50), np.float32)
    with pytest.raises(TypeError, match=r"matrix must have shape, dtype and slices.*got list"):
        outofcore.encode([[1.0]], book)
    with pytest.raises(TypeError, match="must hold real numbers; got dtype complex64"):
        outofcore.encode(matrix.astype(np.complex64), book)
    with pytest.raises(ValueError, match=r"\(2-D\); got shape \(0, 3\)"):
        outofcore.encode(np.ones((0, 3)), book)
    with pytest.raises(ValueError, match="memory must be at least 1536 bytes; got 100"):
        outofcore.encode(matrix, book, memory=100)
    with pytest.raises(
        ValueError, match=r"out must be a C-ordered uint8 array of shape \(40, 13\)"
    ):
        outofcore.encode(matrix, book, out=np.empty((40, 50), np.uint8))
    bad = matrix.copy()
    bad[31, 44] = np.nan
    for call in (
        lambda: outofcore.encode(bad, book, memory=SMALLEST),
        lambda: outofcore.design_empirical(
            np.tile(bad, (9, 9)), np.ones((450, 30)), 4, memory=9000
        ),
    ):
        with pytest.raises(ValueError, match=r"must be finite; \w+\[31, 44\] = nan"):
            call()
    coded = ql.encode(matrix, book)
    with pytest.raises(ValueError, match="inner dimension"):
        outofcore.matmul(coded, coded)
    with pytest.raises(TypeError, match="a must be a CodedMatrix; got ndarray"):
        outofcore.matmul(matrix, coded)
    grouped = ql.CodedMatrix(coded.codes, book, scale=np.ones((40, 5)), group=10)
    with pytest.raises(ValueError, match="no scales of groups; got group 10"):
        outofcore.matmul(grouped, ql.encode(matrix.T, book))
    with pytest.raises(ValueError, match=r"out must have shape \(40, 40\); got \(2, 2\)"):
        outofcore.matmul(coded, ql.encode(matrix.T, book), out=np.empty((2, 2)))
