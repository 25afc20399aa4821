"""Formats with a scale a group, against the libraries that define them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import quantlab as ql
from quantlab.codes import CodedMatrix
from quantlab.formats import GROUP_FORMATS, OffsetMatrix

SMALL_FLOATS = {
    "mxfp4": (ml_dtypes.float4_e2m1fn, 6.0, 2),
    "mxfp6_e2m3": (ml_dtypes.float6_e2m3fn, 7.5, 2),
    "mxfp6_e3m2": (ml_dtypes.float6_e3m2fn, 28.0, 4),
    "mxfp8_e4m3": (ml_dtypes.float8_e4m3fn, 448.0, 8),
    "mxfp8_e5m2": (ml_dtypes.float8_e5m2, 57344.0, 15),
}
GGUF_TYPES = {
    name: getattr(gguf.GGMLQuantizationType, name.upper())
    for name in ("q4_0", "q4_1", "q8_0", "q4_k", "q6_k", "iq4_nl")
}


def matrix(rows: int = 24, k: int = 512) -> NDArray[np.float32]:
    """Entries of many sizes, ties, groups of zeros and of one value."""
    rng = np.random.default_rng(4)
    found = rng.standard_normal((rows, k)) * 10.0 ** rng.uniform(-4, 2, (rows, 1))
    found[1] = np.rint(4 * found[1] / np.abs(found[1]).max() * 3) / 4  # halves and quarters: ties
    found[2, :256] = 0.0
    found[3] = -0.75
    found[4, 32:64] = 3.0
    return found.astype(np.float32)


def scale_and_codes(coded: CodedMatrix) -> tuple[NDArray, NDArray]:
    assert coded.scale is not None
    return coded.scale, coded.codes


@pytest.mark.parametrize("name", SMALL_FLOATS)
def test_mx_floats_are_ml_dtypes(name: str) -> None:
    kind, largest, highest = SMALL_FLOATS[name]
    x = matrix()
    coded = GROUP_FORMATS[name].encode(x)
    blocks = x.reshape(len(x), -1, 32)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(np.abs(blocks).max(-1))) - highest
    scale = (2.0 ** np.maximum(exponent, -127)).astype(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    assert_array_equal(coded.scale, scale)
    inside = np.clip(blocks / scale[..., None], -largest, largest)
    expected = inside.astype(kind).astype(np.float32) * scale[..., None]
    assert_array_equal(coded.decode(), expected.reshape(x.shape))
    codes = np.arange(2 ** GROUP_FORMATS[name].code_bits, dtype=np.uint8)
    every = codes.view(kind).astype(np.float64)
    assert_array_equal(GROUP_FORMATS[name].levels, np.unique(every[np.isfinite(every)] + 0.0))


def test_mxint8_is_a_byte_of_64ths() -> None:
    coded = GROUP_FORMATS["mxint8"].encode([[1.99, -1.0, 1 / 128, 3 / 128]])
    assert_array_equal(coded.decode(), [[127 / 64, -1.0, 0.0, 2 / 64]])


def test_nvfp4_is_ml_dtypes() -> None:
    x = matrix()
    blocks = x.reshape(len(x), -1, 16).astype(np.float64)
    whole = np.float32(np.abs(x).max() / np.float64(6 * 448))
    part = (np.abs(blocks).max(-1) / 6 / float(whole)).astype(ml_dtypes.float8_e4m3fn)
    scale = part.astype(np.float32) * whole
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = np.nan_to_num(np.clip(blocks / scale[..., None], -6, 6))
    expected = levels.astype(ml_dtypes.float4_e2m1fn).astype(np.float32) * scale[..., None]
    coded = GROUP_FORMATS["nvfp4"].encode(x)
    assert_array_equal(coded.decode(), expected.reshape(x.shape))


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0"])
def test_simple_gguf_blocks_are_gguf_s(name: str) -> None:
    x = matrix()
    expected = gguf.dequantize(gguf.quantize(x, GGUF_TYPES[name]), GGUF_TYPES[name])
    assert_array_equal(GROUP_FORMATS[name].encode(x).decode(), expected)


def nibbles(codes: NDArray, width: int) -> NDArray[np.uint8]:
    """Low nibbles of the first half of each `width` codes, high ones of the second."""
    halves = codes.reshape(len(codes), -1, 2, width // 2).astype(np.uint8)
    return (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(len(codes), -1)


def as_halves(values: NDArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values.astype(np.float16)).view(np.uint8)


def common_half(scales: NDArray, low: int, high: int) -> tuple[NDArray, NDArray]:
    """A float16 unit for each row, and integers low .. high whose products are its scales."""
    units, steps = [], []
    for row in scales:
        largest = row[np.abs(row).argmax()]
        ends = np.array([q for q in range(low, high + 1) if q])
        for unit in (largest / ends).astype(np.float16).astype(np.float32):
            found = np.rint(row / unit) if unit else np.zeros(len(row))
            fits = found.min() >= low and found.max() <= high
            if fits and np.array_equal((found * unit).astype(np.float32), row):
                break
        else:
            raise AssertionError(f"no float16 unit for {row}")
        units.append(unit)
        steps.append(found)
    return np.array(units)[:, None], np.array(steps)


def test_q4_k_decodes_as_gguf() -> None:
    coded = GROUP_FORMATS["q4_k"].encode(matrix())
    assert isinstance(coded, OffsetMatrix)
    scale, codes = scale_and_codes(coded.coded)
    d, s = common_half(scale.reshape(-1, 8), 0, 63)
    least, m = common_half(-coded.offset.reshape(-1, 8), 0, 63)
    s, m = s.astype(np.uint8), m.astype(np.uint8)
    low = np.concatenate([s[:, :4] | (s[:, 4:] >> 4) << 6, m[:, :4] | (m[:, 4:] >> 4) << 6], axis=1)
    high = (s[:, 4:] & 15) | (m[:, 4:] & 15) << 4
    q = nibbles(codes.reshape(-1, 256), 64)
    packed = np.concatenate([as_halves(d), as_halves(least), low, high, q], axis=1)
    expected = gguf.dequantize(packed, GGUF_TYPES["q4_k"]).reshape(coded.shape)
    assert_array_equal(coded.decode(), expected)


@pytest.mark.parametrize("name", ["q4_k", "int4_g32_zero"])
def test_offsets_are_saved(name: str, tmp_path: Path) -> None:
    coded = GROUP_FORMATS[name].encode(matrix(), "y")
    assert isinstance(coded, OffsetMatrix)
    coded.save(tmp_path / "b.safetensors")
    again = OffsetMatrix.load(tmp_path / "b.safetensors")
    assert_array_equal(again.decode(), coded.decode())
    assert again.coded.is_packed
    with pytest.raises(ValueError, match=r"b\.safetensors: the file must have format"):
        ql.CodedMatrix.load(tmp_path / "b.safetensors")


def test_q6_k_decodes_as_gguf() -> None:
    coded = GROUP_FORMATS["q6_k"].encode(matrix())
    scale, codes = scale_and_codes(coded)  # type: ignore[arg-type]
    d, s = common_half(scale.reshape(-1, 16), -128, 127)
    q = codes.reshape(-1, 2, 4, 32)
    low, high = q & 15, q >> 4
    ql_ = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], -1)
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    parts = (ql_.reshape(len(q), -1), qh.reshape(len(q), -1), s.astype(np.int8).view(np.uint8))
    packed = np.concatenate([*parts, as_halves(d)], axis=1)
    expected = gguf.dequantize(packed, GGUF_TYPES["q6_k"]).reshape(coded.shape)
    assert_array_equal(coded.decode(), expected)


def test_iq4_nl_decodes_as_gguf() -> None:
    coded = GROUP_FORMATS["iq4_nl"].encode(matrix())
    scale, codes = scale_and_codes(coded)  # type: ignore[arg-type]
    packed = np.concatenate(
        [as_halves(scale.reshape(-1, 1)), nibbles(codes.reshape(-1, 32), 32)], 1
    )
    expected = gguf.dequantize(packed, GGUF_TYPES["iq4_nl"]).reshape(coded.shape)
    assert_array_equal(coded.decode(), expected)


def test_searches_beat_the_plain_formats() -> None:
    x = np.random.default_rng(0).standard_normal((64, 512))
    error = {
        name: float(np.mean((GROUP_FORMATS[name].encode(x).decode(np.float64) - x) ** 2))
        for name in ("q4_0", "q4_1", "q4_k", "iq4_nl")
    }
    assert error["q4_k"] < 0.9 * error["q4_1"]
    assert error["iq4_nl"] < 0.85 * error["q4_0"]


@pytest.mark.parametrize("name", GROUP_FORMATS)
def test_edges(name: str) -> None:
    """Zeros, one value, a short last group, and scales beyond their type: finite, and sensible."""
    made = GROUP_FORMATS[name]
    assert_array_equal(made.encode(np.zeros((3, 70))).decode(), 0.0)
    for value in (0.3, -7.0):
        assert_allclose(made.encode(np.full((2, 70), value)).decode(), value, rtol=0.26)
    x = np.random.default_rng(1).standard_normal((3, 300))
    error = np.mean((made.encode(x[:, :45]).decode() - x[:, :45]) ** 2)
    assert error < 0.05
    for size in (1e-300, 1e-42, 1e-9, 1e9, 1e42, 1e300):
        decoded = made.encode(size * x).decode(np.float64)
        assert np.all(np.isfinite(decoded)), size
        assert np.all((decoded == 0) | (np.sign(decoded) == np.sign(x)) | (np.abs(x) < 0.4))
    sides = made.encode(x.T, "y")
    assert_array_equal(sides.decode(), made.encode(x).decode().T)
    with pytest.raises(ValueError, match="finite"):
        made.encode([[np.nan]])


BITS = {
    "mxfp4": 4.25, "mxfp6_e3m2": 6.25, "mxfp8_e4m3": 8.25, "mxint8": 8.25, "nvfp4": 4.5,
    "int4_g32": 4.5, "int4_g128": 4.125, "int4_row": 4 + 32 / 4096, "int4_g32_zero": 4.625,
    "int8_g128_zero": 8 + 24 / 128, "q4_0": 4.5, "q4_1": 5.0, "q8_0": 8.5, "q4_k": 4.5,
    "q6_k": 6.5625, "iq4_nl": 4.5,
}  # fmt: skip


@pytest.mark.parametrize("name", BITS)
def test_bits_count_the_scales(name: str) -> None:
    made = GROUP_FORMATS[name]
    assert_allclose(made.bits((64, 4096)), BITS[name], rtol=3e-5)
    assert made.bits((64, 4096)) == made.bits((4096, 64), "y")
    if name.upper() in gguf.GGMLQuantizationType.__members__:
        kind = gguf.GGMLQuantizationType[name.upper()]
        entries, size = gguf.GGML_QUANT_SIZES[kind]
        assert made.bits((1, entries)) == (8 * size + made.tensor_bits) / entries


@pytest.mark.parametrize("name", ["int4_g32_zero", "q4_1", "q4_k", "int8_row_zero"])
@pytest.mark.parametrize("other", ["int8_g32", "q4_1", "array"])
def test_products_with_offsets(name: str, other: str) -> None:
    a, b = ql.GaussianPair(rho=0.5).sample_matrices(9, 300, 7, rng=2)
    x = GROUP_FORMATS[name].encode(a + 1)
    y: Any = b if other == "array" else GROUP_FORMATS[other].encode(b, "y")
    expected = x.decode(np.float64) @ np.asarray(y, np.float64)
    assert_allclose(x @ y, expected, rtol=1e-4, atol=2e-3)
    back: Any = a.T if other == "array" else GROUP_FORMATS[other].encode(a.T)
    turned = GROUP_FORMATS[name].encode(a + 1, "y")  # its offsets run across k
    assert_allclose(
        back @ turned,
        np.asarray(back, np.float64) @ turned.decode(np.float64),
        rtol=1e-4,
        atol=2e-3,
    )
