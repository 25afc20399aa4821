"""Every route, tile and layout against the int64 product of the snapped centres, or float64."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab import _threads
from quantlab.codes import CodedMatrix
from quantlab.codes.operand import CodedOperand
from quantlab.gemm import cpu, fused, lanes, plan, vector
from quantlab.gemm.dispatch import FUSED_ROWS, GRID_LIMITS
from quantlab.gemm.grid import snap

PACKAGE = Path(ql.__file__).parent
SIZES = [
    (1, 1, 1), (2, 3, 2), (3, 2, 63), (1, 64, 65), (63, 65, 64), (64, 63, 1), (65, 64, 3),
    (2, 1000, 130), (3, 65, 1000), (1000, 3, 2), (16, 5000, 66),
]  # fmt: skip


def book(k: int, seed: int = 0) -> ql.Codebook:
    return ql.Codebook(np.sort(np.random.default_rng(seed).normal(size=k)))


def coded(rng: np.random.Generator, shape: tuple[int, int], k: int, packed: bool) -> CodedMatrix:
    matrix = CodedMatrix(rng.integers(0, k, shape), book(k, k))
    return matrix.pack() if packed else matrix


def integer_product(a: CodedMatrix, b: CodedMatrix, route: str) -> np.ndarray:
    left, right = (snap(x, GRID_LIMITS[route]) for x in (a, b))
    exact = left.table[a.codes].astype(np.int64) @ right.table[b.codes].astype(np.int64)
    return (exact * (left.scale * right.scale)).astype(np.float32)


class Poisoned:
    """numpy, but `empty` holds NaN, or 77: entries that nobody writes are seen."""

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)

    def empty(self, *args: object, **kwargs: object) -> np.ndarray:
        array = np.empty(*args, **kwargs)
        array[...] = np.nan if array.dtype.kind == "f" else 77
        return array


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "np", Poisoned())


@pytest.fixture(params=vector.available())
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each instruction set this processor has, and the portable loop."""
    monkeypatch.setenv("QUANTLAB_TILE", request.param)
    for cached in (vector.best_tile, cpu._kernels):
        cached.cache_clear()
    yield request.param
    monkeypatch.undo()
    for cached in (vector.best_tile, cpu._kernels):
        cached.cache_clear()


def test_this_machine_has_the_portable_tile() -> None:
    assert vector.available()[-1] == "portable"


@pytest.mark.parametrize("route", ["int8", "int16"])
@pytest.mark.usefixtures("poisoned")
def test_integer_routes_are_exact(tile: str, route: str) -> None:
    rng = np.random.default_rng(1)
    for m, k, n in SIZES:
        for levels_a, levels_b, packed in ((16, 16, True), (16, 16, False), (5, 33, True),
                                           (256, 3, False)):  # fmt: skip
            a, b = coded(rng, (m, k), levels_a, packed), coded(rng, (k, n), levels_b, packed)
            c = ql.matmul(a, b, route=route)
            assert c.dtype == np.float32
            name = f"{m} x {k} x {n}, {levels_a} x {levels_b} levels, packed {packed}"
            assert_array_equal(c, integer_product(a, b, route), name)


