"""Coded matrices and products on a device: each kernel and the Torch code against reference.py.

Without a GPU the kernels run in Triton's interpreter on tensors of the host, and are compiled for
Hopper but not run; with one, they run there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab.codes.device import DeviceCodedMatrix, encode_tensor
from quantlab.codes.device_coding import center_table, decoded
from quantlab.gemm import cuda, matmul_reference
from quantlab.gemm.cuda import plan as planning
from quantlab.gemm.cuda import routes
from quantlab.gemm.cuda.fp8 import nearest_e4m3, snap_fp8

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED or not torch.cuda.is_available() else "cuda")
needs_triton = pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton does not exist here: its kernels are NOT tested"
)
LEVELS = [2, 4, 7, 16, 32, 50, 100, 256]  # 1 to 8 bits
GROUPED = {"scale": np.linspace(0.5, 2.0, 4 * 9).reshape(4, 9), "group": 5}


@pytest.fixture(autouse=True)
def _outputs_start_as_nan():
    """torch.empty holds NaN, or the largest integer: an entry never written shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=[pytest.param("kernels", marks=needs_triton), "torch"])
def path(request, monkeypatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr("quantlab.codes.device_coding.find_spec", lambda name: None)
    return request.param


def book(n_levels: int, seed: int = 0) -> ql.Codebook:
    """Centres of no symmetry and no grid."""
    rng = np.random.default_rng([n_levels, seed])
    return ql.Codebook(np.sort(rng.normal(size=n_levels)) + 0.01 * np.arange(n_levels))


def coded(rows: int, columns: int, n_levels: int, *, packed: bool = True, seed: int = 0, **scale):
    """A host matrix of random codes, all of them present."""
    rng = np.random.default_rng([rows, columns, n_levels, seed])
    codes = rng.permutation(np.arange(rows * columns) % n_levels).reshape(rows, columns)
    matrix = ql.CodedMatrix(codes, book(n_levels, seed), **scale)
    return matrix.pack() if packed else matrix


def relative(c, reference: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(c.cpu()) - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("n_levels", LEVELS)
def test_codes_are_those_of_the_host(path, n_levels, packed) -> None:
    codebook = book(n_levels)
    x = np.random.default_rng(1).normal(size=(3, 37)) * 2
    x[0, : min(37, n_levels - 1)] = codebook.thresholds[:37]  # on a threshold: the lower cell
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32):
        tensor = torch.from_numpy(x).to(DEVICE, dtype)
        ours = encode_tensor(tensor, codebook, packed)
        host = ql.encode(tensor.cpu(), codebook, packed=packed)
        assert_array_equal(ours._data.cpu(), host._data)
        assert_array_equal(ours.codes.cpu(), host.codes)
        assert_array_equal(ours.packed.cpu(), host.packed)


def test_kernels_encode_where_they_exist_and_torch_elsewhere(path, monkeypatch) -> None:
    made = []
    if find_spec("triton") is not None:
        from quantlab.codes import device_kernels

        encode = device_kernels.encode
        monkeypatch.setattr(
            device_kernels, "encode", lambda *given: (made.append(path), encode(*given))
        )
    encode_tensor(torch.ones(2, 3, device=DEVICE), book(7), packed=True)
    assert made == (["kernels"] if path == "kernels" else [])


def test_a_transposed_or_sliced_tensor_is_encoded_as_it_reads(path) -> None:
    x = torch.randn(40, 19, device=DEVICE, generator=torch.Generator(DEVICE).manual_seed(0))
    for view in (x.T, x[::2], x[:, 3:]):
        host = ql.encode(view.cpu().numpy(), book(16))
        assert_array_equal(encode_tensor(view, book(16)).codes.cpu(), host.codes)


@pytest.mark.filterwarnings("ignore:invalid value")  # the interpreter's zero times infinity
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(path, value) -> None:
    x = torch.zeros(3, 70, device=DEVICE)
    x[2, 69] = value
    with pytest.raises(ValueError, match=r"matrix must be finite; matrix\[2, 69\] = "):
        encode_tensor(x, book(16), packed=True)


def test_out_receives_the_codes(path) -> None:
    x, out = torch.ones(2, 5, device=DEVICE), torch.zeros(2, 3, dtype=torch.uint8, device=DEVICE)
    assert encode_tensor(x, book(16), packed=True, out=out)._data is out
    with pytest.raises(
        ValueError, match=r"out must be a contiguous uint8 tensor of shape \(2, 5\)"
    ):
        encode_tensor(x, book(16), out=out)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "scale",
    [{}, {"scale": 3.0}, {"scale": np.ones((20, 1)) * 2}, {"scale": np.arange(1.0, 10)[None]},
     {"scale": np.arange(1.0, 41).reshape(20, 2), "group": 5}, GROUPED],
    ids=["none", "one", "rows", "columns", "groups of columns", "groups of rows"],
)  # fmt: skip
def test_decode_and_the_way_back(path, packed, scale) -> None:
    host = coded(20, 9, 50, packed=packed, **scale)
    matrix = host.to(DEVICE)
    assert isinstance(matrix, DeviceCodedMatrix)
    assert matrix.nbytes == host.nbytes
    assert_array_equal(matrix.decode().cpu(), host.decode())
    assert_array_equal(matrix.decode(torch.float64).cpu(), host.decode(np.float64))
    assert_array_equal(matrix.pack().decode().cpu(), host.decode())
    back = matrix.to("cpu").numpy()
    assert type(back) is ql.CodedMatrix
    assert_array_equal(back.codes, host.codes)
    assert_array_equal(back.decode(), host.decode())


