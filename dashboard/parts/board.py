"""The axis with centres that a hand moves: drawn and computed in the browser (browser/board.js)."""

from __future__ import annotations

import panel as pn
import param

from .. import browser


class Board(pn.custom.JSComponent):
    """Centres of A and of B as handles, their cells, and the exact error of the product.

    All lengths are in standard deviations, all errors shares of E[C_ij^2].
    """

    centers = param.Dict(
        {"x": [], "y": []}, doc="Of A and of B (none: as A's); the browser writes when a hand rests"
    )
    law = param.Dict(
        {"family": "", "rho": 0.0, "nu": 0.0},
        doc="The pair's law where the browser has its formula: gaussian or student_t; or no family",
    )
    problem = param.String("", doc="Tells one law and inner dimension from another; comes last")
    inner_dim = param.Integer(1)
    pdf = param.Dict({"u": [], "f": []}, doc="The law's pdf, drawn behind the cells")
    optimum = param.Dict({}, doc="Best design known: problem, name, x, y, nmse")
    ghost = param.Dict({}, doc="Centres x and y of the kept setting, drawn pale; or none")
    beat = param.Boolean(False, doc="Whether the optimum's centres are hidden")
    asked = param.Dict({}, doc="Centres x, y and a problem whose error the browser cannot compute")
    answer = param.Dict({}, doc="The same with variance, bias, nmse, gain, nmse_with_gain")

    _esm = browser.formulas() + browser.read("board.js")
    _stylesheets = [browser.read("board.css")]  # noqa: RUF012