@pytest.mark.parametrize("levels", [2, 16, 64, 256])
@pytest.mark.usefixtures("poisoned")
def test_integer_routes_are_exact_in_threads(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes cut as large ones are: by columns, and by rows where columns are few."""
    monkeypatch.setattr(cpu, "THREADED", 0)
    monkeypatch.setattr("quantlab._threads.count", lambda: 4)  # on one processor, too
    rng = np.random.default_rng(2)
    for m, k, n in ((130, 70, 60), (7, 300, 777), (200, 4200, 65), (40, 130, 513)):
        for packed in (False, True):
            a, b = coded(rng, (m, k), levels, packed), coded(rng, (k, n), levels, not packed)
            for route in ("int8", "int16"):
                assert_array_equal(ql.matmul(a, b, route=route), integer_product(a, b, route))


@pytest.mark.parametrize("k", [100_000, 200_001])
def test_no_overflow_at_any_inner_dimension(tile: str, k: int) -> None:
    """All codes at the grid's ends: 127 * 127 * 200,001 is 1.5 times the largest int32."""
    cb = ql.Codebook([-1.0, 0.0, 1.0])
    for code in (0, 2):
        a = CodedMatrix(np.full((3, k), code), cb)
        b = CodedMatrix(np.full((k, 2), 2), cb)
        for route in ("int8", "int16"):
            c = ql.matmul(a, b, route=route)
            assert_allclose(c, np.full((3, 2), (code - 1.0) * k), rtol=1e-7, err_msg="one rounding")
            assert_array_equal(c, integer_product(a, b, route))


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.usefixtures("poisoned")
def test_fp32_route_and_float_operands(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    m, k, n = shape
    rng = np.random.default_rng(3)
    a, b = coded(rng, (m, k), 256, False), coded(rng, (k, n), 16, True)
    exact = ql.matmul(a, b, backend="reference")
    left, right = a.decode(), b.decode()
    # a float32 sum of k products of order 1
    tolerance = {"rtol": 0, "atol": 1e-6 * (k + 1)}
    for decoded_at_once in (1 << 24, 200):
        monkeypatch.setattr(cpu, "_DECODED", decoded_at_once)
        assert_allclose(ql.matmul(a, b, route="fp32"), exact, **tolerance)
        assert_allclose(ql.matmul(left, b), exact, **tolerance)
        assert_allclose(ql.matmul(left, b, route="fp32"), exact, **tolerance)
        unpacked = CodedMatrix(b.codes, b.codebook)
        assert_allclose(ql.matmul(left, unpacked), exact, **tolerance)
        few = coded(rng, (k, n), 5, True)  # 3 bits
        assert_allclose(ql.matmul(left, few), left @ few.decode(), **tolerance)
        assert_allclose(ql.matmul(a, np.asfortranarray(right)), exact, **tolerance)


@pytest.mark.parametrize("rho", [0.0, 0.7, 0.9])
def test_measured_error_of_the_int8_route(rho: float) -> None:
    """Issue: at K = 16, nmse within 0.5 % of the exact product's, over trials of one design."""
    pair = ql.GaussianPair(rho)
    books = ql.design_bilinear(pair, 16, inner_dim=256)
    nmse = {"int8": 0.0, "fp32": 0.0}
    for trial in range(20):
        a, b = pair.sample_matrices(80, 256, 80, rng=trial)
        a_coded, b_coded = ql.encode(a, books[0]), ql.encode(b, books[1])
        for route in nmse:
            error = a @ b - ql.matmul(a_coded, b_coded, route=route)
            nmse[route] += float(np.mean(error.astype(float) ** 2))
    assert_allclose(nmse["int8"], nmse["fp32"], rtol=5e-3)


def test_constant_matrices() -> None:
    """One code throughout: nothing to weigh the grid by, and possibly nothing but zeros."""
    cb = ql.Codebook([-1.0, 0.0, 1.0])
    for code in (0, 1, 2):
        a = CodedMatrix(np.full((3, 5), code), cb)
        b = CodedMatrix(np.full((5, 4), 2), cb)
        for route in ("int8", "int16", "fp32", None):
            c = ql.matmul(a, b, route=route)
            assert_allclose(c, np.full((3, 4), 5.0 * (code - 1)), rtol=1e-6, err_msg="rounding")


def test_predicted_error_of_the_grid() -> None:
    """extra_nmse is what snapping adds to an uncorrelated product, within sampling error."""
    rng = np.random.default_rng(5)
    for levels in (32, 64):
        pair = ql.GaussianPair(0.0)
        books = ql.design_companding(pair, levels)
        a, b = (ql.encode(rng.normal(size=(400, 400)), cb) for cb in books)
        exact = ql.matmul(a, b, backend="reference").astype(float)
        error = ql.matmul(a, b, route="int8") - exact
        measured = np.mean(error**2) / np.mean(exact**2)
        assert_allclose(plan(a, b, "int8").extra_nmse, measured, rtol=0.15)
        coding = ql.exact_mse(pair, *books, inner_dim=400).nmse
        assert_allclose(plan(a, b, "int8").coding_nmse, coding, rtol=0.25)


def test_the_plan_follows_the_table() -> None:
    rng = np.random.default_rng(6)
    pair = ql.GaussianPair(0.7)
    a, b = rng.normal(size=(2, 60, 60))
    for levels, route in ((4, "int8"), (16, "int8"), (64, "int16"), (256, "int16")):
        books = ql.design_companding(pair, levels)
        chosen = plan(ql.encode(a, books[0]), ql.encode(b, books[1]))
        assert chosen.route == route, levels
        assert chosen.share <= 0.01
    uniform = ql.Codebook(np.arange(-127, 128) / 127 * 3)
    chosen = plan(ql.encode(a, uniform), ql.encode(b, uniform))
    assert chosen.route == "int8"  # INT8 is the grid itself
    assert chosen.extra_nmse < 1e-25
    wide = ql.Codebook(np.concatenate([np.linspace(-1, 1, 250), [1e5]]))
    a, b = rng.uniform(-0.99, 0.99, size=(2, 60, 60))
    assert plan(ql.encode(a, wide), ql.encode(b, wide)).route == "fp32"
    assert plan(a, ql.encode(b, uniform)).route == "fp32"
    few = np.resize(a, (FUSED_ROWS, 60))
    route = plan(few, ql.encode(b, book(16))).route
    assert route == ("fused" if vector.best_tile() == "avx512vnni" else "fp32")
    assert plan(np.resize(a, (FUSED_ROWS + 1, 60)), ql.encode(b, book(16))).route == "fp32"
    assert plan(few, ql.encode(b, book(17))).route == "fp32"


def test_scales(tile: str) -> None:
    rng = np.random.default_rng(7)
    codes_a, codes_b = rng.integers(0, 16, (9, 40)), rng.integers(0, 16, (40, 70))
    for shape_a, shape_b, group, routes in (
        ((9, 1), (1, 70), None, ("int8", "int16", "fp32")),
        ((1, 1), (1, 1), None, ("int8", "int16", "fp32")),
        ((9, 5), (5, 70), 8, ("fp32",)),
        ((1, 40), (40, 1), None, ("fp32",)),
    ):
        a = CodedMatrix(codes_a, book(16), rng.normal(size=shape_a), group)
        b = CodedMatrix(codes_b, book(16), rng.normal(size=shape_b), group)
        exact = ql.matmul(a, b, backend="reference")
        assert plan(a, b).route == routes[0]
        size = float(np.abs(exact).max())
        for route, tolerance in (("int8", 2e-2), ("int16", 5e-4), ("fp32", 1e-6)):
            if route in routes:  # the grids' own steps, 1/127 and 1/4095
                c = ql.matmul(a, b, route=route)
                assert_allclose(c, exact, rtol=0, atol=tolerance * size)
            else:
                with pytest.raises(ValueError, match="scales vary"):
                    ql.matmul(a, b, route=route)


def test_fused_products_scale_columns() -> None:
    rng = np.random.default_rng(9)
    a = rng.normal(size=(3, 30)).astype(np.float32)
    for shape in ((1, 1), (1, 70), (30, 1)):
        b = CodedMatrix(rng.integers(0, 16, (30, 70)), book(16), rng.normal(size=shape))
        exact = ql.matmul(a, b, backend="reference")
        assert_allclose(ql.matmul(a, b), exact, rtol=0, atol=1e-5, err_msg="30 terms of order 1")


@pytest.mark.skipif(vector.best_tile() != "avx512vnni", reason="multiplied by another route")
@pytest.mark.parametrize("held", [1, 2, 3, 4, 8])
def test_fused_products_of_every_shape(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 1 to 6 rows, whole lines of codes and parts, groups of rows of B and what is left.

    Integers: every sum is exact in float32. One thread, and tasks of one line each.
    """
    rng = np.random.default_rng(held)
    levels = min(16, 1 << held)
    numbers = np.arange(levels) - levels // 2
    monkeypatch.setattr(_threads, "count", lambda: 64)
    sizes = [*SIZES[:4], (2, 1000, 130), (3, 65, 1000), (1, 8, 129), (4, 15, 600), (5, 16, 64),
             (6, 17, 65), (7, 63, 128), (15, 1, 1000), (16, 2100, 66), (64, 9, 130)]  # fmt: skip
    for m, k, n in sizes:
        scale = rng.integers(1, 4, (1, n))
        b = CodedMatrix(rng.integers(0, levels, (k, n)), ql.Codebook(numbers), scale)
        b = b.pack() if held < 8 else b
        assert b._held_bits == held
        a = rng.integers(-9, 10, (m, k)).astype(np.float32)
        for threaded in (0, 1 << 40):
            monkeypatch.setattr(fused, "THREADED", threaded)
            c = ql.matmul(a, b, route="fused")
            assert_array_equal(c, a @ b.decode(), f"{m} x {k} x {n}, threads from {threaded}")


@pytest.mark.skipif(vector.best_tile() != "avx512vnni", reason="multiplied by another route")
@pytest.mark.parametrize("group", [2, 4, 8, 12, 32, 100, 1024, 2048, 4000])
def test_fused_products_scale_groups(group: int) -> None:
    """Groups along the inner dimension, shorter and longer than those of the kernel; integers."""
    rng = np.random.default_rng(group)
    for m, k, n in ((1, 4100, 130), (3, 200, 65), (7, 33, 256)):
        scale = rng.integers(1, 4, (-(-k // group), n))
        codes = rng.integers(0, 16, (k, n))
        b = CodedMatrix(codes, ql.Codebook(np.arange(16) - 8), scale, group).pack()
        a = rng.integers(-9, 10, (m, k)).astype(np.float32)
        assert plan(a, b).route == "fused"
        assert_array_equal(ql.matmul(a, b), a @ b.decode(), f"{m} x {k} x {n}")


@pytest.mark.skipif(vector.best_tile() != "avx512vnni", reason="multiplied by another route")
def test_fused_sums_of_many_terms_are_rounded_little() -> None:
    """A running float32 sum of 200,000 terms of 0.1 is off by 3e-4 of it, one by spans by 1e-6."""
    b = CodedMatrix(np.ones((200_000, 3), int), ql.Codebook([0.0, 1.0])).pack()
    a = np.full((2, 200_000), 0.1, np.float32)
    assert_allclose(ql.matmul(a, b, route="fused"), 200_000 * np.float64(a[0, 0]), rtol=3e-6)


def test_bad_arguments_say_what_is_wrong() -> None:
    a = CodedMatrix(np.zeros((2, 3), int), book(4))
    with pytest.raises(ValueError, match=r"share the inner dimension .* a \(2, 3\) and b \(2, 3\)"):
        ql.matmul(a, a)
    with pytest.raises(ValueError, match=r"backend must be one of .* got 'gpu'"):
        ql.matmul(a, a, backend="gpu")
    b = CodedMatrix(np.zeros((3, 2), int), book(4))
    with pytest.raises(ValueError, match=r"route must be one of .* got 'int4'"):
        ql.matmul(a, b, route="int4")
    with pytest.raises(
        ValueError, match="'fused' is not possible here: fused products take a float"
    ):
        ql.matmul(a, b, route="fused")
    with pytest.raises(ValueError, match="has no routes"):
        ql.matmul(a, b, backend="reference", route="int8")
    with pytest.raises(ValueError, match="'int8' is not possible here: a float operand"):
        ql.matmul(np.zeros((2, 3)), b, route="int8")
    with pytest.raises(ValueError, match=r"a must be finite; a\[1, 2\] = nan"):
        ql.matmul(np.array([[0, 0, 0], [0, 0, np.nan]]), b)
    with pytest.raises(TypeError, match="must be a CodedMatrix; got ndarray and ndarray"):
        ql.matmul(np.zeros((2, 3)), np.zeros((3, 2)))


def test_an_operand_with_a_product_of_its_own_multiplies_on_either_side() -> None:
    class Own(CodedOperand):
        shape = (2, 2)

        def product(self, a: object, b: object) -> object:
            return "a" if a is self else "b"

    own, other = Own(), np.eye(2)
    assert (ql.matmul(own, other), ql.matmul(other, own, backend="cpu")) == ("a", "b")
    for asked in ({"backend": "reference"}, {"backend": "cuda"}, {"route": "fp32"}):
        with pytest.raises(ValueError, match="Own is multiplied on the CPU, by its own route"):
            ql.matmul(other, own, **asked)


def test_an_unknown_tile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_TILE", "neon")
    vector.best_tile.cache_clear()
    with pytest.raises(ValueError, match=r"QUANTLAB_TILE must be one of .* got 'neon'"):
        vector.best_tile()


# What several threads, a fork and an unwritable cache run: exits 0 when all products are right.
SCRIPT = """
import os, sys, threading
import numpy as np
import quantlab as ql
from quantlab import _threads

rng = np.random.default_rng(0)
cb = ql.Codebook(np.linspace(-1, 1, 16) ** 3)
jobs = [(rng.normal(size=(300, 257)), rng.normal(size=(257, 450))) for _ in range(3)]

def product(job):
    a, b = (ql.encode(x, cb) for x in job)
    return ql.matmul(a, b)

expected = [product(job) for job in jobs]
wrong = []

def work(i):
    for turn in range(20):
        j = (i + turn) % len(jobs)
        if not np.array_equal(product(jobs[j]), expected[j]):
            wrong.append((i, turn))

threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
helpers = [t for t in threading.enumerate() if t.name.startswith("quantlab")]
assert len(helpers) == min(_threads.count() - 1, 1) or _threads.count() > 2, helpers
assert _threads.count() == int(os.environ.get("NUMBA_NUM_THREADS", _threads.count()))
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(product(jobs[0]), expected[0]) else 1)
assert os.waitpid(child, 0)[1] == 0
import numba
try:
    numba.threading_layer()
    raise AssertionError("numba's own threads were started")
except ValueError:
    pass
"""


def run(script: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_at_once_and_forks_in_a_fresh_process(threads: str) -> None:
    done = run(SCRIPT, NUMBA_NUM_THREADS=threads)
    assert done.returncode == 0, done.stderr


def test_threads_at_once_here() -> None:
    rng = np.random.default_rng(8)
    a, b = coded(rng, (200, 400), 16, False), coded(rng, (400, 300), 16, True)
    expected = integer_product(a, b, "int8")
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(10) if not np.array_equal(ql.matmul(a, b), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("home", ["writable", "blocked"])
def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, home: str) -> None:
    """Files stand where cache folders would go: no one may create those, root included."""
    copy = tmp_path / "lib" / "quantlab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").write_text("")
    place = tmp_path / "home"
    if home == "writable":
        place.mkdir()
    else:
        place.write_text("")
    script = """
import sys
import numpy as np
import quantlab as ql
assert ql.__file__.startswith(sys.path[0]), ql.__file__
cb = ql.Codebook([-1.0, 1.0])
a = ql.encode(np.eye(3) - 0.5, cb)
assert np.array_equal(a.codes, np.eye(3))
if sys.argv[1:] == ["multiply"]:
    assert np.array_equal(ql.matmul(a, a), a.decode() @ a.decode())
"""
    script = f"import sys; sys.path.insert(0, {str(tmp_path / 'lib')!r})\n{script}"
    cache = {"HOME": str(place), "XDG_CACHE_HOME": str(place), "NUMBA_CACHE_DIR": ""}
    cache["QUANTLAB_TILE"] = "portable"
    jobs = ["multiply"] if home == "blocked" else []  # compiling takes seconds: once will do
    done = run(script, *jobs, **cache, PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    assert bool(list(tmp_path.rglob("*.nbi"))) == (home == "writable")


def test_import_is_light() -> None:
    """Neither numba nor torch: each would cost more than all of quantlab."""
    script = (
        "import quantlab, sys; assert not {'numba', 'torch', 'scipy.special'} & set(sys.modules)"
    )
    assert run(script).returncode == 0


def test_a_bfloat16_tensor_is_an_operand() -> None:
    torch = pytest.importorskip("torch")
    floats = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    coded = ql.encode(np.eye(7, dtype=np.float32), ql.Codebook([0.0, 1.0]))
    for tensor in (floats.bfloat16(), floats):
        assert_array_equal(ql.matmul(tensor, coded), tensor.detach().float().numpy())


@pytest.mark.parametrize("k", [1, 2, 15, 63, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("n_levels", [2, 5, 16, 17, 64])
def test_a_prepared_operand_gives_the_same_numbers(k: int, n_levels: int) -> None:
    rng = np.random.default_rng(k)
    # integers: the grid of bytes is exact, whatever the number of levels
    book = ql.Codebook(np.arange(n_levels) - n_levels // 2)
    scale = rng.uniform(0.5, 2.0, (1, 77))
    b = ql.CodedMatrix(rng.integers(n_levels, size=(k, 77)), book, scale)
    for m in (1, 2, 3, 7, 16, 17):
        a = ql.CodedMatrix(rng.integers(n_levels, size=(m, k)), book)
        expected = ql.matmul(a, b, route="int8")
        for held in (b, b.pack()):
            prepared = held.prepare()
            assert_array_equal(ql.matmul(a, prepared, route="int8"), expected)
            assert_array_equal(ql.matmul(a.pack(), prepared, route="int8"), expected)
            assert_array_equal(prepared.decode(), b.decode())


def test_a_prepared_operand_counts_its_memory_and_multiplies_by_its_layout() -> None:
    b = ql.CodedMatrix(np.ones((256, 64), int), ql.Codebook(np.arange(16)))
    prepared = b.pack().prepare()
    if not lanes.here():  # nothing is gained on this processor, and nothing held
        assert prepared._lanes is None
        assert prepared.nbytes == b.pack().nbytes
        return
    assert prepared.nbytes == 2 * b.pack().nbytes
    assert prepared[:5]._lanes is None
    prepared._lanes[:] = 0x22  # that the layout is what is read: every code is 2 there
    row = ql.CodedMatrix(np.ones((1, 256), int), b.codebook)
    assert_array_equal(ql.matmul(row, prepared), np.full((1, 64), 512.0))
    assert ql.CodedMatrix(np.ones((2, 2), int), ql.Codebook(np.arange(65))).prepare()._lanes is None
