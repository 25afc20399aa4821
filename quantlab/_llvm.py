"""What kernels say to LLVM: calls of its intrinsics, loads, and what this processor has."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils

BYTE, LANE = ir.IntType(8), ir.IntType(32)


@cache
def host_features() -> frozenset[str]:
    """Names of the instruction sets of this processor, as LLVM calls them."""
    return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)


def forced_tile() -> str | None:
    """The environment's QUANTLAB_TILE: instructions that are to be used instead of the best."""
    return os.environ.get("QUANTLAB_TILE") or None


def call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Value of an intrinsic function."""
    function_type = ir.FunctionType(result, [a.type for a in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


def fetch(builder: Any, place: Any) -> None:
    """Ask for the line at a pointer; elsewhere than at an array's it does nothing."""
    kind = ir.FunctionType(ir.VoidType(), [place.type, LANE, LANE, LANE])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [place, *(ir.Constant(LANE, v) for v in (0, 3, 1))])


def load(builder: Any, address: Any, kind: Any, align: int = 1) -> Any:
    """Value of a kind at an address."""
    return builder.load(builder.bitcast(address, kind.as_pointer()), align=align)
