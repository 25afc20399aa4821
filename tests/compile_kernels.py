"""Compile every kernel and tile for compute capability 9.0; prints "name bytes-of-shared-memory".

No GPU is needed: Triton brings the assembler. Run by test_gemm_cuda.py, outside the interpreter.
"""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from quantlab.codes import device_kernels
from quantlab.gemm.cuda import kernels
from quantlab.gemm.cuda.launch import FUSED_CONFIGS, INT8_CONFIGS, Tile

HOPPER = GPUTarget("cuda", 90, 32)
UNALIGNED = {"rows", "m", "scale", "lowest", "bad"}


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
             "words_a": "*i32", "words_b": "*i32"}  # fmt: skip
    results = {}
    for i, tile in enumerate(FUSED_CONFIGS):
        constants = {"A_BITS": 4, "B_BITS": 4, "A_NIBBLES": True, "B_NIBBLES": True,
                     "SPLIT": tile.split, **blocks(tile)}  # fmt: skip
        results[f"fused {i}"] = compiled(kernels.product_kernel, fused, constants, tile)
        assert "cp.async" in results[f"fused {i}"].asm["ptx"], "packed codes are not read ahead"
    three = {"A_BITS": 0, "B_BITS": 3, "A_NIBBLES": False, "B_NIBBLES": False, "SPLIT": 1,
             **blocks(FUSED_CONFIGS[0])}  # fmt: skip
    halves = fused | {"a": "*bf16", "table_a": "*bf16", "table_b": "*bf16"}
    results["fused bf16"] = compiled(kernels.product_kernel, halves, three, FUSED_CONFIGS[0])
    for i, tile in enumerate(INT8_CONFIGS):
        pointers = {"a": "*i8", "b": "*i8", "c": "*fp32"}
        constants = {**blocks(tile), "GROUP": 8}
        results[f"int8 {i}"] = compiled(kernels.int8_kernel, pointers, constants, tile)
        assert "wgmma" in results[f"int8 {i}"].asm["ptx"], "not on Hopper's tensor cores"
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
        constants = {**blocks(INT8_CONFIGS[0]), "GROUP": 8, name: 1}
        pointers = {"a": "*i8", "b": "*i8", "c": "*fp32"}
        results[f"int8 {name} = 1"] = compiled(
            kernels.int8_kernel, pointers, constants, INT8_CONFIGS[0]
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
