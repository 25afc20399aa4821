"""The words of the pages, each in one sentence with the notebook that derives it.

`term` marks a word where it is written, `explained` marks those of a heading or a legend, and
browser/glossary.js shows the sentence on hover, focus or tap, for widgets' labels too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from html import escape

from .. import browser
from . import formulas

#: number -> a notebook's file without its ending, and its title.
NOTEBOOKS = {
    name[:2]: (name, title)
    for name, title in (
        ("01_pairs_and_weights", "Pairs and weights"),
        ("02_point_density", "The best density of quantization points"),
        ("03_phase_transition", "The phase transition"),
        ("04_codebooks_at_finite_k", "Codebooks at finite K"),
        ("05_bias_and_gain", "Bias and gain"),
        ("06_quantized_gemm", "Quantized products"),
        ("07_attention_heads", "Attention heads"),
        ("08_schemes", "Two matrices, one scheme"),
        ("09_limits", "The limits"),
    )
}


@dataclass(frozen=True)
class Term:
    """What a word means, the number of its notebook, and its equation where it has one.

    `labels`: what controls and rows are called that mean it; `phrases`: how headings and legends
    write it.
    """

    name: str
    sentence: str
    notebook: str
    formula: str = ""
    labels: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


TERMS = {
    "nmse": Term(
        "nmse", "The energy that the product C loses by coding, as a share of its own.", "01",
        formulas.NMSE, ("nmse",),
    ),
    "correlation": Term(
        "Correlation ρ",
        "How much the two entries that are multiplied go together: 0, not at all; 1 or −1, one is "
        "a multiple of the other.", "01", "",
        ("Correlation ρ", "Estimated correlation ρ"), ("Correlation",),
    ),
    "inner_dim": Term(
        "Inner dimension k",
        "How many products are summed in one entry of C: the columns of A, the rows of B.", "05",
        "", ("Inner dimension k",), ("inner dimension",),
    ),
    "operand": Term(
        "Operand", "One of the two matrices that are multiplied: A (queries) or B (keys).", "01",
        "", ("Operand shown",),
    ),
    "law": Term(
        "Law of the pair",
        "How the two multiplied entries are distributed together; every pair is drawn from it "
        "anew.", "01", "", ("Law of the pair",),
    ),
    "elliptical": Term(
        "Elliptical law",
        "The density of a pair depends on the size of an ellipse alone, as for the Gaussian and "
        "Student’s t.", "03",
    ),
    "codebook": Term(
        "Codebook",
        "The K values that an entry can have once it is coded; A and B have one each.", "04", "",
        ("Codebooks",), ("codebooks", "codebook"),
    ),
    "level": Term(
        "Levels, or centres",
        "The values of a codebook: an entry is replaced by one of them, and its number is stored.",
        "04", formulas.BITS, ("Levels K of A", "Levels K of B", "K"),
        ("levels", "Centres"),
    ),
    "cell": Term(
        "Cell", "All values that are replaced by the same centre.", "04", "", (),
        ("cells", "Cells"),
    ),
    "density": Term(
        "Point density λ",
        "How close together the centres stand; λ* is the one with which the product loses least "
        "when there are many.", "02", formulas.DENSITY, (),
        ("λ*, least product error", "λ* of the data", "density"),
    ),
    "weight": Term(
        "Weight w",
        "What an error at x costs: the mean square of the entries that x is multiplied with.",
        "01", formulas.WEIGHT, (), ("weight w", "weight"),
    ),
    "transition": Term(
        "Transition",
        "Where the one peak of λ* becomes two; the same correlation for every elliptical law.",
        "03", formulas.CRITICAL, (), ("splits", "transition"),
    ),
    "companding": Term(
        "Companding",
        "Centres placed by a density: evenly spaced on an axis that is stretched where it is high.",
        "02",
    ),
    "plain": Term(
        "Plain",
        "Companding for least error of the entries: it does not mind what they are multiplied "
        "with.", "02", formulas.PLAIN, ("Plain",), ("plain MSE", "vs plain"),
    ),
    "lloyd_max": Term(
        "Lloyd–Max",
        "The codebook of least error of the entries at this K: borders half way between centres, "
        "each centre at the mean of its cell.", "04", "", ("Lloyd–Max",), ("Lloyd-Max",),
    ),
    "closed_form": Term(
        "Closed form",
        "Companding by λ*, which has a formula: the best for the product when there are many "
        "levels, not when there are few.", "02", formulas.DENSITY, ("Closed form",),
        ("closed form",),
    ),
    "weighted_lloyd_max": Term(
        "Weighted Lloyd–Max",
        "Lloyd–Max with each entry counted by what its error costs the product.", "04",
        formulas.WEIGHT, ("Weighted L–M",),
    ),
    "bilinear": Term(
        "Bilinear",
        "Both codebooks sought together, for least error of the product at this K; both are "
        "symmetric about zero.", "04", "", ("Bilinear",), ("bilinear",),
    ),
    "empirical": Term(
        "Data fit",
        "Codebooks fitted to given matrices, each entry counted by what its error costs their "
        "product; no law is assumed.", "05", "", ("Data fit",),
    ),
    "lloyd_iteration": Term(
        "Lloyd’s iteration",
        "Borders half way between centres, centres at the mean of their cells, again and again: "
        "the error never grows.", "04", "", ("Lloyd step",), ("Lloyd’s iteration",),
    ),
    "variance": Term(
        "Variance",
        "The part of the error that differs from product to product: in an entry of C, a sum of k, "
        "it grows like k.", "05", formulas.VARIANCE, (), ("Variance", "variance"),
    ),
    "bias": Term(
        "Bias",
        "The part of the error that all products share: in an entry of C, a sum of k, it grows "
        "like k².", "05",
        formulas.BIAS, (), ("bias",),
    ),
    "gain": Term(
        "Gain",
        "One number by which the whole product is multiplied so that its error is least; it takes "
        "most of a bias away.", "05", "", ("Best gain", "with gain"), ("with the best gain",),
    ),
    "feedback": Term(
        "Feedback",
        "Entries of a row are rounded one after the other, each making up for the errors of those "
        "before it as far as the other matrix lets it.", "08", "",
        ("With feedback", "Rounding"), ("rounded with feedback", "feedback"),
    ),
    "balanced": Term(
        "Balanced",
        "Both matrices in another basis of the inner dimension, in which coding costs least; their "
        "product is the same.", "08", "", ("Balanced", "Data fit, balanced"),
    ),
    "allocated": Term(
        "Allocated bits",
        "More bits for the indices of the inner dimension that carry more of the product.", "08",
        "", ("Allocated bits",),
    ),
    "scheme": Term(
        "Scheme",
        "A basis, bits for each index of the inner dimension, codebooks and a way to round, chosen "
        "together.", "08", "", ("Scheme",),
    ),
    "ladder": Term(
        "Ladder",
        "The same head coded in ever better ways, from a plain format up to allocated bits.", "08",
        "", (), ("ladder",),
    ),
    "moments_limit": Term(
        "Limit of these moments",
        "The error that is left when each direction of this head’s second moments is coded at its "
        "own best rate.", "08", "", (), ("limit of these moments",),
    ),
    "held_out": Term(
        "Held out",
        "Not seen while the codebooks were made: the error is that of new matrices of the kind.",
        "07", "", (), ("held-out",),
    ),
    "absmax": Term(
        "INT", "Evenly spaced integers, stretched so that the largest entry still fits.", "05", "",
        ("INT",), ("INT",),
    ),
    "group_scales": Term(
        "Formats with scales",
        "Short groups of entries share a scale that is stored beside their codes.", "09", "",
        ("MXFP4", "NVFP4", "MXFP8 E4M3", "MXFP6 E2M3"), ("MX", "NV", "GGUF"),
    ),
    "law_of_many": Term(
        "Asymptotic law",
        "What the error tends to as the levels grow: twice as many leave a quarter of it.", "02",
        formulas.LAW, ("Asymptotic law",), ("asymptotic law of λ*, slope −2", "asymptotic law"),
    ),
    "floor": Term(
        "Floor",
        "The least error of any code of so many bits an entry, however it is made, where the two "
        "matrices are independent.", "09", "", (),
        ("floor of independent matrices", "information-theoretic floor", "floor"),
    ),
    "entropy": Term(
        "Entropy-coded",
        "Frequent levels get short codes: what counts is the levels’ entropy, not how many there "
        "are.", "09", "", (),
        ("entropy-coded, best density", "entropy-coded"),
    ),
    "codes": Term(
        "Codes",
        "For each entry the number of its centre in the codebook: small integers, which products "
        "are computed from.", "06", "", ("from codes",), ("codes",),
    ),
    "fp32": Term(
        "fp32", "Floating-point numbers of 32 bits: what the matrices are before they are coded.",
        "06", "", (), ("fp32",),
    ),
    "decibel": Term(
        "Decibel",
        "A ratio of errors on a logarithmic scale: 3 dB is half of it, 10 dB a tenth.", "09",
        formulas.DECIBEL, ("over the best",),
    ),
}  # fmt: skip


def term(name: str, words: str = "") -> str:
    """HTML of a word that is explained; `words`: HTML, where the term's own name is not meant."""
    return f'<dfn tabindex="0" data-term="{name}">{words or escape(TERMS[name].name)}</dfn>'


