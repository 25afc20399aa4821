"""What each picture answers to a pointer, and what is dragged in it; browser/pointer.js reads it.

A row is a template of columns: "{u:2}" two decimals, "{nmse:s}" 2.11 × 10⁻⁴, "{mass:%}" a
percentage.
"""

from __future__ import annotations

from bokeh.plotting import figure

_LAMBDA, _PLAIN, _WEIGHT = "λ* {optimal:3} per σ", "plain {plain:3}", "weight w {weight:2}"
_POINT = "{design}, K = {K:0}: {nmse:s}[, 95 % from {low:s} to {high:s}]"
_CENTER, _AT = "{design}: centre {u:3} σ", "u = {x:2} σ"
_LOGIT, _ENTRY = "query {row}, key {column}: {value:2}", "row {row}, column {column}: {value:3}"

#: figure -> (its place in words, the control that is dragged, source.column -> a row)
READOUTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "density": (_AT, "", {
        "ghost_curve.optimal": "kept: λ* {optimal:3}",
        "curve.optimal": _LAMBDA, "law.optimal": _LAMBDA, "law.data": "λ* of the data {data:3}",
        "curve.plain": _PLAIN, "law.plain": _PLAIN, "curve.weight": _WEIGHT, "law.weight": _WEIGHT,
        "law.pdf": "pdf {pdf:3}",
    }),
    "rug": ("", "", {"*.design": _CENTER, "ghost_rug.y": "kept, {design}: centre {u:3} σ"}),
    "pitchfork": ("ρ = {x:2}", "rho", {
        "fork.u": "λ* peaks at {y:2} σ", "law_peaks.u": "here: {u:2} σ",
        "branches.u": "here: {u:2} σ", "ghost_peaks.u": "kept, ρ = {rho:2}: {u:2} σ",
        "gallery_places.u": "{title}: ρ = {rho:2}",
    }),
    "error": ("K = {x:0}", "k_x", {
        "asymptote.nmse": "asymptotic law {nmse:s}",
        "law_asymptote.nmse": "asymptotic law {nmse:s}",
        "points.nmse": _POINT, "ghost_points.nmse": f"kept, {_POINT}",
    }),
    "exact": ("K = {x:0}", "k_x", {"exact_curves.y": "{name}: {y:s}", "study_points.nmse": _POINT}),
    "split": ("k = {x:0}", "inner_dim", {"split_curves.y": "{name}: {y:s}"}),
    **{f"entries_{i}": ("", "", {
        f"error_image_{i}.error": _ENTRY, f"kept_image_{i}.error": f"kept, {_ENTRY}",
    }) for i in range(2)},
    "codebook": (_AT, "", {
        "codebook_cells.left": "cell {number}: mass {mass:%}, {share:%} of the error",
        "codebook_pdf.pdf": "pdf {pdf:3}", "codebook_centers.row": "centre {u:3} σ",
        "ghost_centers.row": "kept: centre {u:3} σ",
        "own_centers.row": "your centre {u:3} σ",
    }),
    "trace": ("", "", {
        "lloyd_now.step": "step {step:0}: centre {u:3} σ", "ghost_centers.step": "kept: {u:3} σ",
    }),
    "rho_heads": ("", "", {"rho_map.layer": "layer {layer}, head {head}: ρ = {rho:2}"}),
    **{name: ("", "", {
        f"logits_{i}.logits": _LOGIT, f"kept_logits_{i}.logits": f"kept, {_LOGIT}",
    }) for i, name in enumerate(("logits", "coded_logits"))},
    "limit_rungs": ("", "", {
        "limit_points.dB": "{rung}, {bits:2} bits: {dB:2} dB over the floor ({low:2} to {high:2}), "
        "nmse {nmse:s}",
    }),
    "limit_densities_plot": (_AT, "", {
        "limit_densities.nearest": "to the nearest {nearest:3}",
        "limit_densities.entropy": "entropy-coded {entropy:3}",
        "limit_densities.feedback": "with feedback {feedback:3}",
    }),
    "ladder_bars": ("", "", {
        "ladder.rung": "{rung}: {dB:1} dB", "ghost_ladder.rung": "kept, {rung}: {dB:1} dB",
    }),
    "data_weight_picture": (_AT, "", {
        "data_weight.data": "weight of the data {data:2}", "data_weight.pdf": "pdf {pdf:3}",
        "data_weight.gaussian": "its Gaussian reading {gaussian:2}",
    }),
    "gallery_map_picture": ("ρ = {x:2}", "", {"gallery_map.u": "{title}: ρ = {rho:2}"}),
    "speed_bars": ("", "", {"speed.name": "{name}: {ratio:2} times as fast"}),
    "roofline": ("", "", {
        "dots.y": "{name}: {y:0} Gop/s, predicted {predicted:0}", "roof_int8.y": "limit, {name}",
        "roof_fp32.y": "limit, {name}",
    }),
    "cost": ("", "", {"products.measured": "{name}: {measured:3} ms, predicted {predicted:3}"}),
}  # fmt: skip
#: Where a glyph keeps the column that tells it from others of its source.
_TELLING = ("image", "y2", "ys", "y", "left")


def answer(picture: figure) -> None:
    """Let the picture, and what is drawn in it, say what it answers."""
    if picture.name not in READOUTS:
        return
    head, drag, rows = READOUTS[picture.name]
    picture.tags = [{"head": head, "drag": drag}]
    for renderer in picture.renderers:
        glyph = renderer.glyph
        column = next((getattr(glyph, name) for name in _TELLING if hasattr(glyph, name)), None)
        column = getattr(column, "field", column)
        row = rows.get(f"{renderer.data_source.name}.{column}", rows.get(f"*.{column}"))
        if row:
            renderer.tags = [row]