@pytest.mark.parametrize("transposed", [False, True])
def test_decoding_pads_with_zeros(path, transposed) -> None:
    matrix = coded(5, 9, 7).to(DEVICE)
    table = center_table(matrix.codebook, torch.float32, str(DEVICE))
    out = torch.empty(16, 8, device=DEVICE).T if transposed else torch.empty(8, 16, device=DEVICE)
    expected = np.zeros((8, 16), np.float32)
    expected[:5, :9] = matrix.numpy().decode()
    assert_array_equal(decoded(matrix, table, out).cpu(), expected)


def test_parts_share_memory_and_scales(path) -> None:
    for axis, scale in ((0, np.arange(1.0, 21)[:, None]), (1, np.arange(1.0, 31)[None])):
        host = coded(20, 30, 7, scale=scale)
        matrix = host.to(DEVICE)
        assert_array_equal(matrix.rows(3, 11).decode().cpu(), host.decode()[3:11])
        assert_array_equal(matrix.columns(8, 21).decode().cpu(), host.decode()[:, 8:21])
        assert matrix.rows(3, 11)._data.data_ptr() == matrix._data[3:].data_ptr(), axis


def test_a_saved_device_matrix_loads(tmp_path) -> None:
    pytest.importorskip("safetensors", reason="a bare machine: saving is NOT tested")
    host = coded(5, 7, 16)
    host.to(DEVICE).save(tmp_path / "a.safetensors")
    assert_array_equal(ql.CodedMatrix.load(tmp_path / "a.safetensors").codes, host.codes)
    assert "DeviceCodedMatrix(5 x 7, 4-bit codes" in repr(host.to(DEVICE))


def exact_snapped(matrix: ql.CodedMatrix, grid) -> np.ndarray:
    integers = grid.table.astype(np.float64)[matrix.codes] * grid.scale
    scale = np.ones((1, 1)) if matrix.scale is None else matrix.scale.astype(np.float64)
    for axis, size in enumerate(matrix.shape):
        if 1 < scale.shape[axis] < size:
            scale = scale.repeat(matrix.group, axis).take(range(size), axis)
    return integers * scale


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 63, 17), (33, 130, 40)])
@pytest.mark.parametrize("n_levels", [(16, 16), (2, 7), (32, 4), (100, 16), (50, 256)])
@pytest.mark.parametrize("packed", [True, False])
def test_every_route_agrees_with_the_reference(path, shape, n_levels, packed) -> None:
    m, k, n = shape
    a = coded(m, k, n_levels[0], packed=packed, scale=np.linspace(1, 2, m)[:, None])
    b = coded(k, n, n_levels[1], packed=packed, seed=1, scale=np.linspace(-1, 1, n)[None])
    left, right = a.to(DEVICE), b.to(DEVICE)
    reference = matmul_reference(a, b)

    plan = cuda.plan_cuda(left, right, "int8")
    snapped = exact_snapped(a, plan.grids[0]) @ exact_snapped(b, plan.grids[1])
    # exact integers, then two or three roundings to float32
    size = np.abs(exact_snapped(a, plan.grids[0])) @ np.abs(exact_snapped(b, plan.grids[1]))
    c = ql.matmul(left, right, route="int8")
    assert np.all(np.abs(np.asarray(c.cpu()) - snapped) <= 1e-6 * size)

    size = np.abs(a.decode()) @ np.abs(b.decode())
    # halves round every centre by 2^-11 at most, and largest centres are scaled to 1
    half = ql.matmul(left, right, route="half").cpu().numpy()
    assert np.all(np.abs(half - reference) <= 2.1 * 2**-11 * size)
    exact = ql.matmul(left, right, route="fp32").cpu().numpy()
    assert np.all(np.abs(exact - reference) <= 1e-6 * size)
    default = ql.matmul(left, right)
    assert default.dtype == torch.float32
    assert default.device.type == DEVICE.type
    if n_levels == (16, 16) and path == "torch":
        assert_array_equal(default.cpu(), c.cpu())


