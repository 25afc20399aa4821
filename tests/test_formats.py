"""Number formats as codebooks, and block-wise scaling."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quantlab import Codebook, GaussianPair, matmul
from quantlab.blocks import block_bits, coded_bits, encode_blocks
from quantlab.formats.codebooks import (
    FORMATS,
    dynamic_levels,
    float_levels,
    formats_at,
    integer_levels,
    normal_float_levels,
)

# QLoRA, arXiv 2305.14314, appendix E
NF4 = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
]  # fmt: skip


def test_nf4_is_the_published_table() -> None:
    assert_allclose(normal_float_levels(), NF4, atol=2e-7)  # computed in float32


def test_dynamic_map_is_the_published_one() -> None:
    levels = dynamic_levels(8)
    assert levels.size == 256
    # first decade: one value, the middle of [0.1, 1], times 10^-6; last: 64 parts
    assert_allclose(levels[levels > 0][:2], [0.55e-6, 3.25e-6], rtol=1e-12)
    assert_allclose(levels[-3:], [0.1 + 0.9 * 62.5 / 64, 0.1 + 0.9 * 63.5 / 64, 1.0], rtol=1e-12)
    assert_array_equal(levels[:127], -levels[128:-1][::-1])


def decoded_byte(code: int, exponent_bits: int, mantissa_bits: int) -> float:
    """One code of a small float, bit by bit; every code finite."""
    sign = -1.0 if code >> (exponent_bits + mantissa_bits) else 1.0
    exponent = (code >> mantissa_bits) & (2**exponent_bits - 1)
    fraction = code & (2**mantissa_bits - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    lead = 0 if exponent == 0 else 2**mantissa_bits
    return sign * (lead + fraction) * 2.0 ** (max(exponent, 1) - bias - mantissa_bits)


@pytest.mark.parametrize(
    ("exponent_bits", "mantissa_bits", "largest", "count"),
    [(4, 3, 448.0, 253), (5, 2, 57344.0, 247), (2, 1, 6.0, 15)],
)
def test_floats_are_their_codes(
    exponent_bits: int, mantissa_bits: int, largest: float, count: int
) -> None:
    bits = 1 + exponent_bits + mantissa_bits
    values = {decoded_byte(code, exponent_bits, mantissa_bits) for code in range(2**bits)}
    finite = sorted(v for v in values if abs(v) <= largest)
    levels = float_levels(exponent_bits, mantissa_bits, largest)
    assert levels.size == count
    assert_allclose(levels * largest, finite, rtol=1e-15)


def test_float16_agrees_with_numpy() -> None:
    codes = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(float)
    finite = np.unique(codes[np.isfinite(codes)])
    assert_allclose(float_levels(5, 10, 65504.0) * 65504.0, finite, rtol=1e-15)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n_levels", [16, 256])
def test_formats_for_laws_and_for_data(name: str, n_levels: int) -> None:
    law = GaussianPair(rho=0.5, sigma_x=3.0, sigma_y=0.2)
    a, b = law.sample_matrices(64, 256, 64, rng=1)
    made = FORMATS[name]
    if not made.exists_at(n_levels):
        with pytest.raises(ValueError, match=rf"{name} exists for .* levels; got {n_levels}"):
            made(law, n_levels)
        return
    assert name in formats_at(n_levels)
    from_law, from_data = made(law, n_levels), made((a, b), n_levels)
    for books in (from_law, from_data):
        assert [book.info["operand"] for book in books] == ["x", "y"]
        assert all(n_levels / 2 < book.n_levels <= n_levels for book in books)
        assert_allclose(books[0].centers / 3.0, books[1].centers / 0.2, rtol=0.25)
    # 256 shared factors: the spread is known to a few percent; the largest of 16,384 entries less
    tolerance = 0.15 if made.scaling == "absmax" else 0.05
    assert_allclose(from_data[0].centers, from_law[0].centers, rtol=tolerance)
    if made.scaling == "absmax":
        assert_allclose(from_data[0].centers[-1], np.abs(a).max(), rtol=1e-6)
    assert made.source


@pytest.mark.parametrize("name", ["int_mse", "uniform"])
def test_best_scale_is_best(name: str) -> None:
    law = GaussianPair(rho=0.0)
    a, b = law.sample_matrices(200, 200, 10, rng=2)

    def loss(book: Codebook) -> float:
        return float(np.mean(np.square(a - book.quantize(a))))

    book = FORMATS[name]((a, b), 16)[0]
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert loss(book) < loss(Codebook(book.centers * factor))
    assert book.centers[-1] < np.abs(a).max()  # it clips


def test_uniform_step_is_max_s() -> None:
    # J. Max (1960), table II: optimum uniform spacing for a unit normal, K = 4, 8, 16
    for k, step in ((4, 0.9957), (8, 0.5860), (16, 0.3352)):
        book = FORMATS["uniform"](GaussianPair(rho=0.0), k)[0]
        assert_allclose(np.diff(book.centers), step, atol=1e-4)


def test_every_format_exists_at_its_own_bits_and_ends_at_its_largest_value() -> None:
    sizes = {
        2: {"int_absmax", "int_mse", "uniform"},
        4: {"int_absmax", "int_mse", "uniform", "fp4_e2m1", "nf4"},
        8: {"int_absmax", "int_mse", "uniform", "fp8_e4m3", "fp8_e5m2", "dynamic8"},
        9: {"uniform"},
    }
    for bits, names in sizes.items():
        assert set(formats_at(2**bits)) == names
    two_largest = {"fp4_e2m1": (4, 6), "fp8_e4m3": (416, 448), "fp8_e5m2": (49152, 57344)}
    for name, (second, largest) in two_largest.items():
        assert_allclose(FORMATS[name].levels(16)[-2:], [second / largest, 1.0], rtol=1e-15)


def test_absmax_of_a_law() -> None:
    book = FORMATS["int_absmax"](GaussianPair(rho=0.3, sigma_x=2.0), 16)[0]
    assert_allclose(book.centers[-1], -2.0 * NormalDist().inv_cdf(2.0**-17), rtol=1e-8)


def test_constant_and_zero_data() -> None:
    for name in ("int_absmax", "int_mse", "nf4"):
        books = FORMATS[name]((np.zeros((3, 4)), np.full((4, 2), 5.0)), 16)
        assert_array_equal(books[0].quantize([0.0]), [0.0])
        assert_allclose(books[1].quantize([5.0]), [5.0], rtol=1e-2)


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        integer_levels(1)
    with pytest.raises(ValueError, match="exists for"):
        FORMATS["int_absmax"](GaussianPair(rho=0.0), 17)
    assert FORMATS["uniform"](GaussianPair(rho=0.0), 17)[0].n_levels == 17


class TestBlocks:
    unit = Codebook(integer_levels(8))

    @pytest.mark.parametrize("operand", ["x", "y"])
    @pytest.mark.parametrize("group", [1, 3, 8, 100])
    def test_each_group_has_its_absmax(self, operand: str, group: int) -> None:
        rng = np.random.default_rng(0)
        matrix = rng.standard_normal((20, 21)) * 10.0 ** rng.uniform(-3, 3, (20, 21))
        coded = encode_blocks(matrix, self.unit, group, operand)  # type: ignore[arg-type]
        along = matrix if operand == "x" else matrix.T
        expected = np.empty_like(along)
        for start in range(0, along.shape[1], group):
            block = along[:, start : start + group]
            scale = np.abs(block).max(axis=1, keepdims=True).astype(np.float16).astype(float)
            expected[:, start : start + group] = scale * self.unit.quantize(block / scale)
        got = coded.decode(np.float64)
        assert_allclose(got if operand == "x" else got.T, expected, rtol=1e-7, atol=1e-12)
        assert block_bits(self.unit, group) == 8 + 16 / group

    def test_outliers_cost_less(self) -> None:
        a, b = GaussianPair(rho=0.5).sample_matrices(64, 128, 64, rng=3)
        a[::7, ::11] *= 50
        c = a @ b
        plain = FORMATS["nf4"]((a, b), 16)
        whole = c - plain[0].quantize(a) @ plain[1].quantize(b)
        unit = Codebook(FORMATS["nf4"].levels(16))
        blocks = c - matmul(encode_blocks(a, unit, 32), encode_blocks(b, unit, 32, "y"))
        assert np.mean(blocks**2) < 0.3 * np.mean(whole**2)

    def test_zero_groups_and_tiny_ones(self) -> None:
        matrix = np.array([[0.0, 0.0, 1e-12, -1e-12]])
        coded = encode_blocks(matrix, self.unit, 2)
        assert np.all(np.isfinite(coded.decode()))
        assert_array_equal(coded.decode()[0, :2], [0.0, 0.0])
        exact = encode_blocks(matrix, self.unit, 2, scale_dtype=np.float32)
        assert_allclose(exact.decode(np.float64), matrix, rtol=1e-6)

    @pytest.mark.parametrize("operand", ["x", "y"])
    @pytest.mark.parametrize(
        ("factor", "scale_bits"),
        [(2.0**-1060, 32), (1e-300, 32), (1e-30, 32), (2.0**-15, 32), (2.0**-10, 16), (1.0, 16),
         (2.0**15, 16), (2.0**17, 32), (1e6, 32), (1e30, 32), (1e300, 32)],
    )  # fmt: skip
    def test_any_magnitude(self, factor: float, scale_bits: int, operand: str) -> None:
        """Codes do not depend on the unit but by the scales' rounding; bits count the scales."""
        rng = np.random.default_rng(1)
        matrix = np.clip(rng.standard_normal((12, 24)), -1.9, 1.9)
        matrix[0, 0] = 1.9
        coded = encode_blocks(factor * matrix, self.unit, 6, operand)  # type: ignore[arg-type]
        # int8's own error is 1 / 254 of a group's largest; float16 rounds by 2^-11
        error = coded.decode(np.float64) / factor - matrix
        assert np.abs(error).max() < 1.9 * (1 / 254 + 2.0**-11)
        assert coded_bits(coded) == 8 + scale_bits / 6

    def test_a_small_group_among_large_ones_keeps_halves(self) -> None:
        coded = encode_blocks([[1e-9, 0.0, 3.0, 0.5]], self.unit, 2)
        assert coded_bits(coded) == 8 + 16 / 2

    def test_bad_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"at most 65504 \(float16\); got 1e\+06"):
            encode_blocks([[1e6]], self.unit, 1, scale_dtype=np.float16)
        with pytest.raises(ValueError, match="group must be at least 1"):
            encode_blocks([[1.0]], self.unit, 0)
        with pytest.raises(TypeError, match="float16 or float32; got int8"):
            encode_blocks([[1.0]], self.unit, 1, scale_dtype=np.int8)
        with pytest.raises(ValueError, match="operand"):
            encode_blocks([[1.0]], self.unit, 1, "z")  # type: ignore[arg-type]
