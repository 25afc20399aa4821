"""Equations as MathML: browsers draw it themselves, and `alttext` is what a screen reader says."""

from __future__ import annotations

from html import escape


def math(spoken: str, *parts: str) -> str:
    """A formula within a line; `spoken` is its text where it cannot be drawn."""
    return f'<math alttext="{escape(spoken)}">{"".join(parts)}</math>'


def row(tokens: str) -> str:
    """Letters, numbers and signs, one after the other, with spaces between them.

    Examples
    --------
    >>> row("2 K")
    '<mrow><mn>2</mn><mi>K</mi></mrow>'
    """
    return f"<mrow>{''.join(map(_token, tokens.split()))}</mrow>"


def power(base: str, exponent: str) -> str:
    """`base` to the power of `exponent`."""
    return f"<msup>{row(base)}{row(exponent)}</msup>"


def indexed(base: str, index: str) -> str:
    """`base` with a lower index."""
    return f"<msub>{row(base)}{row(index)}</msub>"


def fraction(above: str, below: str) -> str:
    """One part over the other."""
    return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"


def root(inner: str) -> str:
    """The square root: a sign and a line, since `msqrt` needs a font that few machines have."""
    return f"<mrow><mo>√</mo><mrow style='border-top:1px solid'>{inner}</mrow></mrow>"


def _token(token: str) -> str:
    if token.replace(",", "").replace(".", "").isdigit():
        return f"<mn>{token}</mn>"
    if token[0].isalpha() and token != "Ĉ":
        upright = ' mathvariant="normal"' if token in _UPRIGHT else ""
        return f"<mi{upright}>{token}</mi>"
    if token == "Ĉ":
        return '<mover accent="true"><mi>C</mi><mo stretchy="false">^</mo></mover>'
    upright = ' stretchy="false"' if token in _FENCES else ""
    return f"<mo{upright}>{escape(token)}</mo>"


#: Signs that are as high as a line.
_FENCES = "|‖()[]/"
#: Letters that stand for an operation.
_UPRIGHT = ("E",)

_LOST, _WHOLE = power("‖ C − Ĉ ‖", "2"), power("‖ C ‖", "2")
NMSE = math("‖C − Ĉ‖² / ‖C‖²", _LOST, row("/"), _WHOLE)
WEIGHT = math("w(x) = E[Y² | X = x]", row("w ( x ) = E ["), power("Y", "2"), row("| X = x ]"))
PLAIN = math("λ(x) ∝ f(x)^(1/3)", row("λ ( x ) ∝ f"), power("( x )", "1 / 3"))
DENSITY = math(
    "λ*(x) ∝ (w(x) f(x))^(1/3)", power("λ", "*"), row("( x ) ∝"),
    power("( w ( x ) f ( x ) )", "1 / 3"),
)  # fmt: skip
PEAKS = math(
    "u = ±√(3 − 1/ρ²)", row("u = ±"), root(row("3 − 1 /") + power("ρ", "2"))
)  # fmt: skip
CRITICAL = math("|ρ| = 1/√3", row("| ρ | = 1 /"), root(row("3")))
VARIANCE = math("k Var(e), e = XY − X̂Ŷ", row("k Var ( e ) , e = X Y − X̂ Ŷ"))
BIAS = math("k² E[e]², e = XY − X̂Ŷ", power("k", "2"), row("E"), power("[ e ]", "2"),
            row(", e = X Y − X̂ Ŷ"))  # fmt: skip
_K_X, _K_Y = (
    f"<msubsup><mi>K</mi><mi>{operand}</mi><mn>2</mn></msubsup>" for operand in ("X", "Y")
)
LAW = math(
    "nmse ≈ c (1 / K_X² + 1 / K_Y²)",
    row("nmse ≈ c ("), fraction(row("1"), _K_X), row("+"), fraction(row("1"), _K_Y), row(")"),
)  # fmt: skip
BITS = math("K = 2^bits", row("K ="), power("2", "bits"))
DECIBEL = math("10 log₁₀", row("10"), indexed("log", "10"))
