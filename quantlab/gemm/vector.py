"""The vector instructions that Numba does not reach by itself, as LLVM intrinsics.

`TILES` names the instruction sets in order of preference; `best_tile()` picks the first that this
processor has. A tile multiplies `rows` rows of A by `vectors * lanes` columns of B:

    acc[r, c] += sum_l a[r, l] * b[l, c]        over `steps` groups of four bytes or two words

A is row-major; B is a panel (steps, columns, group): one 32-bit lane holds one column's group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from quantlab._llvm import BYTE, LANE, call, forced_tile, host_features, load


@dataclass(frozen=True)
class Tile:
    """A register tile: which instruction, and how many rows and columns it takes at once."""

    name: str
    features: tuple[str, ...]
    lanes: int  # 32-bit lanes of one vector
    rows: int
    vectors: int
    dot_bytes: str | None  # u8 x s8 in groups of four
    dot_words: str | None  # s16 x s16 in groups of two

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors


# 32 registers hold 6 x 4 accumulators of 16 lanes, 4 vectors of B and a broadcast of A; 16 hold
# 6 x 2 of 8 lanes, 2 and 1. AVX2 multiplies words: its instruction for bytes (pmaddubsw) saturates.
TILES = {
    tile.name: tile
    for tile in (
        Tile("avx512vnni", ("avx512vnni", "avx512vl", "avx512bw"), 16, 6, 4,
             "llvm.x86.avx512.vpdpbusd.512", "llvm.x86.avx512.vpdpwssd.512"),
        Tile("avxvnni", ("avxvnni", "avx2"), 8, 6, 2,
             "llvm.x86.avx512.vpdpbusd.256", "llvm.x86.avx512.vpdpwssd.256"),
        Tile("avx2", ("avx2",), 8, 6, 2, None, "llvm.x86.avx2.pmadd.wd"),
        Tile("portable", (), 8, 4, 2, None, None),
    )
}  # fmt: skip


def available() -> list[str]:
    """Names of the tiles that this processor runs, the best first."""
    return [tile.name for tile in TILES.values() if host_features().issuperset(tile.features)]


@cache
def best_tile() -> str:
    """The tile that products use; the environment's QUANTLAB_TILE, read once, forces another."""
    forced = forced_tile()
    if forced and forced not in available():
        raise ValueError(f"QUANTLAB_TILE must be one of {available()}; got {forced!r}")
    return forced or available()[0]


@cache
def has_byte_permute() -> bool:
    """Whether one instruction looks 64 bytes up in a table of 64 (AVX512-VBMI)."""
    return "avx512vbmi" in host_features()


@intrinsic(prefer_literal=True)
def tile_dot(typingctx, name, words, rows, a, row_bytes, b, steps, out):  # type: ignore[no-untyped-def]
    """out (rows, columns) int32 = the sums; a, b, out are addresses, row_bytes the stride of A."""
    if not all(isinstance(t, types.Literal) for t in (name, words, rows)):
        return None
    tile, height = TILES[name.literal_value], rows.literal_value
    dot = tile.dot_words if words.literal_value else tile.dot_bytes
    signature = types.void(name, words, rows, types.intp, types.intp, types.intp, types.intp,
                           types.intp)  # fmt: skip
    vector = ir.VectorType(LANE, tile.lanes)
    width = 4 * tile.lanes

    if dot is None:
        return None

    def step(builder, accumulators, b_vectors, a_value):  # type: ignore[no-untyped-def]
        if dot.endswith("pmadd.wd"):
            halves = ir.VectorType(ir.IntType(16), 2 * tile.lanes)
            sums = [
                call(builder, dot, vector, [builder.bitcast(v, halves) for v in (b_v, a_value)])
                for b_v in b_vectors
            ]
            return [builder.add(c, s) for c, s in zip(accumulators, sums, strict=True)]
        # the first factor is unsigned where they are bytes: B, which is offset by 128
        return [
            call(builder, dot, vector, [c, b_v, a_value])
            for c, b_v in zip(accumulators, b_vectors, strict=True)
        ]

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, _, _, a_address, stride, b_address, n_steps, out_address = args
        pointer = BYTE.as_pointer()
        a_base, b_base, out_base = (
            builder.inttoptr(x, pointer) for x in (a_address, b_address, out_address)
        )
        zero = ir.Constant(vector, [0] * tile.lanes)
        before = builder.block
        loop = builder.append_basic_block("tile")
        done = builder.append_basic_block("done")
        builder.branch(loop)  # steps >= 1
        builder.position_at_end(loop)
        index = builder.phi(n_steps.type)
        index.add_incoming(ir.Constant(n_steps.type, 0), before)
        sums = [builder.phi(vector) for _ in range(height * tile.vectors)]
        for value in sums:
            value.add_incoming(zero, before)
        constant = lambda value: ir.Constant(n_steps.type, value)  # noqa: E731
        b_at = builder.mul(index, constant(width * tile.vectors))
        b_vectors = [
            load(builder, builder.gep(b_base, [builder.add(b_at, constant(v * width))]), vector)
            for v in range(tile.vectors)
        ]
        a_at = builder.mul(index, constant(4))
        following = []
        for r in range(height):
            offset = builder.add(a_at, builder.mul(stride, constant(r)))
            group = load(builder, builder.gep(a_base, [offset]), LANE)
            first = builder.insert_element(
                ir.Constant(vector, ir.Undefined), group, ir.Constant(LANE, 0)
            )
            spread = builder.shuffle_vector(first, first, ir.Constant(vector, [0] * tile.lanes))
            row = sums[r * tile.vectors : (r + 1) * tile.vectors]
            following += step(builder, row, b_vectors, spread)
        increased = builder.add(index, constant(1))
        index.add_incoming(increased, loop)
        for value, new in zip(sums, following, strict=True):
            value.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", increased, n_steps), loop, done)
        builder.position_at_end(done)
        for i, value in enumerate(following):
            place = builder.gep(out_base, [constant(i * width)])
            builder.store(value, builder.bitcast(place, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, codegen
