"""Numbers and comparisons, as sentences write them."""

from __future__ import annotations

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: The transition, in a sentence's HTML: never broken between two lines.
CRITICAL = '<span class="one">|ρ| = 1/√3</span>'


def power_of_ten(exponent: int) -> str:
    """10 with a superscript, in plain text."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def decimal(value: float, digits: int) -> str:
    """A number with a minus sign, and without one where it rounds to zero: −0.20."""
    return f"{value:z.{digits}f}".replace("-", "−")


def scientific(value: float) -> str:
    """Three digits: 2.11 × 10⁻⁴."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa} × {power_of_ten(int(exponent))}"


def two_digits(value: float) -> str:
    """A positive number to two significant digits, never 0.00.

    Examples
    --------
    >>> two_digits(0.3172), two_digits(2.96), two_digits(41.7), two_digits(4.9e-16)
    ('0.32', '3.0', '42', '4.9 × 10⁻¹⁶')
    """
    mantissa, exponent = f"{value:.1e}".split("e")
    if not -3 <= int(exponent) <= 3:
        return f"{mantissa} × {power_of_ten(int(exponent))}"
    return f"{float(f'{mantissa}e{exponent}'):,.{max(0, 1 - int(exponent))}f}"


def compared(share: float, noun: str, other: str) -> str:
    """`share` times the `noun` of `other`: in percent where that is near 1.

    Examples
    --------
    >>> compared(0.32, "error", "Plain"), compared(1.001, "error", "Plain")
    ('68 % less error than Plain', 'as much error as Plain')
    >>> compared(3.21, "error", "Plain")
    '3.2 times as much error as Plain'
    """
    noun = f" {noun}" if noun else ""
    percent = 100 * (share - 1)
    if abs(percent) < 0.5:
        return f"as much{noun} as {other}"
    if 0.01 <= share < 2:
        return f"{abs(percent):.0f} % {'less' if percent < 0 else 'more'}{noun} than {other}"
    return f"{two_digits(share)} times as much{noun} as {other}"
