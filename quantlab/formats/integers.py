"""INT4 and INT8 with scales a group, a row or a column; symmetric, or with a zero point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab.formats.group import GroupFormat, Rule, divided, half, single

_SOURCE = "Wu et al., arXiv 2004.09602; by group: Frantar et al., GPTQ, arXiv 2210.17323"


def _symmetric(bits: int, group: int | None) -> Rule:
    most = 2 ** (bits - 1) - 1
    held = half if group else single

    def rule(blocks: NDArray) -> tuple[NDArray, NDArray, None]:
        scale = held(np.abs(blocks).max(axis=-1) / most).astype(np.float64)
        levels = np.clip(np.rint(divided(blocks, scale[..., None])), -most, most)
        return levels, scale, None

    return rule


def _zero_point(bits: int, group: int | None) -> Rule:
    most, middle = 2**bits - 1, 2 ** (bits - 1)
    held = half if group else single

    def rule(blocks: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        low = np.minimum(blocks.min(axis=-1), 0.0)
        high = np.maximum(blocks.max(axis=-1), 0.0)
        scale = held(high / most - low / most).astype(np.float64)
        zero = np.clip(np.rint(divided(-low, scale)), 0, most)
        steps = np.rint(divided(blocks, scale[..., None])) + zero[..., None]
        # levels about 0, so that bytes hold them; the offset takes the rest
        return np.clip(steps, 0, most) - middle, scale, single(scale * (middle - zero))

    return rule


def _formats() -> list[GroupFormat]:
    made = []
    for bits in (4, 8):
        for group, name in ((32, "g32"), (128, "g128"), (None, "row")):
            held = 16 if group else 32
            most = 2 ** (bits - 1)
            symmetric = tuple(float(q) for q in range(1 - most, most))
            every = tuple(float(q) for q in range(-most, most))
            made += [
                GroupFormat(
                    f"int{bits}_{name}", symmetric, group, (group or 0, held),
                    _symmetric(bits, group), _SOURCE,
                ),
                GroupFormat(
                    f"int{bits}_{name}_zero", every, group, (group or 0, held + bits),
                    _zero_point(bits, group), _SOURCE,
                ),
            ]  # fmt: skip
    return made


INTEGERS = tuple(_formats())