@needs_triton
@pytest.mark.parametrize("n_levels", LEVELS)
@pytest.mark.parametrize("packed", [True, False])
def test_the_fused_kernel_agrees_with_the_reference(n_levels, packed) -> None:
    a, b = coded(3, 77, 16, packed=packed), coded(77, 41, n_levels, packed=packed, seed=1)
    left, right = a.to(DEVICE), b.to(DEVICE)
    plan = cuda.plan_cuda(left, right, "fused")
    assert len(plan.grids) == (2 if n_levels <= 16 else 0)
    expected = [x.decode(np.float64) for x in (a, b)]
    if plan.grids:
        expected = [exact_snapped(x, grid) for x, grid in zip((a, b), plan.grids, strict=True)]
    size = np.abs(expected[0]) @ np.abs(expected[1])
    c = ql.matmul(left, right, route="fused").cpu().numpy()
    # integers are exact in halves; other centres, over the largest, round by 2^-11 at most
    most = 1e-6 if plan.grids else 2.1 * 2**-11
    assert np.all(np.abs(c - expected[0] @ expected[1]) <= most * size)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_fused_kernel_takes_a_left_operand_of_halves(dtype) -> None:
    b = coded(77, 41, 16)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 77))).to(DEVICE, dtype)
    plan = cuda.plan_cuda(x, b.to(DEVICE))
    assert plan.route == "fused"
    snapped = exact_snapped(b, plan.grids[0])
    expected = x.double().cpu().numpy() @ snapped
    # the left operand as it is, integers on the right: only sums in float32 round
    size = np.abs(x.double().cpu().numpy()) @ np.abs(snapped)
    assert np.all(np.abs(ql.matmul(x, b.to(DEVICE)).cpu().numpy() - expected) <= 1e-6 * size)


