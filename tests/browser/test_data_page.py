"""The Your data tab in the browser: a good pair of files, then every hostile one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import expect

import quantlab as ql
from tests.browser.test_page import Dashboard
from tests.dashboard.test_uploads import HOSTILE

#: The twelve kinds that the page must survive.
KINDS = (
    "wrong type", "pickle inside npy", "nan", "five dimensions", "empty",
    "huge header, tiny body", "text", "truncated", "zip bomb", "path in a name", "200 MB",
)  # fmt: skip


def test_good_and_hostile_uploads(dashboard: Dashboard, tmp_path: Path) -> None:
    a, b = ql.GaussianPair(0.9).sample_matrices(64, 48, 80, rng=0)
    np.save(tmp_path / "a.npy", a)
    np.savez(tmp_path / "b.npz", keys=b, other=b.T)
    np.save(tmp_path / "short.npy", b[:-1])
    page = dashboard("?page=data")
    inputs = page.locator("input[type=file]")
    inputs.nth(0).set_input_files(tmp_path / "a.npy")
    expect(page.get_by_text("a.npy is read.")).to_be_visible()
    inputs.nth(1).set_input_files(tmp_path / "short.npy")
    expect(page.get_by_text("A has 48 columns and B 47 rows")).to_be_visible()
    for number, kind in enumerate(KINDS):
        name, content, says = HOSTILE[kind]
        path = tmp_path / f"{number}" / name.replace("../", "")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        inputs.nth(1).set_input_files(path)
        expected = "over the limit of 50 MB" if kind == "200 MB" else says
        expect(page.get_by_text(re.compile(expected)).first).to_be_visible()
        path.unlink()
    inputs.nth(1).set_input_files(tmp_path / "b.npz")
    expect(page.get_by_text("A is 64 × 48 and B 48 × 80.")).to_be_visible()
    page.get_by_role("button", name="Compare the designs").click()
    expect(page.get_by_text("less product error")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report").click()
    download.value.save_as(tmp_path / "report.csv")
    assert "gaussian_compander" in (tmp_path / "report.csv").read_text()


def test_one_of_several_matrices_is_chosen(dashboard: Dashboard, tmp_path: Path) -> None:
    a, b = ql.GaussianPair(0.9).sample_matrices(64, 48, 80, rng=0)
    name = "vision_model.encoder.layers.10.self_attn.{}_proj.weight".format
    np.savez(tmp_path / "a.npz", **{name("q"): a, name("k"): a[:32], "waves": 1j * a})
    np.save(tmp_path / "b.npy", b)
    np.save(tmp_path / "zero.npy", 0 * b)
    page = dashboard("?page=data")
    inputs = page.locator("input[type=file]")
    inputs.nth(0).set_input_files(tmp_path / "a.npz")
    expect(page.get_by_text("Left out: waves: expected real numbers")).to_be_visible()
    inputs.nth(1).set_input_files(tmp_path / "b.npy")
    expect(page.get_by_text("A is 64 × 48 and B 48 × 80.")).to_be_visible()
    page.get_by_role("combobox", name="Array in the file of A").click()
    page.get_by_role("menuitem", name="k_proj.weight").click()
    expect(page.get_by_text("A is 32 × 48 and B 48 × 80.")).to_be_visible()
    page.get_by_role("button", name="Compare the designs").click()
    inputs.nth(1).set_input_files(tmp_path / "zero.npy")
    expect(page.get_by_text("B is zero everywhere")).to_be_visible()
    expect(page.get_by_text("Looking at them")).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()


def test_an_index_is_told_and_goes_by_a_click(dashboard: Dashboard, tmp_path: Path) -> None:
    a, b = ql.GaussianPair(0.9).sample_matrices(64, 3, 80, rng=0)
    rows = [f"{i},{','.join(map(str, row))}" for i, row in enumerate(a.tolist())]
    for name, header in (("pandas", ",0,1,2"), ("again", "Unnamed: 0,q,k,v")):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    np.save(tmp_path / "b.npy", np.stack([b, b]))
    page = dashboard("?page=data")
    inputs = page.locator("input[type=file]")
    inputs.nth(1).set_input_files(tmp_path / "b.npy")
    expect(page.get_by_role("combobox", name="Array in the file of B")).to_have_text("array[0]")
    inputs.nth(0).set_input_files(tmp_path / "pandas.csv")
    expect(page.get_by_text("The first column of A has no name: it is left out.")).to_be_visible()
    expect(page.get_by_text("A is 64 × 3 and B 3 × 80.")).to_be_visible()
    inputs.nth(0).set_input_files(tmp_path / "again.csv")
    expect(page.get_by_text("A has 4 columns and B 3 rows")).to_be_visible()
    expect(page.get_by_text("is called “Unnamed: 0” and may be an index")).to_be_visible()
    page.get_by_role("button", name="Leave out the first column of A").click()
    expect(page.get_by_text("A is 64 × 3 and B 3 × 80.")).to_be_visible()
    page.get_by_role("button", name="Take the first column of A").click()
    expect(page.get_by_text("A has 4 columns and B 3 rows")).to_be_visible()
