"""Words of the pages: each explained, with a notebook; equations; why a number is so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import panel as pn
import pytest
import yaml
from bokeh.models import Div
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.parts import formulas, glossary
from quantlab.dashboard.parts.toolbar import BIBTEX
from quantlab.dashboard.parts.why import why
from quantlab.dashboard.server.notebooks import FOLDER, page
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import ATTENTION, DESIGN_LABELS, PAGES, DashboardState
from quantlab.dashboard.work.measurements import Point, Update
from quantlab.dashboard.work.reasons import Reason, reason


def texts(session: Session) -> list[str]:
    """HTML of every text on the pages that a session has shown."""
    panes = session.page().select(pn.pane.Bokeh)
    models = {model for pane in panes for model in pane.object.references()}
    return [model.text for model in models if isinstance(model, Div)]


def test_every_word_is_one_sentence_with_a_notebook() -> None:
    for name, each in glossary.TERMS.items():
        assert each.sentence.endswith("."), name
        assert ". " not in each.sentence, name
        file, title = glossary.NOTEBOOKS[each.notebook]
        cells = json.loads((FOLDER / f"{file}.ipynb").read_text())["cells"]
        assert "".join(cells[0]["source"]).startswith(f"# {each.notebook} · {title}")
    labels = {label for each in glossary.TERMS.values() for label in each.labels}
    assert labels >= set(DESIGN_LABELS.values())
    assert glossary.script().count("https:") == 0


def test_equations_are_whole_and_can_be_said() -> None:
    drawn = [value for value in vars(formulas).values() if str(value).startswith("<math")]
    assert len(drawn) >= 8
    for formula in drawn:
        assert ElementTree.fromstring(formula).attrib["alttext"]


def test_every_page_explains_words_that_there_are() -> None:
    for name in PAGES:
        session = Session({"page": name})
        html = "".join(texts(session))
        marked = set(re.findall(r'data-term="(\w+)"', html))
        assert marked, name
        assert marked <= set(glossary.TERMS)
        session.close()


def test_a_notebook_is_a_page_to_read() -> None:
    html = page(FOLDER / "03_phase_transition.ipynb", "/class")
    assert "<title>03 · The phase transition</title>" in html
    assert '<div class="math block">\nw(u) = (1-\\rho^2)' in html
    assert 'src="/class/static/js/bokeh-mathjax.min.js"' in html
    assert "ql.PointDensity.optimal(ql.GaussianPair(rho))" in html
    assert 'href="03_phase_transition.ipynb"' in html


@pytest.mark.parametrize(
    ("k", "says"), [(16, "Nearly all of it is variance"), (4096, "Bias outweighs variance")]
)
def test_why_a_number_is_so_is_told_by_its_computed_parts(k: int, says: str) -> None:
    state = DashboardState(rho=0.9, k_x=8, inner_dim=k)
    request = state.request()
    found = reason(request.problem, "bilinear", 8, 8)
    pair = ql.GaussianPair(0.9)
    error = ql.exact_mse(pair, *ql.design_bilinear(pair, 8, k, symmetric=True), k)
    assert_allclose([found.variance + found.bias, found.nmse], error.nmse, rtol=1e-9)
    assert_allclose(found.bias / found.nmse, error.bias_share, rtol=1e-9)
    plain = reason(request.problem, "gaussian_compander", 8, 8)
    words = why(request, "gaussian_compander", plain)
    assert ("Bias outweighs variance" if k == 4096 else "variance") in words
    assert "K = 8 is 3 bits an entry" in words
    assert plain.doubled is not None
    assert 0.1 < plain.doubled / plain.nmse < 1
    assert plain.nmse_with_gain <= plain.nmse


def test_without_a_formula_a_sample_says_why() -> None:
    state = DashboardState(source=ATTENTION)
    request = state.request()
    found = reason(request.problem, "empirical", 16, 16)
    assert found.variance is None
    assert found.nmse_with_gain <= found.nmse
    assert "what was held out" in why(request, "empirical", found)
    fed_back = DashboardState(rho=0.5, inner_dim=16, rounding="feedback").request()
    told = why(fed_back, "lloyd_max", reason(fed_back.problem, "lloyd_max", 4, 4))
    assert "With feedback" in told
    lossless = Reason(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert "A gain on the product" in why(replace(request, k_y=4), "closed_form", lossless)


def test_what_is_cited_is_what_is_to_be_cited() -> None:
    cite = yaml.safe_load((FOLDER.parent / "CITATION.cff").read_text())
    paper = cite["preferred-citation"]
    told = " ".join(BIBTEX.split())
    for wanted in (
        f"title = {{{paper['title']}}}", f"title = {{{cite['title']}}}", f"{cite['version']}}}",
        f"year = {{{paper['year']}}}", f"eprint = {{{paper['url'].rpartition('/')[2]}}}",
        f"author = {{{' and '.join(each['family-names'] for each in paper['authors'])}}}",
        f"author = {{{{{cite['authors'][0]['name']}}}}}",
    ):  # fmt: skip
        assert wanted in told


def test_the_page_answers_why() -> None:
    session = Session({"k_x": "4"})
    page = session._pages["density"]
    request = session.state.request()
    point = Point(1e-2, 9e-3, 1.1e-2, 5, [], [])
    page.errors.show(Update(request, 4, 4, {"closed_form": point}))
    assert 'data-why="closed_form"' in page.errors.readout.text
    answered = []
    page.background.run = lambda name, job, show, *_, **__: answered.append(show(job(None)))
    page.errors.why.text = "closed_form 1"
    html, count = page.errors.why.tags
    assert count == "1"
    assert html.startswith("<b>Why ")
    page.errors.why.text = "nothing 2"
    assert len(answered) == 1
    session.close()
