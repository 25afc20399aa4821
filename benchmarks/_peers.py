"""Other libraries' 4-bit products on the CPU: float32 A, coded B."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# entries of a column that share a scale
_GROUP = 64


def weight_only(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[str, Callable[[], object]]]:
    """Contenders that are installed and take this shape, made one at a time."""
    for name, make in (
        ("ONNX Runtime MatMulNBits, 4 bit", _onnxruntime),
        ("OpenVINO, NF4 weights", _openvino),
        ("bitsandbytes, NF4 weights", _bitsandbytes),
    ):
        try:
            contender = make(a, b)
            contender()
        except (ImportError, RuntimeError, ValueError, NotImplementedError):
            continue
        yield name, contender


def _onnxruntime(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    (m, k), n = a.shape, b.shape[1]
    groups = -(-k // _GROUP)
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, (n, groups, _GROUP // 2)).astype(np.uint8)
    scales = np.full(n * groups, 0.1, np.float32)
    node = helper.make_node(
        "MatMulNBits", ["A", "B", "scales"], ["C"], domain="com.microsoft",
        K=k, N=n, bits=4, block_size=_GROUP, accuracy_level=4,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("A", TensorProto.FLOAT, [m, k])],
        [helper.make_tensor_value_info("C", TensorProto.FLOAT, [m, n])],
        [numpy_helper.from_array(packed, "B"), numpy_helper.from_array(scales, "scales")],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"A": a})


def _openvino(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    import openvino as ov
    from openvino import opset13 as ops

    (m, k), n = a.shape, b.shape[1]
    if k % _GROUP:
        raise ValueError("whole groups only")
    groups = k // _GROUP
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, n * k // 2).astype(np.uint8)
    tensor = ov.Tensor(data, ov.Shape([n, groups, _GROUP]), ov.Type.nf4)
    weights = ops.convert(ops.constant(tensor, shared_memory=False), np.float16)
    scales = ops.constant(np.full((n, groups, 1), 0.1, np.float16))
    whole = ops.reshape(ops.multiply(weights, scales), np.array([n, k]), special_zero=False)
    parameter = ops.parameter([m, k], np.float32)
    result = ops.matmul(parameter, ops.convert(whole, np.float32), False, True)
    model = ov.Model([result], [parameter], "product")
    compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda: request.infer([a], share_inputs=True, share_outputs=True)


def _bitsandbytes(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    if b.size % _GROUP:
        raise ValueError("whole groups only")
    left = torch.from_numpy(a)
    packed, state = quantize_4bit(torch.from_numpy(b.T.copy()), blocksize=_GROUP, quant_type="nf4")
    return lambda: torch.nn.functional.linear(left, dequantize_4bit(packed, state))