@needs_triton
def test_every_tile_of_the_kernels_computes_the_same() -> None:
    from quantlab.gemm.cuda.launch import (
        BYTE_CONFIGS,
        FUSED_CONFIGS,
        Scales,
        bytes_product,
        fused_product,
    )

    rng = np.random.default_rng(0)
    left, right = (rng.integers(-127, 128, (rows, 256), dtype=np.int8) for rows in (65, 130))
    tensors = [torch.from_numpy(x).to(DEVICE) for x in (left, right)]
    # FP8 holds integers up to 16: their sums are exact whatever the bits that are kept of them
    small = [(x.float() // 8).to(torch.float8_e4m3fn) for x in tensors]
    for operands in (tensors, small):
        x, y = (operand.double().cpu().numpy() for operand in operands)
        for tile in BYTE_CONFIGS:
            c = torch.full((65, 130), np.nan, device=DEVICE)
            bytes_product(*operands, c, 0.5, tile, 256, Scales(c, c, c))
            assert_array_equal(c.cpu(), 0.5 * (x @ y.T))

    a, b = coded(17, 131, 4).to(DEVICE), coded(131, 150, 16, seed=1).to(DEVICE)
    tables = tuple(
        torch.arange(256, device=DEVICE, dtype=torch.float16) - offset for offset in (1, 7)
    )
    expected = (a.codes.double() - 1) @ (b.codes.double() - 7)
    for tile in FUSED_CONFIGS:
        c = torch.full((17, 150), np.nan, device=DEVICE)
        fused_product(a, b, c, tables, (None, None), 1.0, tile)
        assert_array_equal(c.cpu(), expected.cpu())


def test_the_grid_of_fp8_is_that_of_torch() -> None:
    x = np.random.default_rng(0).normal(size=4000) * np.geomspace(1e-4, 300, 4000)
    x = np.concatenate([x, [0, 448, -448, 17, 19, 2.0**-10, 3 * 2.0**-10]])
    expected = torch.from_numpy(x).to(torch.float8_e4m3fn).double().numpy()
    assert_array_equal(nearest_e4m3(x), expected)
    for name, n_levels in (("fp8_e4m3", 256), ("fp4_e2m1", 16)):
        levels = ql.FORMATS[name].levels(n_levels) * 0.0371  # of no power of two
        grid = snap_fp8(coded_by(levels, 40, 100))
        assert grid.added < 1e-28 * grid.energy
        table = grid.table[: levels.size].astype(np.float64)
        assert_allclose(table * grid.scale, levels, rtol=1e-12)
    # values between those of FP8: no scale that was tried does better, and the mean is not biased
    grid = snap_fp8(coded_by(book(50).centers, 40, 100))
    centers, q = book(50).centers, grid.table[:50].astype(np.float64)
    p = np.bincount(coded_by(centers, 40, 100).codes.ravel(), minlength=50) / 4000
    for place in np.linspace(100, 448, 500):
        unit = np.abs(centers).max() / place
        other = p @ (centers - unit * nearest_e4m3(centers / unit)) ** 2
        assert grid.added < 1.1 * other
    assert_allclose(p @ (q * (centers - grid.scale * q)), 0, atol=1e-15 * (p @ q**2))


def coded_by(levels: np.ndarray, rows: int, columns: int, seed: int = 0, **scale):
    rng = np.random.default_rng([rows, columns, seed])
    codes = rng.permutation(np.arange(rows * columns) % levels.size).reshape(rows, columns)
    return ql.CodedMatrix(codes, ql.Codebook(levels), **scale).pack()


def test_products_of_fp8_agree_with_the_reference_and_their_prediction(path) -> None:
    e4m3 = ql.FORMATS["fp8_e4m3"].levels(256)
    a = coded_by(e4m3 * 0.3, 140, 200, scale=np.linspace(1, 2, 140)[:, None])
    b = coded_by(e4m3 * 7, 200, 70, seed=1, scale=np.linspace(-1, 1, 70)[None])
    left, right = a.to(DEVICE), b.to(DEVICE)
    plan = cuda.plan_cuda(left, right)
    assert plan.route == "fp8"
    assert "the grid adds 0.00% of the error" in plan.reason
    size = np.abs(a.decode(np.float64)) @ np.abs(b.decode(np.float64))
    # the centres exactly; sums in float32, of fewer bits within a tile on a card
    most = 1e-6 if DEVICE.type == "cpu" else 2**-11
    c = ql.matmul(left, right).cpu().numpy()
    assert np.all(np.abs(c - matmul_reference(a, b)) <= most * size)

    companders = [ql.design_companding(ql.GaussianPair(0.8), n)[0].centers for n in (50, 100)]
    a, b = coded_by(companders[0], 150, 300), coded_by(companders[1], 300, 200, seed=1)
    plan = cuda.plan_cuda(a.to(DEVICE), b.to(DEVICE), "fp8")
    c = ql.matmul(a.to(DEVICE), b.to(DEVICE), route="fp8").cpu().numpy()
    snapped = [exact_snapped(x, grid) for x, grid in zip((a, b), plan.grids, strict=True)]
    size = np.abs(snapped[0]) @ np.abs(snapped[1])
    assert np.all(np.abs(c - snapped[0] @ snapped[1]) <= most * size)
    exact = matmul_reference(a, b)
    energy = 300 * np.mean(a.decode() ** 2) * np.mean(b.decode() ** 2)
    # 30,000 entries, uncorrelated, of 300 products each; codes' frequencies from 1024 of them
    assert_allclose(np.mean((c - exact) ** 2) / energy, plan.extra_nmse, rtol=0.15)


@needs_triton
@pytest.mark.parametrize("route", ["int8", "fp8", "fused"])
@pytest.mark.parametrize("groups", [(128, 128), (0, 32), (96, 0), (64, 160)])
def test_groups_are_multiplied_apart(route, groups) -> None:
    m, k, n = 7, 330, 19
    rng = np.random.default_rng(0)
    scales: list[dict] = [{"scale": np.linspace(1, 2, m)[:, None]}, {"scale": 3.0}]
    for i, group in enumerate(groups):
        if group:
            shape = (m, -(-k // group)) if i == 0 else (-(-k // group), n)
            scales[i] = {"scale": rng.uniform(0.1, 2, shape), "group": group}
    a, b = coded(m, k, 16, **scales[0]), coded(k, n, 50, seed=1, **scales[1])
    left, right = a.to(DEVICE), b.to(DEVICE)
    plan = cuda.plan_cuda(left, right, route)
    expected = [x.decode(np.float64) for x in (a, b)]
    if plan.grids:
        expected = [exact_snapped(x, grid) for x, grid in zip((a, b), plan.grids, strict=True)]
    size = np.abs(expected[0]) @ np.abs(expected[1])
    # exact sums of a group, then float32; halves round every centre by 2^-11 at most
    most = {"int8": 1e-6, "fp8": 1e-6 if DEVICE.type == "cpu" else 2**-11, "fused": 2.1 * 2**-11}
    c = ql.matmul(left, right, route=route).cpu().numpy()
    assert np.all(np.abs(c - expected[0] @ expected[1]) <= most[route] * size)
    assert relative(torch.from_numpy(c), matmul_reference(a, b)) < {"fp8": 0.05}.get(route, 0.02)


@needs_triton
def test_the_plan_of_groups_and_formats(monkeypatch) -> None:
    def grouped(rows: int, group: int) -> DeviceCodedMatrix:
        matrix = design_matrix(rows, 256, 16)
        matrix.scale = torch.ones(rows, -(-256 // group), device=DEVICE)
        matrix.group = group
        return matrix

    b = design_matrix(256, 40, 16)
    assert cuda.plan_cuda(grouped(128, 32), b).route == "fused"
    assert cuda.plan_cuda(grouped(128, 48), b).route == "half"
    assert cuda.plan_cuda(grouped(129, 128), b).route == "int8"
    assert cuda.plan_cuda(grouped(129, 64), b).route == "half"
    assert cuda.plan_cuda(grouped(129, 64), b, "int8").route == "int8"
    with pytest.raises(ValueError, match="takes Triton and groups of a multiple of 32"):
        cuda.plan_cuda(grouped(129, 16), b, "fp8")

    e4m3, e2m1 = (ql.FORMATS[f"fp{n}"].levels(2 ** int(n[0])) for n in ("8_e4m3", "4_e2m1"))
    wide = coded_by(e4m3, 129, 256).to(DEVICE)
    assert cuda.plan_cuda(wide, coded_by(e4m3, 256, 40).to(DEVICE)).route == "fp8"
    assert cuda.plan_cuda(coded_by(e2m1, 129, 256).to(DEVICE), b).route == "int8"
    reason = cuda.plan_cuda(wide, design_matrix(256, 40, 256)).reason
    assert re.fullmatch(
        r"an int8 grid would add [\d.]+%, an fp8 grid would add [\d.]+% of the error", reason
    )
    monkeypatch.setattr(planning, "has_fp8", lambda device: False)
    assert cuda.plan_cuda(wide, wide.T).route == "half"
    with pytest.raises(ValueError, match="the device multiply FP8"):
        cuda.plan_cuda(wide, wide.T, "fp8")


@needs_triton
@pytest.mark.skipif(DEVICE.type == "cuda", reason="there the PTX itself runs")
@pytest.mark.parametrize("scale", [{}, {"scale": np.linspace(1, 2, 3 * 41).reshape(3, 41)}])
def test_the_fused_kernel_puts_nibbles_in_their_columns(monkeypatch, scale) -> None:
    """All that is around the PTX, with Triton in its place."""
    import triton.language as tl

    from quantlab.gemm.cuda import kernels, launch

    def nibble(code, words):
        byte = tl.load(words + code // 4) >> (code % 4 * 8) & 255
        return (byte - 128).to(tl.float16)

    taken = []

    def nibbles(held, words):
        taken.append(held.shape)
        held = held.to(tl.int32)
        return nibble(held & 15, words), nibble(held >> 4, words)

    a, b = coded(3, 77, 16), coded(77, 41, 16, seed=1, **scale, **({"group": 32} if scale else {}))
    expected = ql.matmul(a.to(DEVICE), b.to(DEVICE), route="fused")
    monkeypatch.setattr(kernels, "nibbles", nibbles)
    monkeypatch.setattr(launch, "takes_ptx", lambda device: True)
    # sums of every other column may run in another order
    c = ql.matmul(a.to(DEVICE), b.to(DEVICE), route="fused")
    assert_allclose(c.cpu(), expected.cpu(), rtol=1e-5, atol=1e-6)
    assert taken


def test_rows_coded_with_feedback_are_multiplied_where_they_are(path) -> None:
    """Codes found from tensors are those of the host, and so is what comes after."""
    from quantlab.scheme.device_rounding import round_feedback_tensor
    from quantlab.scheme.rounding import feedback_of, feedback_tables, one_book, round_feedback

    a, b = ql.GaussianPair(0.8).sample_matrices(20, 48, 30, rng=np.random.default_rng(0))
    books, host = ql.design_companding(ql.GaussianPair(0.8), 16), []
    for rows, others, codebook in ((a, b.T, books[0]), (b.T, a, books[1])):
        moment = others.T.astype(float) @ others / len(others) + 0.01 * np.eye(48)
        upper, order = feedback_of(moment)
        given = one_book(codebook, 48)
        host.append(round_feedback(rows, upper, *given, order))
        rows = torch.from_numpy(np.ascontiguousarray(rows)).to(DEVICE)
        found = round_feedback_tensor(rows, upper, *feedback_tables(*given)[:2], order)
        assert found.device.type == DEVICE.type
        assert_array_equal(found.cpu(), host[-1])
    left, right = (ql.CodedMatrix(x, y) for x, y in zip(host, books, strict=True))
    for packed in (False, True):
        x = DeviceCodedMatrix.of_codes(torch.from_numpy(host[0]).to(DEVICE), books[0], packed)
        y = DeviceCodedMatrix.of_codes(torch.from_numpy(host[1]).to(DEVICE).T, books[1], packed)
        assert x.is_packed == packed
        reference = matmul_reference(left, right.T)
        # 16 levels snapped to integers
        assert relative(ql.matmul(x, y), reference) < 5e-3
        assert relative(ql.matmul(x, y, route="fp32"), reference) < 1e-6
    with pytest.raises(ValueError, match=r"codes must lie in 0 \.\. 15; got 16"):
        DeviceCodedMatrix.of_codes(torch.full((2, 3), 16, dtype=torch.uint8), books[0])
    with pytest.raises(ValueError, match="codes must be a uint8 tensor"):
        DeviceCodedMatrix.of_codes(torch.ones(2, 3), books[0])


@needs_triton
def test_a_tile_suits_products_that_fill_it() -> None:
    from quantlab.gemm.cuda.launch import Tile

    assert Tile(16, 128, 64).suits(1, 64), "there is none of fewer rows"
    assert [Tile(128, 128, 64).suits(m, 64) for m in (16, 64, 65, 1000)] == [
        False,
        False,
        True,
        True,
    ]
    assert [Tile(16, 128, 64, split=4).suits(1, k) for k in (64, 255, 256)] == [False, False, True]


@needs_triton
def test_nibbles_decode_to_their_integers() -> None:
    """The PTX of DECODE_NIBBLES, instruction by instruction, on every byte."""
    from quantlab.gemm.cuda.kernels import DECODE_NIBBLES

    integers = np.random.default_rng(0).integers(-127, 128, 16)
    words = (integers + 128).astype(np.uint8).view(np.uint32)
    for byte in range(0, 256, 4):
        held = np.arange(byte, byte + 4, dtype=np.uint8)
        registers = {"$4": int(held.view(np.uint32)[0])}
        registers |= {f"${5 + 4 * i}": int(word) for i, word in enumerate(words)}
        run_ptx(str(DECODE_NIBBLES), registers)
        low, high = (
            np.array([registers[f"${i}"] for i in pair], np.uint32).view(np.float16)
            for pair in ((0, 1), (2, 3))
        )
        assert_array_equal(low, integers[held & 15])
        assert_array_equal(high, integers[held >> 4])


def run_ptx(code: str, registers: dict[str, int]) -> None:
    """The few instructions that the kernel uses, as the PTX manual defines them."""
    for line in re.findall(r"^(\w[\w.]*) (.*);$", code, re.MULTILINE):
        operation, (target, *sources) = line[0], line[1].split(", ")
        v = [registers[s] if s in registers else int(s, 0) for s in sources]
        if operation == "mov.b32":
            value = v[0]
        elif operation == "and.b32":
            value = v[0] & v[1]
        elif operation == "shr.u32":
            value = v[0] >> v[1]
        elif operation == "lop3.b32":
            bits = [[(x >> i) & 1 for i in range(32)] for x in v[:3]]
            value = sum(
                ((v[3] >> (4 * a + 2 * b + c)) & 1) << i
                for i, (a, b, c) in enumerate(zip(*bits, strict=True))
            )
        elif operation == "prmt.b32":
            pool = (v[0] | v[1] << 32).to_bytes(8, "little")
            chosen = [(v[2] >> 4 * i) & 15 for i in range(4)]
            assert max(chosen) < 8, "the highest bit would copy a sign"
            value = int.from_bytes(bytes(pool[i] for i in chosen), "little")
        elif operation == "sub.rn.f16x2":
            halves = [np.array([x], np.uint32).view(np.float16) for x in v]
            value = int((halves[0] - halves[1]).view(np.uint32)[0])
        else:
            raise AssertionError(f"unknown instruction {operation}")
        registers[target] = value


@needs_triton
def test_every_kernel_compiles_for_hopper() -> None:
    """To machine code of compute capability 9.0, every tile within its shared memory."""
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    script = os.path.join(os.path.dirname(__file__), "compile_kernels.py")
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    used = dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())
    assert len(used) == 33
    assert max(map(int, used.values())) <= 232_448  # bytes that a program can have there


def test_the_plan_goes_by_rows_levels_and_scales(path) -> None:
    few = "fused" if path == "kernels" else "int8"
    a, b = coded(16, 40, 16).to(DEVICE), coded(40, 30, 16, seed=1).to(DEVICE)
    fine = design_matrix(40, 30, 256)
    if few == "fused":
        assert cuda.plan_cuda(a, b).reason == "16 rows: packed codes are read once"
    assert cuda.plan_cuda(design_matrix(128, 40, 16), design_matrix(40, 30, 16)).route == few
    assert cuda.plan_cuda(design_matrix(129, 40, 16), design_matrix(40, 30, 16)).route == "int8"
    assert cuda.plan_cuda(design_matrix(129, 40, 16), fine).route == "half"
    assert "would add" in cuda.plan_cuda(design_matrix(129, 40, 16), fine).reason
    assert cuda.plan_cuda(torch.ones(2, 40, device=DEVICE), b).route == "fp32"
    assert cuda.plan_cuda(a, torch.ones(40, 2, dtype=torch.bfloat16, device=DEVICE)).route == "half"
    grouped = coded(4, 40, 16, scale=np.ones((4, 8)), group=5).to(DEVICE)
    assert cuda.plan_cuda(grouped, b).route == "half"
    host = ql.gemm.plan(coded(16, 40, 16), coded(40, 30, 16, seed=1), "int8")
    ours = cuda.plan_cuda(a, b, "int8")
    # frequencies of 1024 codes, sampled at other places
    assert_allclose(ours.coding_nmse, host.coding_nmse, rtol=0.2)
    assert_allclose(ours.extra_nmse, host.extra_nmse, rtol=0.5)


def design_matrix(rows: int, columns: int, n_levels: int) -> DeviceCodedMatrix:
    codebook, _ = ql.design_companding(ql.GaussianPair(0.5), n_levels)
    x = np.random.default_rng(rows).normal(size=(rows, columns))
    return ql.encode(x, codebook, packed=True).to(DEVICE)


@pytest.mark.parametrize("axis", [0, 1])
def test_scales_that_vary_along_the_inner_dimension(path, axis) -> None:
    a = coded(4, 9, 16, scale=GROUPED["scale"][:, :2], group=5)
    b = coded(9, 24, 50, scale=np.linspace(0.1, 3, 48).reshape(2, 24), group=5)
    reference = matmul_reference(a, b)
    for route, most in ((None, 2e-3), ("fp32", 1e-6)):
        c = ql.matmul(a.to(DEVICE), b.to(DEVICE), route=route)
        assert relative(c, reference) < most
    with pytest.raises(ValueError, match=r"int8.*not possible here: scales vary along the inner"):
        ql.matmul(a.to(DEVICE), b.to(DEVICE), route="int8")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_float_operands_on_either_side(path, dtype) -> None:
    host = coded(20, 30, 16)
    rng = np.random.default_rng(0)
    left, right = (
        torch.from_numpy(rng.normal(size=shape)).to(DEVICE, dtype) for shape in ((18, 20), (30, 3))
    )
    # halves on the left: the fused kernel, which snaps the centres to integers
    most = {torch.float16: 5e-3, torch.bfloat16: 5e-3}.get(dtype, 1e-6)
    c = ql.matmul(left, host.to(DEVICE))
    assert relative(c, left.double().cpu().numpy() @ host.decode(np.float64)) < most
    c = ql.matmul(host.to(DEVICE), right)
    assert relative(c, host.decode(np.float64) @ right.double().cpu().numpy()) < most
    assert c.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_double_operands_have_a_double_product(path) -> None:
    host = coded(20, 30, 16, scale=np.linspace(0.5, 2, 20)[:, None])
    right = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 3))).to(DEVICE)
    expected = host.decode(np.float64) @ right.cpu().numpy()
    assert relative(host.to(DEVICE) @ right, expected) < 1e-14
    assert relative(right.T @ host.to(DEVICE).T, expected.T) < 1e-14


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_operands_of_other_real_dtypes(dtype) -> None:
    host = coded(4, 5, 16)
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (5, 3))).to(DEVICE)
    expected = host.decode(np.float64) @ values.cpu().numpy()
    assert relative(host.to(DEVICE) @ values.to(dtype), expected) < 1e-6


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "scale",
    [{}, {"scale": 3.0}, {"scale": np.linspace(1, 2, 12)[:, None]},
     {"scale": np.linspace(1, 2, 9)[None]},
     {"scale": np.linspace(1, 2, 36).reshape(12, 3), "group": 3},
     {"scale": np.linspace(1, 2, 27).reshape(3, 9), "group": 4}],
    ids=["none", "one", "rows", "columns", "grouped_columns", "grouped_rows"],
)  # fmt: skip
def test_a_matrix_of_tensors_behaves_as_one(packed: bool, scale: dict) -> None:
    """np.asarray, .T and rows by slice: as numpy has them, and held where the matrix is."""
    host = coded(12, 9, 7, packed=packed, **scale)
    for matrix in (host, host.to(DEVICE)):
        dense = host.decode()
        assert_array_equal(np.asarray(matrix), dense)
        assert np.asarray(matrix, np.float64).dtype == np.float64
        assert len(matrix) == 12
        whole = slice(4, 8) if host.scale is not None and host.scale.shape[0] == 3 else None
        views = [(matrix.T, dense.T), (matrix.T.T, dense)]
        for rows in [whole] if whole else [slice(2, 5), slice(None, None, -2), slice(-3, None)]:
            views.append((matrix[rows], dense[rows]))
        for view, expected in views:
            assert type(view) is type(matrix)
            assert view.is_packed == matrix.is_packed
            assert getattr(view, "device", None) == getattr(matrix, "device", None)
            assert_array_equal(np.asarray(view), expected)