def explained(html: str) -> str:
    """HTML of a heading or of a legend with its words marked, each term once.

    Examples
    --------
    >>> explained("Cells, cells and nothing")
    '<dfn tabindex="0" data-term="cell">Cells</dfn>, cells and nothing'
    """
    seen: set[str] = set()

    def mark(found: re.Match[str]) -> str:
        name = _phrases()[found[0]]
        if name in seen:
            return found[0]
        seen.add(name)
        return term(name, found[0])

    return _pattern().sub(mark, html)


@cache
def _phrases() -> dict[str, str]:
    return {phrase: name for name, each in TERMS.items() for phrase in each.phrases}


@cache
def _pattern() -> re.Pattern[str]:
    """A phrase as a whole word, outside of tags; of two at one place the longer."""
    longest = sorted(_phrases(), key=len, reverse=True)
    return re.compile(rf"(?<![\w*])(?:{'|'.join(map(re.escape, longest))})(?!\w)(?![^<>]*>)")


@cache
def script() -> str:
    """What the browser knows: a term's name, sentence, notebook and equation, and who means it."""
    terms = {
        name: [each.name, each.sentence, *NOTEBOOKS[each.notebook], each.formula]
        for name, each in TERMS.items()
    }
    labels = {label: name for name, each in TERMS.items() for label in each.labels}
    return (
        f"const TERMS = {json.dumps(terms, ensure_ascii=False)},"
        f" LABELS = {json.dumps(labels, ensure_ascii=False)};\n"
    )


#: What a word means, and why a number is so.
WORDS = script() + browser.read("glossary.js")
