"""Products of coded matrices on a CUDA device, by Torch and, where it is installed, Triton."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from quantlab import _validate as check
from quantlab._matrices import finite_matrix, is_tensor, plain_tensor
from quantlab.codes import CodedMatrix
from quantlab.codes.device import DeviceCodedMatrix, is_on_device
from quantlab.gemm.dispatch import Plan

__all__ = ["available", "device_name", "matmul_cuda", "plan_cuda"]


def available() -> bool:
    """Whether torch is installed and sees a CUDA device; for switches that show only then."""
    if find_spec("torch") is None or _built_for_cpus():
        return False
    import torch

    return bool(torch.cuda.is_available())


def _built_for_cpus() -> bool:
    """What torch's version says without the seconds that its import takes."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def device_name() -> str | None:
    """Name of the device that backend "cuda" would use, such as "NVIDIA H200"; None without one."""
    if not available():
        return None
    import torch

    return str(torch.cuda.get_device_name())


def require_device() -> Any:
    """The current CUDA device; RuntimeError or ImportError that says what is missing."""
    if find_spec("torch") is None:
        raise ImportError("backend \"cuda\" needs torch: pip install -e '.[cuda]'")
    import torch

    if not torch.cuda.is_available():
        why = (
            f"torch {torch.__version__} is a build without CUDA"
            if torch.version.cuda is None
            else f"torch {torch.__version__} sees no NVIDIA GPU"
        )
        raise RuntimeError(f'backend "cuda" needs a CUDA device; {why}')
    return torch.device("cuda", torch.cuda.current_device())


def matmul_cuda(a: Any, b: Any, route: str | None = None, backend: str = "cuda") -> Any:
    """C = a b for `matmul`: on the operands' device, else both move to the current CUDA device.

    Returns a tensor there, float64 if an operand is one and else float32; numpy, if no operand was
    on a device. Backend "auto" takes tensors in the host's memory too.
    """
    on_device = is_on_device(a) or is_on_device(b)
    if not on_device:
        device = require_device()
        a, b = (_moved(x, device) for x in (a, b))
    left, right = _operand(a, "a"), _operand(b, "b")
    if left.device != right.device:
        raise ValueError(
            f"a and b must be on one device; got a on {left.device} and b on {right.device} "
            "(move one: .to(device))"
        )
    if backend == "cuda" and left.device.type != "cuda":
        raise ValueError(
            f'backend "cuda" takes operands on a CUDA device, or arrays; got tensors on '
            f"{left.device}"
        )
    check.multipliable(left.shape, right.shape)
    from quantlab.gemm.cuda.routes import run

    c = run(left, right, plan_cuda(left, right, route))
    return c if on_device else c.cpu().numpy()


def plan_cuda(a: Any, b: Any, route: str | None = None) -> Plan:
    """The route of a product on a device, or the error of a given one; see `choose`."""
    from quantlab.gemm.cuda.plan import choose

    return choose(a, b, route)


def _moved(operand: Any, device: Any) -> Any:
    if isinstance(operand, CodedMatrix):
        return operand.to(device)
    import torch

    if not is_tensor(operand):
        operand = finite_matrix(operand, "a float operand")
    return torch.as_tensor(operand, device=device)


def _operand(operand: Any, name: str) -> Any:
    if isinstance(operand, DeviceCodedMatrix):
        return operand
    if isinstance(operand, CodedMatrix) or not is_tensor(operand):
        kind = "a CodedMatrix" if isinstance(operand, CodedMatrix) else "an array"
        raise ValueError(
            f"a and b must be tensors on one device; {name} is {kind} in the host's memory "
            "(move it: .to(device))"
        )
    operand = plain_tensor(operand, name)
    if operand.ndim != 2 or 0 in operand.shape:
        raise ValueError(
            f"{name} must be a matrix with entries (2-D); got shape {tuple(operand.shape)}"
        )
    return operand if operand.dtype.is_floating_point else operand.float()