@pytest.mark.parametrize("route", ["int8", "half", "fp32"])
@pytest.mark.parametrize("shape", [(300, 20, 40), (20, 30, 500)])
def test_out_of_memory_falls_back_to_tiles(path, monkeypatch, route, shape) -> None:
    m, k, n = shape
    a = coded(m, k, 16, scale=np.linspace(1, 2, m)[:, None]).to(DEVICE)
    b = coded(k, n, 16, seed=1, scale=np.linspace(1, 2, n)[None]).to(DEVICE)
    whole = ql.matmul(a, b, route=route)
    product, tiles = routes._PRODUCTS[route], []

    def scarce(a, b, plan, c) -> None:
        if c.numel() > 4000:
            raise torch.OutOfMemoryError("not enough")
        tiles.append(tuple(c.shape))
        product(a, b, plan, c)

    monkeypatch.setitem(routes._PRODUCTS, route, scarce)
    # sums of floats may run in another order for another shape
    assert_allclose(ql.matmul(a, b, route=route).cpu(), whole.cpu(), rtol=1e-4, atol=1e-4)
    assert len(tiles) >= 4
    assert sum(rows * columns for rows, columns in tiles) == m * n


def test_out_of_memory_that_no_tile_can_help_is_raised(monkeypatch) -> None:
    def empty(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 1 GiB")

    a, b = coded(4, 9, 16).to(DEVICE), coded(9, 8, 16).to(DEVICE)
    plan = cuda.plan_cuda(a, b, "half")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", empty)
        with pytest.raises(torch.OutOfMemoryError, match="the product itself, 4 x 8 float32"):
            routes.run(a, b, plan)
    monkeypatch.setitem(routes._PRODUCTS, "half", empty)
    with pytest.raises(torch.OutOfMemoryError, match="1 GiB"):
        ql.matmul(a, b, route="half")


@pytest.mark.parametrize("newer", ["ieee", "tf32", None])
@pytest.mark.parametrize("older", ["highest", "high", "medium"])
def test_fp32_is_exact_whatever_the_process_allows(older, newer) -> None:
    settings = torch.backends.cuda.matmul
    try:
        torch.set_float32_matmul_precision(older)
        if newer is not None:
            settings.fp32_precision = newer
        before = settings.fp32_precision
        with routes.without_tf32():
            assert settings.fp32_precision == "ieee"
            assert settings.allow_tf32 is False  # raises if the two settings differ
        assert settings.fp32_precision == before
        if newer is None:
            assert torch.get_float32_matmul_precision() == older
    finally:
        torch.set_float32_matmul_precision("highest")


def test_operands_in_the_wrong_place_say_so() -> None:
    host, matrix = coded(4, 4, 16), coded(4, 4, 16).to(DEVICE)
    elsewhere = coded(4, 4, 16).to("meta")
    with pytest.raises(
        ValueError, match=r"tensors on one device; b is a CodedMatrix in the host's memory"
    ):
        ql.matmul(matrix, host)
    with pytest.raises(
        ValueError, match=r"tensors on one device; a is an array in the host's memory"
    ):
        ql.matmul(np.ones((4, 4)), matrix)
    with pytest.raises(
        ValueError, match=f"a and b must be on one device; got a on {DEVICE}.* meta"
    ):
        ql.matmul(matrix, elsewhere)
    for backend in ("cpu", "reference"):
        with pytest.raises(ValueError, match=f'backend "{backend}" takes operands in the host'):
            ql.matmul(matrix, matrix, backend=backend)
    with pytest.raises(ValueError, match=r"got tensors on cpu"):
        ql.matmul(matrix.to("cpu"), matrix.to("cpu"), backend="cuda")
    with pytest.raises(TypeError, match=r"b must hold real numbers; got dtype torch\.complex64"):
        ql.matmul(matrix, torch.ones(4, 4, dtype=torch.complex64, device=DEVICE))
    with pytest.raises(TypeError, match=r"b must be dense: \.to_dense\(\); got .*sparse_coo"):
        ql.matmul(matrix, torch.eye(4, device=DEVICE).to_sparse())
    with pytest.raises(ValueError, match=r"must share the inner dimension k"):
        ql.matmul(matrix, coded(5, 4, 16).to(DEVICE))
    with pytest.raises(ValueError, match=r'route must be one of .* or None; got "int16"'):
        ql.matmul(matrix, matrix, route="int16")
    with pytest.raises(TypeError, match=r"made by encode or by CodedMatrix\.to"):
        DeviceCodedMatrix(torch.zeros(2, 2), book(4))


def test_too_many_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 256 levels; got 257"):
        ql.encode(torch.zeros(2, 2, device="meta"), ql.Codebook(np.arange(257.0)))


def test_without_cuda_the_backend_says_what_is_missing(monkeypatch) -> None:
    matrix = coded(4, 4, 16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not cuda.available()
    assert cuda.device_name() is None
    with pytest.raises(RuntimeError, match=r'backend "cuda" needs a CUDA device; torch .* '):
        ql.matmul(matrix, matrix, backend="cuda")
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    assert not cuda.available()
    with pytest.raises(ImportError, match=r"needs torch: pip install -e '\.\[cuda\]'"):
        ql.matmul(matrix, matrix, backend="cuda")


@pytest.mark.skipif(DEVICE.type != "cuda", reason="no CUDA device: numpy in, numpy out NOT tested")
def test_numpy_in_numpy_out() -> None:
    a, b = coded(40, 50, 16), coded(50, 60, 16)
    c = ql.matmul(a, b, backend="cuda")
    assert isinstance(c, np.ndarray)
    assert relative(torch.from_numpy(c), matmul_reference(a, b)) < 3e-3
    x = torch.randn(9, 50, device=DEVICE)
    assert ql.encode(x, book(16)).device.type == "cuda"


def test_the_fastest_candidate_is_found_once(monkeypatch) -> None:
    from quantlab.gemm.cuda import tune

    class Device:
        type = "cuda"

    times = {"slow": 3.0, "fast": 1.0, "broken": float("inf")}
    ran = []
    candidates = [lambda name=name: ran.append(name) for name in times]
    measured = iter(times.values())
    monkeypatch.setattr(tune, "_milliseconds", lambda call: next(measured))
    monkeypatch.setattr(tune, "_chosen", {})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a device")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    tune.fastest("key", candidates, Device())
    tune.fastest("key", candidates, Device())
    assert ran == ["fast", "fast"]
    tune.fastest("key", candidates, torch.device("cpu"))
    assert ran[2:] == ["slow"]
