"""Why a number is so: variance, bias, gain and bits of one design, in words."""

from __future__ import annotations

import math

from ..state import DESIGN_LABELS, Request
from ..work.reasons import Reason
from .wording import compared, scientific

#: A share of the error that is not worth a word.
_LITTLE = 0.005


def why(request: Request, design: str, reason: Reason) -> str:
    """HTML: a table of the error's parts, and what each of them means here."""
    label = f"{DESIGN_LABELS[design]}, {request.levels}"
    return (
        f"<b>Why {scientific(reason.nmse)}?</b> {label}{_parts(reason)}"
        f"<p>{_cause(request, reason)}</p><p>{_remedy(reason)}</p><p>{_bits(request, reason)}</p>"
    )


def _parts(reason: Reason) -> str:
    if reason.variance is None or reason.bias is None:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{scientific(part)}</td><td>{_share(part, reason)}</td>"
        "</tr>"
        for name, part in (("variance", reason.variance), ("bias", reason.bias))
    )
    return f"<table>{rows}</table>"


def _share(part: float, reason: Reason) -> str:
    share = part / reason.nmse if reason.nmse else 0.0
    if part and share < _LITTLE:
        return "under 0.5 %"
    return f"{100 * share:.0f} %"


def _cause(request: Request, reason: Reason) -> str:
    """What makes the error."""
    k = request.problem.inner_dim
    if reason.variance is None or reason.bias is None:
        if request.problem.given is not None:
            return (
                "These matrices are given, and no law tells variance from bias: this is counted "
                "on what was held out."
            )
        return (
            "With feedback an entry’s error follows from those before it, and no formula tells "
            "variance from bias: this is counted on one product."
        )
    share = reason.bias / reason.nmse if reason.nmse else 0.0
    if k == 1:
        return (
            "One product an entry (k = 1): variance is the spread of its error, bias the square "
            "of its mean."
        )
    if share < _LITTLE:
        return (
            f"Nearly all of it is variance: the errors of the {k:,} products in an entry of C "
            "differ and partly cancel."
        )
    grows = f"the mean error of a product, which all {k:,} products in an entry of C share"
    if share < 0.5:
        return f"Most of it is variance, which differs from product to product. Bias is {grows}."
    return f"Bias outweighs variance: it is {grows}, so that it adds up."


def _remedy(reason: Reason) -> str:
    """What a gain would do."""
    left = reason.nmse_with_gain / reason.nmse if reason.nmse else 1.0
    if left > 1 - _LITTLE:
        return "A gain on the product would take less than 0.5 % of it away."
    if left < _LITTLE:
        return f"A gain of {reason.gain:.4g} on the product would take nearly all of it away."
    return (
        f"A gain of {reason.gain:.4g} on the product would leave "
        f"{scientific(reason.nmse_with_gain)}, {100 * (1 - left):.0f} % less."
    )


def _bits(request: Request, reason: Reason) -> str:
    """What the levels cost, and what one bit more would buy."""
    k_x, k_y = request.k_x, request.k_y
    cost = f"K = {k_x} is {_bit(k_x)} an entry"
    if k_x != k_y:
        cost = f"K = {k_x} is {_bit(k_x)} an entry of A, K = {k_y} {_bit(k_y)} of B"
    if reason.doubled is None or not reason.nmse:
        return f"{cost}."
    change = compared(reason.doubled / reason.nmse, "", "now")
    return f"{cost}; one bit more each would leave {scientific(reason.doubled)}, {change}."


def _bit(levels: int) -> str:
    bits = math.log2(levels)
    return f"{bits:.3g} bit{'' if bits == 1 else 's'}"
