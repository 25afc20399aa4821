"""The instrument: one file that draws, codes and multiplies, and asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Browser, Page, expect

import quantlab as ql
from tests.browser.test_accessibility import findings
from website.build import instrument, main
from website.instrument.make_bilinear import entry, half

Instrument = Callable[..., Page]

DESIGNS = {"plain": "gaussian_compander", "lloyd_max": "lloyd_max", "closed_form": "closed_form"}
#: rho, K of A, K of B, k, nu (None: Gaussian): twelve settings, each measured from its own seed.
SETTINGS = [
    (0.8, 16, 16, 256, None),
    (0.0, 16, 16, 256, None),
    (-0.8, 8, 8, 256, None),
    (0.3, 4, 4, 64, None),
    (0.9, 4, 4, 1024, None),
    (0.6, 7, 7, 16, None),
    (0.95, 32, 32, 64, None),
    (0.55, 3, 3, 1, None),
    (0.7, 12, 24, 64, None),
    (-0.995, 16, 16, 256, None),
    (0.8, 16, 16, 64, 12),
    (0.5, 8, 8, 64, 20),
]
#: name -> the centres and thresholds of A's codebook and of B's.
_BOOKS = """() => {
    const book = ({centers, thresholds}) => [Array.from(centers), Array.from(thresholds)];
    const both = (name) => [book(books[name].x), book(books[name].y)];
    return Object.fromEntries(names().map((name) => [name, both(name)]));
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("instrument") / "instrument.html"
    assert main(["--instrument", str(path)]) == 0
    return path


@pytest.fixture
def open_instrument(page: Page, file: Path) -> Iterator[Instrument]:
    """Open the file; an error, or a request beyond the file and its own worker, fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("request", lambda sent: requests.append(sent.url))
    requests: list[str] = []

    def load(address: str = "", width: int = 1280, height: int = 800) -> Page:
        page.set_viewport_size({"width": width, "height": height})
        page.goto("about:blank")
        page.goto(file.as_uri() + address)
        return page

    yield load
    own = (file.as_uri(), file.with_name("notes.html").as_uri(), "about:", "blob:")
    beyond = [url for url in requests if not url.startswith(own)]
    assert complaints + beyond == []


def wait_for_errors(page: Page, draws: int = 40) -> dict[str, dict[str, float]]:
    """Rows of the table once so many pairs of matrices are measured."""
    page.wait_for_function(
        "(draws) => shown.draws >= draws && Object.keys(shown.exact).length > 0",
        arg=draws, timeout=60_000,
    )  # fmt: skip
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[data-nmse]")].map((row) => [
            row.dataset.book, Object.fromEntries(Object.entries(row.dataset).slice(1).map(
                ([name, value]) => [name, Number(value)]))]))"""
    )


def move(page: Page, rho: float) -> None:
    page.get_by_role("slider", name="Correlation ρ").fill(str(rho))


def test_the_file_is_small_and_whole(file: Path) -> None:
    text = file.read_text()
    assert len(text.encode()) < 400_000
    assert text == instrument()
    assert "src=" not in text
    assert "import(" not in text


@pytest.mark.parametrize(("rho", "k_x", "k_y", "k", "nu"), SETTINGS)
def test_measured_errors_are_the_exact_ones(
    open_instrument: Instrument, rho: float, k_x: int, k_y: int, k: int, nu: float | None
) -> None:
    law = "" if nu is None else f"&law=student_t&nu={nu}"
    page = open_instrument(f"#rho={rho}&k_x={k_x}&k_y={k_y}&inner_dim={k}&seed=3{law}")
    rows = wait_for_errors(page)
    pair = ql.GaussianPair(rho) if nu is None else ql.StudentTPair(rho, nu=nu)
    books = page.evaluate(_BOOKS)
    with_table = nu is None and k_x == k_y and abs(rho) <= 0.99
    assert set(rows) == set(books) == {*DESIGNS, *(["bilinear"] if with_table else [])}
    for name, row in rows.items():
        pair_of_books = [ql.Codebook(*book) for book in books[name]]
        exact = ql.exact_mse(pair, *pair_of_books, k).nmse
        assert_allclose(row["exact"], exact, rtol=1e-8, err_msg=name)
        assert abs(row["nmse"] - exact) < 4 * row["deviation"], name
        assert row["deviation"] < 0.1 * exact, name
        if name in DESIGNS:
            made = ql.DESIGNS[DESIGNS[name]](pair, (k_x, k_y), k)
            for ours, theirs in zip(pair_of_books, made, strict=True):
                assert_allclose(ours.centers, theirs.centers, rtol=1e-8, atol=1e-12)
        else:
            best = ql.design_bilinear(pair, k_x, k, symmetric=True)[0].info["nmse"]
            assert exact < 1.006 * best  # between the table's correlations it is not quite least


