"""Lattice and pyramid codes: nearest points, round trips, and the errors that they reach."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import quantlab as ql
from quantlab.lattices import (
    SECOND_MOMENTS,
    LatticeMatrix,
    PyramidCode,
    VoronoiCode,
    nearest_a2,
    nearest_points,
)
from quantlab.lattices.pyramid import pyramid_size
from quantlab.lattices.voronoi import _OFFSET, GAUSSIAN
from quantlab.pairs import Operand


def brute_force(lattice: str, x: np.ndarray) -> np.ndarray:
    """Least squared distance: every choice of floor or ceiling, of the right parity."""
    n = x.shape[1]
    least = np.full(len(x), np.inf)
    corners = np.array(list(product((0.0, 1.0), repeat=n)))
    for shift in (0.0, 0.5) if lattice == "E8" else (0.0,):
        low = np.floor(x - shift)
        off = x - shift - low
        for parity in (0, 1):
            rows = low.sum(axis=1) % 2 == parity
            right = corners[corners.sum(axis=1) % 2 == parity]
            far = (1 - 2 * off[rows]) @ right.T  # what ceilings add to floors
            nearest = np.square(off[rows]).sum(axis=1) + far.min(axis=1)
            least[rows] = np.minimum(least[rows], nearest)
    return least


@pytest.mark.parametrize("lattice", ["D4", "E8"])
def test_nearest_points_are_nearest(lattice: str) -> None:
    """A point of D_n nearest to x may leave its unit cube by one step: never nearer than that."""
    n = 4 if lattice == "D4" else 8
    x = np.random.default_rng(0).uniform(-3, 3, (100_000, n))
    points = nearest_points(lattice, x)
    assert_allclose(np.square(x - points / 2).sum(axis=1), brute_force(lattice, x), atol=1e-12)
    whole = points % 2 == 0
    assert np.all(whole.all(axis=1) | (~whole).all(axis=1) if lattice == "E8" else whole)
    assert np.all(points.sum(axis=1) % 4 == 0)
    again = nearest_points(lattice, points / 2)
    assert_array_equal(again, points)


def plain_nearest(lattice: str, x: np.ndarray) -> np.ndarray:
    """As `nearest_points` says, ties and all, one step after the other."""
    found, far = [], []
    for shift in (0.0, 0.5) if lattice == "E8" else (0.0,):
        r = np.rint(x - shift)
        off = x - shift - r
        distance = np.add.accumulate(off**2, axis=1)[:, -1]
        row, first = np.arange(len(x)), np.argmax(np.abs(off), axis=1)
        odd, own = r.sum(axis=1) % 2 != 0, off[row, first]
        r[row, first] += np.where(odd, np.where(own >= 0, 1, -1), 0)
        found.append(2 * (r + shift))
        far.append(distance + np.where(odd, 1 - 2 * np.abs(own), 0))
    return np.where((far[-1] < far[0])[:, None], found[-1], found[0])


@pytest.mark.parametrize("lattice", ["D4", "E8"])
def test_blocks_side_by_side_are_as_one_by_one(lattice: str) -> None:
    """Bit for bit; quarters are full of ties."""
    n, rng = 4 if lattice == "D4" else 8, np.random.default_rng(8)
    for x in (rng.uniform(-3, 3, (100_000, n)), rng.integers(-12, 13, (100_000, n)) / 4):
        assert_array_equal(nearest_points(lattice, x), plain_nearest(lattice, x))


@pytest.mark.parametrize(("lattice", "bits"), [("D4", 3), ("E8", 2), ("E8", 4)])
@pytest.mark.parametrize("operand", ["x", "y"])
def test_codes_are_those_of_the_first_scale_that_holds_a_block(
    lattice: str, bits: int, operand: Operand
) -> None:
    """Points and scales, overload drawn in, against one scale after the other; 26 blocks a row."""
    code = VoronoiCode.gaussian(lattice, bits)
    n, q = code.dimension, 1 << bits
    x = np.random.default_rng(9).standard_t(4, (67, 26 * n - 3))
    coded = code.encode(x if operand == "x" else x.T, operand)
    values = np.zeros((67, 26 * n))
    values[:, :-3] = x / coded.deviation
    values = values.reshape(-1, n)

    def tried(scale: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        point = plain_nearest(lattice, rows / scale)
        return point, np.all(plain_nearest(lattice, point / 2 / q + _OFFSET[:n]) == 0, axis=1)

    points, which = np.zeros(values.shape), np.full(len(values), -1)
    for number, multiplier in enumerate(code.multipliers):
        point, held = tried(multiplier * code.unit, values)
        first = held & (which < 0)
        points[first], which[first] = point[first], number
    over = np.flatnonzero(which < 0)
    assert coded.overloaded == over.size > 0
    which[over] = len(code.multipliers) - 1
    scale = code.multipliers[-1] * code.unit
    for block in over:
        for step in range(1, 200):
            point, held = tried(scale, values[block : block + 1] * 0.97**step)
            if held:
                break
        points[block] = point
    assert_array_equal(coded.which.ravel(), which)
    assert_array_equal(code.points(coded.codes).reshape(-1, n), points)


def test_second_moments() -> None:
    """Of uniform points about their nearest ones, over volume^(2/n)."""
    rng = np.random.default_rng(1)
    for lattice, n, volume in (("D4", 4, 2.0), ("E8", 8, 1.0)):
        x = rng.uniform(-8, 8, (200_000, n))
        error = np.mean(np.square(x - nearest_points(lattice, x) / 2))
        assert_allclose(error / volume ** (2 / n), SECOND_MOMENTS[lattice], rtol=5e-3)
    x = rng.uniform(0, 8, (200_000, 2)) * [1, np.sqrt(3)]  # whole periods
    error = np.mean(np.square(x - nearest_a2(x)))
    assert_allclose(error / (np.sqrt(3) / 2), SECOND_MOMENTS["A2"], rtol=5e-3)
    grid = np.array([[i + 0.5 * j, j * np.sqrt(3) / 2] for i in range(-15, 24)
                     for j in range(-2, 20)])  # fmt: skip
    far = np.square(x[:500, None] - grid).sum(axis=-1).min(axis=1)
    assert_allclose(np.square(x[:500] - nearest_a2(x[:500])).sum(axis=1), far, atol=1e-12)


def test_ties() -> None:
    assert_array_equal(nearest_points("D4", [[0.5, 0.5, 0, 0], [1.0, 0, 0, 0], [1.5, 0.5, 0, 0]]),
                       [[0, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0]])  # fmt: skip
    assert_array_equal(nearest_points("E8", np.full((1, 8), 0.25)), np.zeros((1, 8)))


@pytest.mark.parametrize(("lattice", "bits"), GAUSSIAN)
def test_codes_come_back(lattice: str, bits: int) -> None:
    """Points are lattice points in the code, and a point codes to itself."""
    code = VoronoiCode.gaussian(lattice, bits)
    n = code.dimension
    codes = np.random.default_rng(2).integers(0, 1 << bits, (5000, n)).astype(np.uint8)
    points = code.points(codes)
    assert_array_equal(nearest_points(lattice, points / 2), points)
    assert len(np.unique(points, axis=0)) == len(np.unique(codes, axis=0))
    one = VoronoiCode(lattice, bits, (1,), 1.0)
    matrix = points.reshape(50, -1) / 2
    deviation = np.sqrt(np.mean(matrix**2))
    again = VoronoiCode(lattice, bits, (1,), 1 / deviation).encode(matrix)
    assert_array_equal(again.codes.reshape(-1, n), codes)
    assert again.overloaded == 0
    assert one.bits_per_entry == again.bits_per_entry == bits


# with four scales; the errors of E8 are those of an independent simulation, or lower
@pytest.mark.parametrize(
    ("lattice", "bits", "most"),
    [("E8", 2, 0.0832), ("E8", 3, 0.0186), ("E8", 4, 0.0046), ("D4", 4, 0.0044)],
)
def test_errors_of_gaussian_entries(lattice: str, bits: int, most: float) -> None:
    code = VoronoiCode.gaussian(lattice, bits)
    x = np.random.default_rng(3).standard_normal((512, 1024))
    coded = code.encode(x)
    assert np.mean((coded.decode(np.float64) - x) ** 2) <= most
    assert coded.bits_per_entry == bits + 2 / code.dimension
    assert coded.overloaded / coded.which.size < 0.006 * 8 / code.dimension * 4 ** (4 - bits)


@pytest.mark.parametrize("bits", [3, 4])
def test_products_are_near_the_floor(bits: int) -> None:
    code = VoronoiCode.gaussian("E8", bits)
    a, b = ql.GaussianPair(rho=0.0).sample_matrices(256, 1024, 256, rng=5)
    x, y = code.encode(a), code.encode(b, "y")
    assert x.as_bytes() is not None
    c = a.astype(np.float64) @ b
    coded = x @ y
    assert_allclose(coded, x.decode(np.float64) @ y.decode(np.float64), rtol=1e-5, atol=1e-3)
    nmse = np.mean((c - coded) ** 2) / np.mean(c**2)
    assert 10 * np.log10(nmse / ql.floor_nmse(bits + 0.25)) < 2.3
    assert_allclose(x @ b, x.decode(np.float64) @ b, rtol=1e-4, atol=1e-3)


def test_overload_is_counted_and_edges_hold() -> None:
    code = VoronoiCode.gaussian("E8", 3)
    x = np.random.default_rng(6).standard_t(2, (16, 203))
    coded = code.encode(x)
    assert coded.overloaded > 0
    far = np.abs(x) > 10 * coded.deviation
    assert np.all(np.sign(coded.decode()[far]) == np.sign(x[far]))
    assert coded.shape == (16, 203)
    assert_array_equal(code.encode(np.zeros((3, 8))).decode(), 0)
    assert_array_equal(code.encode(x.T, "y").decode(), coded.decode().T)
    with pytest.raises(ValueError, match="codes exist for"):
        VoronoiCode.gaussian("E8", 5)
    with pytest.raises(ValueError, match="finite, of shape"):
        nearest_points("E8", [[1.0, 2.0]])


@pytest.mark.parametrize(("lattice", "bits"), [("E8", 3), ("D4", 4)])
def test_files_hold_the_bits_that_are_counted(lattice: str, bits: int, tmp_path: Path) -> None:
    code = VoronoiCode.gaussian(lattice, bits)
    x = np.random.default_rng(10).standard_t(3, (203, 64))
    coded = code.encode(x, "y")
    coded.save(tmp_path / "b.safetensors")
    again = LatticeMatrix.load(tmp_path / "b.safetensors")
    assert_array_equal(again.decode(), coded.decode())
    assert (again.code, again.operand, again.shape) == (code, "y", (203, 64))
    assert again.overloaded == coded.overloaded > 0
    tensors = load_file(tmp_path / "b.safetensors")
    held = sum(tensor.nbytes for tensor in tensors.values())
    assert held * 8 <= coded.bits_per_entry * x.size + 64 * 2 * 7  # rows are of whole bytes
    VoronoiCode(lattice, bits, (3,), 0.4).encode(x).save(tmp_path / "one.safetensors")
    assert set(load_file(tmp_path / "one.safetensors")) == {"codes"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lattice": '"A9"'}, "lattice must be one of"),
        ({"multipliers": "[4, 3]"}, "multipliers increase"),
        ({"shape": "[7, 16]"}, r"codes must be uint8 of shape \(7, 8\)"),
        ({"deviation": "-1.0"}, "deviation must not be negative"),
        ({"deviation": "NaN"}, "deviation"),
        ({"offset": "[]"}, "offset is another"),
        ({"operand": '"z"'}, "operand must be"),
        ({"overloaded": "99"}, "overloaded"),
        ({"format": "quantlab.coded_matrix.v1"}, "must have format"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(
    tmp_path: Path, change: dict[str, str], says: str
) -> None:
    path = tmp_path / "a.safetensors"
    VoronoiCode.gaussian("E8", 4).encode(np.eye(16)).save(path)
    with safe_open(path, framework="np") as file:
        header = file.metadata()
    save_file(load_file(path), path, header | change)
    with pytest.raises(ValueError, match=says) as refused:
        LatticeMatrix.load(path)
    assert "a.safetensors" in str(refused.value)


@pytest.mark.parametrize(("dimension", "pulses", "gain_bits"), [(8, 6, 3), (16, 12, 4), (32, 9, 4)])
def test_pyramid_codes(dimension: int, pulses: int, gain_bits: int) -> None:
    code = PyramidCode(dimension, pulses, gain_bits)
    x = np.random.default_rng(7).standard_normal((64, 256))
    points, place, deviation = code.encode(x)
    assert np.all(np.abs(points.astype(int)).sum(axis=-1) == pulses)
    decoded = code.decode(points, place, deviation)
    error = np.mean((decoded - x) ** 2)
    assert error < 2.2 * 4.0**-code.bits_per_entry
    size = pyramid_size(dimension, pulses)
    for point in points.reshape(-1, dimension)[:40]:
        number = code.index(point)
        assert 0 <= number < size
        assert_array_equal(code.point(number), point)
    if dimension == 8:
        every = [code.point(i) for i in range(0, size, max(1, size // 500))]
        assert [code.index(p) for p in every] == list(range(0, size, max(1, size // 500)))
    assert_array_equal(code.encode(np.zeros((2, dimension)))[0].sum(), 2 * pulses)
