"""Other libraries' 4-bit products on CUDA: bfloat16 A (m, k), coded B (k, n)."""

from __future__ import annotations

from collections.abc import Callable

import torch


def bitsandbytes_nf4(a: torch.Tensor, b: torch.Tensor) -> Callable[[], object]:
    import bitsandbytes

    weight, state = bitsandbytes.functional.quantize_4bit(b.T.contiguous(), quant_type="nf4")
    return lambda: bitsandbytes.matmul_4bit(a, weight.t(), quant_state=state)


def gemlite_int4(a: torch.Tensor, b: torch.Tensor) -> Callable[[], object]:
    from gemlite.core import DType, GemLiteLinear

    k, n = b.shape
    layer = GemLiteLinear(
        4, group_size=128, in_features=k, out_features=n, input_dtype=DType.BF16,
        output_dtype=DType.BF16,
    )  # fmt: skip
    codes = torch.randint(0, 16, (n, k), dtype=torch.uint8, device=b.device)
    scales = torch.full((n * k // 128, 1), 0.1, dtype=b.dtype, device=b.device)
    layer.pack(codes, scales, torch.full_like(scales, 8), None)
    return lambda: layer(a)


def torchao_int4(a: torch.Tensor, b: torch.Tensor) -> Callable[[], object]:
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    k, n = b.shape
    layer = torch.nn.Linear(k, n, bias=False, dtype=b.dtype, device=b.device)
    quantize_(layer, Int4WeightOnlyConfig(group_size=128))
    return lambda: layer(a)


PEERS: dict[str, Callable[[torch.Tensor, torch.Tensor], Callable[[], object]]] = {
    "bitsandbytes NF4, bf16 x 4 bit": bitsandbytes_nf4,
    "gemlite int4 g128, bf16 x 4 bit": gemlite_int4,
    "torchao int4 g128, bf16 x 4 bit": torchao_int4,
}