def test_the_table_holds_the_bilinear_designs(open_instrument: Instrument) -> None:
    page = open_instrument("?hide=error")
    for n_levels, k in ((2, 1), (7, 64), (16, 256)):
        rows = page.evaluate("([k, K]) => table.books[k][K]", [k, n_levels])
        assert [row[0] for row in (rows[0], rows[-1])] == [0, 99]
        for hundredths, found in (rows[0], rows[len(rows) // 2]):
            books = entry(hundredths / 100, n_levels, k)[0]
            assert_allclose(found, books, atol=1)
    assert half(ql.Codebook([-1.0, 0.0, 1.0])) == [10_000, 5_000]


#: Where the best codebooks are of one kind, and where they change from one to another.
@pytest.mark.parametrize(
    ("rho", "n_levels", "k"),
    [(0.37, 32, 256), (0.83, 4, 1024), (-0.93, 8, 1024), (0.96, 4, 1), (0.98, 7, 1024)],
)
def test_between_the_tables_correlations_it_is_nearly_optimal(
    open_instrument: Instrument, rho: float, n_levels: int, k: int
) -> None:
    page = open_instrument(f"?hide=error&rho={rho}&k_x={n_levels}&inner_dim={k}")
    books = [ql.Codebook(*book) for book in page.evaluate(_BOOKS)["bilinear"]]
    pair = ql.GaussianPair(rho)
    best = ql.design_bilinear(pair, n_levels, k, symmetric=True)[0].info["nmse"]
    assert ql.exact_mse(pair, *books, k).nmse < 1.006 * best


@pytest.mark.parametrize("nu", [None, 5.0])
def test_the_density_is_quantlabs(open_instrument: Instrument, nu: float | None) -> None:
    page = open_instrument("?hide=error")
    for rho in (0.0, 0.5, ql.CRITICAL_RHO, -0.8, 1.0):
        pair = ql.GaussianPair(rho) if nu is None else ql.StudentTPair(rho, nu=nu)
        found = page.evaluate(
            """([family, rho, nu]) => {
                const law = quantlab.laws.law({family, rho, nu}), list = Array.from;
                return {optimal: list(law.optimal().density(pictures.U)),
                    plain: list(law.plain().density(pictures.U)), peaks: law.peaks(),
                    pdf: list(pictures.U, law.pdf), weight: list(pictures.U, law.weight),
                    u: list(pictures.U)};
            }""",
            ["gaussian" if nu is None else "student_t", rho, nu],
        )
        u = np.array(found["u"])
        assert_allclose(found["pdf"], pair.pdf(u), rtol=1e-12)
        assert_allclose(found["weight"], pair.weight(u), rtol=1e-12)
        # heavy tails: the last 1e-10 of l*'s mass lies beyond either's panels
        optimal, plain = ql.PointDensity.optimal(pair), ql.PointDensity.mse(pair)
        assert_allclose(found["optimal"], optimal(u), rtol=1e-8, atol=1e-14)
        assert_allclose(found["plain"], plain(u), rtol=1e-8)
        assert_allclose(found["peaks"], pair.peaks(), rtol=1e-12)


def test_a_change_takes_the_old_numbers_away_at_once(open_instrument: Instrument) -> None:
    page = open_instrument()
    wait_for_errors(page, 2)
    # between the event and the next task nothing else can run: what is read is what is painted
    left = page.evaluate(
        """() => {
            const slider = document.getElementById("rho");
            slider.value = 0.3;
            slider.dispatchEvent(new Event("input", {bubbles: true}));
            const row = document.querySelector("[data-book=plain]");
            return [row.innerText, Object.keys({...row.dataset}), $("error_text").innerText,
                $("error").querySelectorAll("circle").length, $("status").innerText];
        }"""
    )
    text, data, sentence, dots, status = left
    assert data == ["book"]
    assert dots == 0
    assert "10" not in text
    assert "ρ = 0.30" in sentence
    assert status.startswith("0 pairs")
    rows = wait_for_errors(page, 2)
    plain = ql.design_companding(ql.GaussianPair(0.0), 16)
    exact = ql.exact_mse(ql.GaussianPair(0.3), *plain, 256).nmse
    assert_allclose(rows["plain"]["exact"], exact, rtol=1e-8)


def test_a_late_answer_is_dropped(open_instrument: Instrument) -> None:
    page = open_instrument()
    wait_for_errors(page, 2)
    page.evaluate(
        """() => {
            const row = {name: "plain", value: 0.123, deviation: 0, half: 0};
            worker.onmessage({data: {id: shown.id - 1, draws: 9, rows: [row]}});
        }"""
    )
    assert "0.123" not in page.content()


def test_the_picture_follows_the_slider(open_instrument: Instrument) -> None:
    page = open_instrument("#rho=0.3")
    expect(page.locator("#density_text")).to_contain_text("One peak, at u = 0.")
    before = page.locator("#density .optimal").get_attribute("d")
    move(page, 0.9)
    expect(page.locator("#density_text")).to_contain_text("Two peaks, at u = ±1.33.")
    assert page.locator("#density .optimal").get_attribute("d") != before
    heights = [float(m.get_attribute("cy") or 0) for m in page.locator("#pitchfork .marker").all()]
    assert abs(heights[0] - heights[1]) > 50
    expect(page.get_by_role("img", name="Two peaks, at u = ±1.33.")).to_be_visible()


def test_the_pitchfork_can_be_dragged(open_instrument: Instrument) -> None:
    page = open_instrument("#rho=0.3")
    box = page.locator("#pitchfork svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 30 + (box["width"] - 40) * 0.75, box["y"] + 80)
    expect(page.locator("#rho_text")).to_have_text("0.50")


def test_a_link_restores_the_state(open_instrument: Instrument, browser: Browser) -> None:
    page = open_instrument()
    page.get_by_role("checkbox", name="Same K for A and B").uncheck()
    page.get_by_role("slider", name="Levels K of A").fill("3")
    page.get_by_role("slider", name="Inner dimension").fill("2")
    page.get_by_role("combobox", name="Law").select_option("Student-t")
    page.get_by_role("slider", name="Degrees of freedom").fill("7.5")
    page.get_by_role("button", name="New matrices").click()
    move(page, -0.37)
    page.wait_for_function("() => location.hash.includes('rho=-0.37')")
    state = "JSON.stringify(state)"
    other = browser.new_page()
    other.goto(page.url)
    assert other.evaluate(state) == page.evaluate(state)
    expected = '{"rho":-0.37,"k_x":5,"k_y":16,"linked":false,"inner_dim":16,"law":"student_t"'
    assert page.evaluate(state).startswith(expected)
    # an address typed over the page's own
    other.evaluate("location.hash = '#rho=0.25'")
    expect(other.locator("#rho_text")).to_have_text("0.25")
    other.close()


def test_bad_values_are_answered_in_words(open_instrument: Instrument) -> None:
    page = open_instrument(
        "?rho=1.5&k_x=9&law=cauchy&colour=red&hide=everything&constructor=1#nu=x"
    )
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("rho = “1.5” is not used: expected a number from −1 to 1.")
    expect(notice).to_contain_text("k_x = “9” is not used: expected 2, 3, 4")
    expect(notice).to_contain_text("law = “cauchy” is not used: expected gaussian or student_t.")
    expect(notice).to_contain_text("“colour” is not a control.")
    assert page.evaluate("state.rho") == 0.8
    move(page, 0.5)
    expect(notice).to_be_hidden()
    page = open_instrument("?rho=<img src=x onerror=alert(1)>")
    expect(notice).to_contain_text("rho = “<img")
    assert page.locator("#notice img").count() == 0


def test_a_lecture_embeds_what_it_wants(open_instrument: Instrument, file: Path) -> None:
    page = open_instrument("?hide=title,controls,pitchfork,error,codebooks&rho=0.7")
    expect(page.locator("#density .optimal")).to_be_visible()
    expect(page.locator("#density .rug")).to_have_count(0)
    for hidden in ("h1", "#controls", "#pitchfork", "#rows", "footer"):
        expect(page.locator(hidden)).to_be_hidden()
    assert page.evaluate("worker") is None  # nothing is measured that nobody sees
    notes = file.with_name("notes.html")
    notes.write_text(
        f'<!DOCTYPE html><iframe src="{file.name}?rho=0.9&amp;hide=controls" width=700></iframe>'
    )
    page.goto(notes.as_uri())
    frame = page.frame_locator("iframe")
    expect(frame.locator("#density_text")).to_contain_text("Two peaks, at u = ±1.33.")
    expect(frame.locator("#controls")).to_be_hidden()
    expect(frame.locator("[data-nmse]")).to_have_count(4)


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(open_instrument: Instrument, width: int) -> None:
    page = open_instrument("", width=width, height=844)
    wait_for_errors(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    if width == 390:  # the correlation stays in sight while one scrolls
        page.mouse.wheel(0, 500)
        page.wait_for_function("() => scrollY > 300")
        box = page.locator(".lead").bounding_box()
        assert box is not None
        assert box["y"] == 0


def test_the_first_picture_is_there_at_once(open_instrument: Instrument) -> None:
    page = open_instrument()
    # 0.2 s alone on two cores, and more on a loaded machine; BokehJS alone takes seconds there
    assert page.evaluate("performance.getEntriesByName('drawn')[0].startTime") < 3000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_grave_finding(open_instrument: Instrument, page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page = open_instrument("?law=student_t&rho=2", width=width)
    wait_for_errors(page, 2)
    assert findings(page) == []
