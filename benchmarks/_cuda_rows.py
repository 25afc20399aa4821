"""What benchmarks/cuda_products.py times: each contender, its least work, and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from _cuda_time import Row, Stage
from _peers_cuda import PEERS

import quantlab as ql
from quantlab.codes.device import encode_tensor
from quantlab.gemm.cuda.plan import FEW_ROWS
from quantlab.scheme.device_rounding import round_feedback_tensor
from quantlab.scheme.rounding import feedback_tables, one_book

THREE = "3 x cuBLAS bf16 (limit 4)"
HALF, FULL, EIGHT = torch.bfloat16, torch.float32, torch.float8_e4m3fn
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
#: what users call; it would keep a tensor of the host's memory out of the device's code
ENCODE: Callable = ql.encode if DEVICE.type == "cuda" else encode_tensor
GROUP = 128


def tensor(seed: int, *shape: int, dtype: torch.dtype = FULL) -> torch.Tensor:
    generator = torch.Generator(DEVICE).manual_seed(seed)
    return torch.randn(shape, device=DEVICE, generator=generator).to(dtype)


def coded(seed: int, rows: int, columns: int, book: int | str, groups: int = -1) -> ql.CodedMatrix:
    """Packed codes of a compander's levels or a format's; `groups`: the axis of groups' scales."""
    if isinstance(book, str):
        # a normal entry reaches 4, and a format as far
        levels = ql.FORMATS[book].levels(256)
        codebook = ql.Codebook(levels * (4 / levels.max()))
    else:
        codebook, _ = ql.design_companding(ql.GaussianPair(0.8), book)
    matrix = ENCODE(tensor(seed, rows, columns), codebook, packed=True)
    if groups >= 0:
        shape = [rows, columns]
        shape[groups] = -(-shape[groups] // GROUP)
        matrix.scale, matrix.group = tensor(seed, *shape).abs() + 0.5, GROUP
    return matrix


def library(seed: int, m: int, k: int, n: int, dtype: torch.dtype, tf32: bool) -> Callable:
    a, b = tensor(seed, m, k, dtype=dtype), tensor(seed + 99, k, n, dtype=dtype)
    c = torch.empty(m, n, device=DEVICE, dtype=dtype)

    def call() -> None:
        if DEVICE.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.mm(a, b, out=c)

    return call


def integers(seed: int, m: int, k: int, n: int) -> Callable:
    generator = torch.Generator(DEVICE).manual_seed(seed)
    a, b = (
        torch.randint(-127, 128, (rows, k), dtype=torch.int8, device=DEVICE, generator=generator)
        for rows in (m, n)
    )
    return lambda: torch._int_mm(a, b.T)


def eights(seed: int, m: int, k: int, n: int) -> Callable:
    a, b = tensor(seed, m, k, dtype=EIGHT), tensor(seed + 99, n, k, dtype=EIGHT)
    one = torch.ones((), device=DEVICE)
    return lambda: torch._scaled_mm(a, b.T, one, one, out_dtype=FULL)


def ours(
    seed: int, m: int, k: int, n: int, book: int | str = 16, halves: bool = False,
    route: str | None = None, grouped: bool = False,
) -> Callable:  # fmt: skip
    b = coded(seed + 99, k, n, book, 0 if grouped else -1)
    a = tensor(seed, m, k, dtype=HALF) if halves else coded(seed, m, k, book, 1 if grouped else -1)
    return lambda: ql.matmul(a, b, route=route)


def peer(seed: int, m: int, k: int, n: int, name: str) -> Callable:
    return PEERS[name](tensor(seed, m, k, dtype=HALF), tensor(seed + 99, k, n, dtype=HALF))


def products(m: int, k: int, n: int) -> Iterator[Row]:
    """Every contender at one shape; the first is what the others' ratios are to."""
    setting, ops = f"({m}, {k}) x ({k}, {n})", 2.0 * m * k * n
    left, right, out = float(m * k), float(k * n), float(m * n)
    entries = left + right

    def row(name: str, stages: list[Stage], make: Callable, held: float, target: str = "") -> Row:
        return Row(setting, name, stages, partial(make, m=m, k=k, n=n), held, target)

    bf16 = partial(library, dtype=HALF, tf32=False)
    yield row("cuBLAS bf16", [Stage(2 * (entries + out), ops)], bf16, 2 * entries)
    if m > 16:
        for unit, tf32 in (("fp32", False), ("tf32", True)):
            name = f"cuBLAS float32, tf32 {'on' if tf32 else 'off'}"
            make = partial(library, dtype=FULL, tf32=tf32)
            yield row(name, [Stage(4 * (entries + out), ops, unit)], make, 4 * entries)
        stage = Stage(entries + 4 * out, ops, "int8")
        yield row("torch._int_mm, bytes at hand", [stage], integers, entries)
        stage = Stage(entries + 4 * out, ops, "fp8")
        yield row("torch._scaled_mm, FP8 at hand", [stage], eights, entries)

    target = THREE if m <= 16 else "1.5 x cuBLAS bf16" if (m, k, n) == (8192,) * 3 else ""
    name = "quantlab, 4 bit x 4 bit packed"
    if m <= FEW_ROWS:
        yield row(name, [Stage(entries / 2 + 4 * out, ops)], ours, entries / 2, target)
        stage = Stage(2 * left + right / 2 + 4 * out, ops)
        make = partial(ours, halves=True)
        yield row("quantlab, bf16 x 4 bit packed", [stage], make, right / 2, target)
        stage = Stage(2 * left + right * (0.5 + 4 / GROUP) + 4 * out, ops)
        make = partial(ours, halves=True, grouped=True)
        yield row(f"quantlab, bf16 x 4 bit packed g{GROUP}", [stage], make, right / 2)
    else:
        decode = Stage(1.5 * entries)
        stages = [decode, Stage(entries + 4 * out, ops, "int8")]
        yield row(name, stages, ours, entries / 2, target)
        stages = [Stage(4.5 * entries), Stage(4 * (entries + out), ops, "fp32")]
        yield row(name + ", float32", stages, partial(ours, route="fp32"), entries / 2)
        stages = [decode, Stage(entries * (1 + 4 / GROUP) + 4 * out, ops, "int8")]
        make = partial(ours, grouped=True, route="int8")
        yield row(f"{name} g{GROUP}, int8", stages, make, entries / 2)
        make = partial(ours, grouped=True, route="half")
        stages = [Stage(2.5 * entries), Stage(2 * entries + 4 * out, ops)]
        yield row(f"{name} g{GROUP}, halves", stages, make, entries / 2)
        stages = [Stage(2 * entries), Stage(entries + 4 * out, ops, "fp8")]
        make = partial(ours, book="fp8_e4m3", route="fp8")
        yield row("quantlab, FP8 x FP8", stages, make, entries)
    stages = [Stage(entries + 4 * out, ops)]
    if m > FEW_ROWS:
        stages = [Stage(3 * entries), Stage(2 * entries + 4 * out, ops)]
    yield row("quantlab, 8 bit x 8 bit", stages, partial(ours, book=256), entries)
    if m <= FEW_ROWS:
        for name in PEERS:
            stage = Stage(2 * left + right / 2 + 2 * out, ops)
            yield row(name, [stage], partial(peer, name=name), right / 2)


def encodings(size: int) -> Iterator[Row]:
    """Codes of float32, packed, beside a copy, which writes as many bytes as it reads."""
    entries = float(size) * size
    setting = f"encode {size} x {size} float32"

    def copy(seed: int) -> Callable:
        x = tensor(seed, size, size)
        out = torch.empty_like(x)
        return lambda: out.copy_(x)

    def encode(seed: int, n_levels: int) -> Callable:
        codebook, _ = ql.design_companding(ql.GaussianPair(0.8), n_levels)
        x = tensor(seed, size, size)
        return lambda: ENCODE(x, codebook, packed=True)

    yield Row(setting, "copy", [Stage(8 * entries)], copy, 4 * entries)
    for n_levels in (4, 16, 256):
        bits = (n_levels - 1).bit_length()
        make = partial(encode, n_levels=n_levels)
        # it waits for the word that all values are finite: that cannot be recorded in a graph
        yield Row(
            setting, f"quantlab, K = {n_levels}, packed", [Stage((4 + bits / 8) * entries)], make,
            4 * entries, "60 % of copy bandwidth", recordable=False,
        )  # fmt: skip


def feedbacks(size: int) -> Iterator[Row]:
    """Rows coded with feedback, which no other library here does: k steps, one after another."""
    entries = float(size) * size

    def rounding(seed: int) -> Callable:
        codebook, _ = ql.design_companding(ql.GaussianPair(0.8), 16)
        tables = feedback_tables(*one_book(codebook, size))[:2]
        upper = np.triu(np.random.default_rng(seed).normal(size=(size, size)) / size, 1)
        x, order = tensor(seed, size, size), np.arange(size)
        return lambda: round_feedback_tensor(x, upper, *tables, order)

    # a product and a difference, each rounded: half the rate of fused ones
    stage = Stage(5 * entries, 2.0 * entries * size, "fp32")
    setting = f"rounding with feedback, {size} x {size} float32, K = 16"
    yield Row(setting, "quantlab", [stage], rounding, 4 * entries, recordable=False)
