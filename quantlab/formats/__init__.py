"""The number formats that people use today: what hardware and model files hold.

`FORMATS` maps names to designers of one codebook a matrix; `GROUP_FORMATS` to formats with a scale
for each group of entries, whose `encode(matrix, operand)` gives a coded matrix with its scales.
"""

from quantlab.formats.codebooks import FORMATS, Format, formats_at
from quantlab.formats.gguf import GGUF
from quantlab.formats.group import GroupFormat
from quantlab.formats.integers import INTEGERS
from quantlab.formats.microscaling import MICROSCALING
from quantlab.formats.offset import OffsetMatrix

#: name -> format
GROUP_FORMATS: dict[str, GroupFormat] = {
    each.name: each for each in (*MICROSCALING, *INTEGERS, *GGUF)
}


def group_formats_at(bits: int) -> dict[str, GroupFormat]:
    """The formats whose codes have `bits` bits, scales aside, by name.

    Examples
    --------
    >>> list(group_formats_at(6))
    ['mxfp6_e2m3', 'mxfp6_e3m2', 'q6_k']
    """
    return {name: each for name, each in GROUP_FORMATS.items() if each.code_bits == bits}


__all__ = [
    "FORMATS",
    "GROUP_FORMATS",
    "Format",
    "GroupFormat",
    "OffsetMatrix",
    "formats_at",
    "group_formats_at",
]
