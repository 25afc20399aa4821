"""Compile every kernel and tile for compute capability 9.0; prints "name bytes-of-shared-memory".

No GPU is needed: Triton brings the assembler. Run by test_gemm_cuda.py, outside the interpreter.
"""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from quantlab.codes import device_kernels
from quantlab.gemm.cuda import kernels
from quantlab.gemm.cuda.launch import BYTE_CONFIGS, FUSED_CONFIGS, Tile

HOPPER = GPUTarget("cuda", 90, 32)
UNALIGNED = {"rows", "m", "scale", "lowest", "bad"}
UNSCALED = {"A_GROUP": 0, "B_GROUP": 0}


def compiled(kernel, pointers: dict[str, str], constants: dict[str, object], tile: Tile):
    """The kernel for 32-bit sizes and strides divisible by 16, except for rows."""
    names = kernel.arg_names
    signature, aligned = {}, {}
    for i, name in enumerate(names):
        default = "fp32" if name in ("scale", "lowest") else "i32"
        signature[name] = "constexpr" if name in constants else pointers.get(name, default)
        if name not in constants and name not in UNALIGNED:
            aligned[(i,)] = [["tt.divisibility", 16]]
    constant_values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, constant_values, aligned)
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    return triton.compile(source, target=HOPPER, options=options)


def blocks(tile: Tile) -> dict[str, object]:
    return {"BLOCK_M": tile.m, "BLOCK_N": tile.n, "BLOCK_K": tile.k}


def main() -> None:
    fused = {"a": "*u8", "b": "*u8", "c": "*fp32", "table_a": "*fp16", "table_b": "*fp16",
             "words_a": "*i32", "words_b": "*i32", "scales_a": "*fp32",
             "scales_b": "*fp32"}  # fmt: skip
    results = {}
    for i, tile in enumerate(FUSED_CONFIGS):
        constants = {"A_BITS": 4, "B_BITS": 4, "A_NIBBLES": True, "B_NIBBLES": True,
                     "SPLIT": tile.split, **blocks(tile), **UNSCALED}  # fmt: skip
        results[f"fused {i}"] = compiled(kernels.product_kernel, fused, constants, tile)
        assert "cp.async" in results[f"fused {i}"].asm["ptx"], "packed codes are not read ahead"
    # groups of 32 and of 64: their tiles are of 32
    grouped = {**constants, "BLOCK_K": 32, "A_GROUP": 32, "B_GROUP": 64}
    results["fused, groups"] = compiled(kernels.product_kernel, fused, grouped, tile)
    three = {"A_BITS": 0, "B_BITS": 3, "A_NIBBLES": False, "B_NIBBLES": False, "SPLIT": 1,
             **blocks(FUSED_CONFIGS[0]), **UNSCALED}  # fmt: skip
    halves = fused | {"a": "*bf16", "table_a": "*bf16", "table_b": "*bf16"}
    results["fused bf16"] = compiled(kernels.product_kernel, halves, three, FUSED_CONFIGS[0])
    byte = {"c": "*fp32", "scales_a": "*fp32", "scales_b": "*fp32"}
    for kind, held in (("int8", "*i8"), ("fp8", "*fp8e4nv")):
        pointers = {**byte, "a": held, "b": held}
        for groups in ((0, 0), (128, 128)):
            for i, tile in enumerate(BYTE_CONFIGS):
                name = f"{kind} {i}, groups {groups}"
                constants = {**blocks(tile), "BAND": 8, "A_GROUP": groups[0], "B_GROUP": groups[1]}
                results[name] = compiled(kernels.bytes_kernel, pointers, constants, tile)
                assert "wgmma" in results[name].asm["ptx"], "not on Hopper's tensor cores"
    plain = Tile(0, 0, 0)
    for transposed in (False, True):
        pointers = {"codes": "*u8", "table": "*i8", "out": "*i8"}
        constants = {"BITS": 4, "TRANSPOSED": transposed, "HEIGHT": 64, "WIDTH": 128}
        results[f"decode {transposed}"] = compiled(
            device_kernels.decode_kernel, pointers, constants, plain
        )
    for steps, counted, bits in ((4, 0, 4), (2, 3, 2), (8, 0, 8)):
        pointers = {"x": "*fp32", "thresholds": "*fp32", "out": "*u8", "bad": "*i32"}
        constants = {"BITS": bits, "STEPS": steps, "N_COUNTED": counted, "GROUPS": 128}
        results[f"encode {bits}"] = compiled(
            device_kernels.encode_kernel, pointers, constants, plain
        )
    # the sizes and strides of one row, one column or one step become constants
    for name in ("m", "k", "n", "a_width"):
        one = {**three, "A_BITS": 4, name: 1}
        results[f"fused {name} = 1"] = compiled(
            kernels.product_kernel, fused, one, FUSED_CONFIGS[0]
        )
    for name in ("m", "n"):
        constants = {**blocks(BYTE_CONFIGS[0]), "BAND": 8, **UNSCALED, name: 1}
        pointers = {**byte, "a": "*i8", "b": "*i8"}
        results[f"int8 {name} = 1"] = compiled(
            kernels.bytes_kernel, pointers, constants, BYTE_CONFIGS[0]
        )
    ones = {"columns": 1, "width": 1, "x_stride": 1, "out_stride": 1}
    pointers = {"x": "*fp64", "thresholds": "*fp64", "out": "*u8", "bad": "*i32"}
    constants = {"BITS": 3, "STEPS": 3, "N_COUNTED": 0, "GROUPS": 128, **ones}
    results["encode 1 x 1"] = compiled(device_kernels.encode_kernel, pointers, constants, plain)
    ones = {"rows": 1, "columns": 1, "width": 1, "stride": 1}
    pointers = {"codes": "*u8", "table": "*fp32", "out": "*fp32"}
    constants = {"BITS": 5, "TRANSPOSED": True, "HEIGHT": 64, "WIDTH": 128, **ones}
    results["decode 1 x 1"] = compiled(device_kernels.decode_kernel, pointers, constants, plain)
    for name, result in results.items():
        print(name, result.metadata.shared)


if __name__ == "__main__":
    main()
