"""matmul: choose a backend and a route, then run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix, is_tensor
from quantlab.codes import CodedMatrix
from quantlab.codes.device import is_on_device
from quantlab.codes.matrix import fills_in
from quantlab.codes.operand import CodedOperand
from quantlab.gemm.cpu import matmul_cpu
from quantlab.gemm.dispatch import choose
from quantlab.gemm.reference import matmul_reference

BACKENDS = ("auto", "cpu", "cuda", "reference")


@fills_in("matmul")
def matmul(
    a: CodedMatrix | ArrayLike,
    b: CodedMatrix | ArrayLike,
    backend: str = "auto",
    *,
    route: str | None = None,
) -> Any:
    r"""Multiply two coded matrices, or a coded matrix and a float one.

    .. math:: C_{ij} = \sum_{l=1}^k \hat A_{il} \hat B_{lj}

    Parameters
    ----------
    a, b : CodedMatrix or array_like, shapes (m, k) and (k, n)
        Operands; one at most is an array of real numbers, taken as float32. On a device: a float
        tensor, taken as it is, and not checked for NaN, which would make the device wait.
    backend : {"auto", "cpu", "cuda", "reference"}
        "cpu": Numba; "reference": decode, then multiply in float64; "cuda": Torch and, where it is
        installed, Triton; "auto": where the operands are, "cuda" for those on a device and else
        "cpu".
    route : {None, "int8", "int16", "grouped", "fp32"}
        On a device {None, "int8", "fp8", "fused", "half", "fp32"}.
        How to multiply; by default as `plan(a, b)` and `quantlab.gemm.cuda.plan_cuda` say.

    Returns
    -------
    float32, shape (m, n)
        An ndarray; a tensor if an operand was one or was on a device, float64 if it was that.

    Raises
    ------
    ValueError
        If the inner dimensions differ, an array is not finite, a backend or route is unknown
        or impossible for these operands, or they are not on one device.
    TypeError
        If neither operand is coded.
    RuntimeError, ImportError
        If backend "cuda" finds no device, or no torch.

    Notes
    -----
    The integer routes snap the centres to a grid s q and compute sum(q_A q_B) exactly; only the
    snapping, and one rounding to float32, tell the result from the reference. `plan(a, b)`
    predicts what the snapping adds to the product's error; by itself, `matmul` takes an integer
    route only where that is under 1 % of the codes' own error.

    Choosing: leave `route` alone; "fp32" for products as exact as float32 sums are.

    Examples
    --------
    >>> import quantlab as ql
    >>> coded = ql.encode([[-1.0, 1.0], [1.0, 1.0]], ql.Codebook([-1.0, 1.0]))
    >>> ql.matmul(coded, coded)
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}; got {backend!r}")
    if type(a) is type(b) is CodedMatrix and backend in ("auto", "cpu"):  # the common case, soon
        return _on_host(a, b, backend, route)
    for operand in (a, b):
        if isinstance(operand, CodedOperand):
            if backend not in ("auto", "cpu") or route is not None:
                raise ValueError(
                    f"{type(operand).__name__} is multiplied on the CPU, by its own route; got "
                    f"backend {backend!r}, route {route!r}"
                )
            return operand.product(a, b)
    if not isinstance(a, CodedMatrix) and not isinstance(b, CodedMatrix):
        raise TypeError(
            f"one operand at least must be a CodedMatrix; got {type(a).__name__} and "
            f"{type(b).__name__}"
        )
    on_device = is_on_device(a) or is_on_device(b)
    if backend == "cuda" or (backend == "auto" and on_device):
        from quantlab.gemm.cuda import matmul_cuda

        return matmul_cuda(a, b, route, backend)
    if on_device:
        raise ValueError(
            f'backend "{backend}" takes operands in the host\'s memory; an operand is on a device '
            '(.numpy() brings it back, backend "cuda" multiplies there)'
        )
    if backend == "reference" and route is not None:
        raise ValueError(f'backend "reference" has no routes; got route {route!r}')
    tensor: Any = next((operand for operand in (a, b) if is_tensor(operand)), None)
    if tensor is None:
        return _on_host(_operand(a, "a"), _operand(b, "b"), backend, route)
    import torch

    if tensor.dtype == torch.float64:
        wide = _operand(a, "a", np.float64), _operand(b, "b", np.float64)
        check.multipliable(wide[0].shape, wide[1].shape)
        c: NDArray = matmul_reference(*wide)
    else:
        c = _on_host(_operand(a, "a"), _operand(b, "b"), backend, route)
    return torch.from_numpy(c)


@fills_in("prepare")
def _lay_out(coded: CodedMatrix) -> NDArray[np.uint8] | None:
    from quantlab.gemm.lanes import lay_out  # here: it imports numba

    return lay_out(coded)


def _on_host(left: Any, right: Any, backend: str, route: str | None) -> NDArray[np.float32]:
    check.multipliable(left.shape, right.shape)
    if backend == "reference":
        return matmul_reference(left, right).astype(np.float32)
    return matmul_cpu(left, right, choose(left, right, route))


def _operand(operand: Any, name: str, kind: type = np.float32) -> Any:
    """A coded operand as it is, a float one checked and of `kind`."""
    if isinstance(operand, CodedMatrix):
        return operand
    return finite_matrix(operand, name).astype(kind, copy=False)
