"""The command line on one's own files: Python's figures, hostile files, pipes."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save, save_file

import quantlab as ql
from quantlab.cli import _parser, main
from quantlab.data import load_attention
from quantlab.files.codebooks import read
from quantlab.files.matrices import read_matrix
from quantlab.formats import GROUP_FORMATS
from quantlab.lattices import VoronoiCode

QUERIES, KEYS = load_attention().head(layer=2, head=5).calibration_pair()
A, B = np.ascontiguousarray(QUERIES[:64, :8]), np.ascontiguousarray(KEYS[:8, :72])
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ql.__file__).parents[1])}
COMMAND = (sys.executable, "-m", "quantlab.cli")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A and B in every kind of file, and the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("A.npy", A)
    np.save("B.npy", B)
    np.save("heads.npy", np.stack([A, 2 * A])[None])
    np.savez("both.npz", a=A, b=B)
    save_file({"a": A, "b": B, "heads": np.stack([A, B.T[:64]])}, "both.safetensors")
    np.savetxt("A.csv", A, fmt="%.9g", delimiter=",")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("A.npy", A), ("A.npy:.T", A.T), ("A.csv", A), ("A.csv:.T", A.T), ("both.npz:b", B),
        ("heads.npy:[0,1]", 2 * A), ("both.safetensors:a", A), ("both.safetensors:a.T", A.T),
        ("both.safetensors:heads[1]", B.T[:64]), ("both.safetensors:heads[1].T", B.T[:64].T),
    ],
)  # fmt: skip
def test_a_matrix_of_every_kind_of_file(source, expected, folder) -> None:
    assert_array_equal(read_matrix(source)[0].astype(np.float32), expected)


def test_the_precision_of_a_file_is_kept(folder) -> None:
    np.save("double.npy", A.astype(float) / 3)
    assert read_matrix("double.npy")[0].dtype == np.float64


def test_report_has_pythons_figures(folder, capsys) -> None:
    assert main(["report", "both.npz:a", "both.safetensors:b", "--bits", "3", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = ql.design_report((A, B), bits=3)
    assert shown["settings"] == expected.settings
    for row, own in zip(shown["rows"], expected.rows, strict=True):
        record = {k: v for k, v in asdict(own).items() if not k.endswith("_seconds")}
        record["n_levels"] = list(record["n_levels"])
        assert {k: v for k, v in row.items() if k in record} == record


def test_report_of_held_out_matrices_and_its_forms(folder, capsys) -> None:
    np.save("later.npy", A[::-1] * 1.1)
    options = ["--held-out", "later.npy", "B.npy", "--bits", "2"]
    assert main(["report", "A.npy", "B.npy", *options]) == 0
    first = capsys.readouterr().out.splitlines()[3].split()
    expected = ql.design_report((A, B), bits=2, held_out=[(A[::-1] * 1.1, B)]).rows[0]
    assert (first[0], first[2]) == (expected.design, f"{expected.nmse:.3e}")
    assert main(["report", "A.npy", "--bits", "1", "--html", "page.html"]) == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "a (64, 8), b (8, 64)" in page  # alone: against its own transpose
    assert page.startswith("<!doctype html>")
    assert "closed_form" in page


def test_a_scheme_from_design_to_product_is_pythons(folder, capsys) -> None:
    assert main(["design", "A.npy", "B.npy", "--bits", "3", "-o", "s.safetensors"]) == 0
    for name, operand in (("A", "x"), ("B", "y")):
        options = ["--operand", operand, "-o", f"{name}.coded"]
        assert main(["encode", f"{name}.npy", "s.safetensors", *options]) == 0
    scheme = ql.design_scheme((A, B), 3)
    coded = scheme.encode(A, "x"), scheme.encode(B, "y")
    command = ["multiply", "A.coded", "B.coded", "-o", "C.npy", "--compare", "A.npy", "B.npy"]
    assert main(command) == 0
    assert_array_equal(np.load("C.npy"), coded[0] @ coded[1])
    exact = A.astype(float) @ B.astype(float)
    nmse = ((exact - np.load("C.npy")) ** 2).sum() / (exact**2).sum()
    assert capsys.readouterr().out.splitlines()[-1] == f"nmse {nmse:.6e}"
    assert main(["decode", "B.coded", "-o", "B.coded.npy"]) == 0
    assert_array_equal(np.load("B.coded.npy"), coded[1].decode())
    assert main(["info", "A.coded", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == coded[0].nbytes


def test_groups_and_lattice_points_are_coded_files_too(folder, capsys) -> None:
    left = GROUP_FORMATS["q4_1"].encode(A)
    right = VoronoiCode.gaussian("E8", 4).encode(B, "y")
    left.save("A.coded")
    right.save("B.coded")
    assert main(["multiply", "A.coded", "B.coded", "-o", "C.npy"]) == 0
    assert_array_equal(np.load("C.npy"), ql.matmul(left, right))
    assert main(["decode", "B.coded", "-o", "B.npy"]) == 0
    assert_array_equal(np.load("B.npy"), right.decode())
    capsys.readouterr()
    for name, key, value in (("A", "kind", "coded matrix with offsets"), ("B", "lattice", "E8")):
        assert main(["info", f"{name}.coded", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[key] == value


@pytest.mark.parametrize("kind", ["json", "csv", "safetensors"])
def test_codebooks_in_every_kind_of_file(kind, folder) -> None:
    name = f"books.{kind}"
    assert main(["design", "A.npy", "B.npy", "--codebooks", "--bits", "3", "-o", name]) == 0
    books = ql.design_empirical((A, B), 8)
    assert read(name, Path(name).read_bytes()) == books
    assert main(["encode", "B.npy", name, "--operand", "y", "-o", "B.coded"]) == 0
    assert main(["multiply", "A.npy", "B.coded", "-o", "C.csv"]) == 0
    expected = ql.matmul(A, ql.encode(B, books[1], packed=True))
    assert_array_equal(np.loadtxt("C.csv", delimiter=",", dtype=np.float32), expected)


@pytest.mark.parametrize("bits", [3.5, (2, None)])
@pytest.mark.parametrize("lengths", ["fixed", "entropy"])
def test_a_matrix_coded_by_a_scheme_comes_back(bits, lengths, tmp_path) -> None:
    if lengths == "entropy" and find_spec("constriction") is None:
        pytest.skip("needs constriction")
    scheme = ql.design_scheme((A, B), bits, lengths=lengths)
    coded = scheme.encode(A, "x")
    coded.save(tmp_path / "coded")
    back = ql.SchemeMatrix.load(tmp_path / "coded")
    assert_array_equal(back.codes, coded.codes)
    assert_array_equal(back.decode(), coded.decode())
    assert (back.shape, back.nbytes, repr(back)) == (coded.shape, coded.nbytes, repr(coded))


def _archive(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def _npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


#: name of the file, its bytes, what is said of it
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "nothing in it": ("a.npy", b"", "a.npy: the file is empty"),
    "another kind": ("a.npy", b"PK\x03\x04 no", "header is not numpy's"),
    "a pickle": ("a.npy", _npy(np.array([[print]]), True), "Python objects (a pickle)"),
    "a header that promises": (
        "a.npy", _npy(np.zeros((2, 2))).replace(b"(2, 2)", b"(2,9999999)"), "bytes follow",
    ),
    "cut": ("a.npz", _archive("a.npy", _npy(A))[:-40], "not a whole zip archive"),
    "no matrix": ("a.npz", _archive("a.npy", _npy(np.zeros(3))), "expected a matrix"),
    "complex": ("a.npy", _npy(np.ones((2, 2), complex)), "real numbers; got dtype complex128"),
    "not finite": ("a.npy", _npy(np.array([[1.0, np.inf]])), "must be finite"),
    "a word": ("a.csv", b"1,2\n3,four\n", "row 2, column 2: expected a number; got 'four'"),
    "not text": ("a.csv", b"\xff\xfe\x00", "the file is not text"),
    "a long header": ("a.safetensors", b"\xff" * 8 + b"{}", "header claims"),
    "another ending": ("a.exe", b"MZ", "got .exe"),
    "a scheme that lacks a part": (
        "a.safetensors", save({"x.upper": np.eye(2)}, {"format": "quantlab.scheme.v1"}), "books",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_ends_in_one_line(case, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    name, content, says = HOSTILE[case]
    Path(name).write_bytes(content)
    np.save("fine.npy", A)
    command = ["report", name] if "scheme" not in case else ["encode", "fine.npy", name]
    assert main(command + ["--operand=x", "-o", "out"] * ("scheme" in case)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"quantlab {command[0]}: ")
    assert says in lines[0]
    listed = ("not finite", "no matrix")  # `info` says what there is
    assert main(["info", name]) == (0 if case in listed else 2)


def _wrong(name: str, value: object) -> Callable[[dict], None]:
    return lambda tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_wrong("x.order", np.full(8, 7)), "order must permute"),
        (_wrong("x.upper", np.eye(9)), "upper must have shape|order must permute"),
        (_wrong("x.n_levels", np.array([99])), "n_levels"),
        (_wrong("x.centers", np.full((1, 8), np.nan)), "centers must be finite"),
        (_wrong("x.thresholds", np.zeros((1, 2))), "thresholds"),
        (_wrong("x.exponent", np.array([10**6])), "exponent"),
        (_wrong("x.forward", np.eye(8)), "go together"),
        (lambda tensors: tensors.clear(), "no coder"),
    ],
)
def test_a_scheme_whose_parts_contradict_each_other_is_refused(change, says, tmp_path) -> None:
    from safetensors import safe_open

    parts = {"basis": "none", "rates": "equal", "rounding": "nearest", "books": "matrix"}
    ql.design_scheme((A, B), 3, **parts).save(tmp_path / "scheme")
    with safe_open(str(tmp_path / "scheme"), "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    change(tensors)
    save_file(tensors, tmp_path / "scheme", header)
    with pytest.raises(ValueError, match=says):
        ql.Scheme.load(tmp_path / "scheme")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["report", "none.npy"], "none.npy: No such file"),
        (["report", "."], "a folder or a device"),
        (["report", "both.npz"], "Append :NAME; there are a, b"),
        (["report", "both.npz:c"], "no 'c' in it; there are a, b"),
        (["report", "heads.npy"], "Append :NAME[0,0]"),
        (["report", "heads.npy:[0,2]"], "no matrix of the array of shape (1, 2, 64, 8)"),
        (["report", "A.csv:a"], "a table has one matrix"),
        (["report", "A.npy", "A.npy"], "must share the inner dimension"),
        (["report", "A.npy", "B.npy", "A.npy"], "expected one matrix or two"),
        (["report", "-", "-"], "standard input is one matrix"),
        (["report", "A.npy", "--bits", "9"], "9"),
        (["design", "A.npy", "-o", "s.json"], "a scheme is written as .safetensors"),
        (["design", "A.npy", "--codebooks", "-o", "s.npy"], "codebooks are written as"),
        (["design", "A.npy", "--codebooks", "--bits", "2.5", "-o", "b.json"], "whole bits"),
        (["encode", "A.npy", "A.npy", "--operand", "x", "-o", "c"], "expected codebooks"),
        (["decode", "A.npy", "-o", "c.npy"], "expected codes"),
        (["multiply", "A.npy", "B.npy", "-o", "c.npy"], "neither factor is coded"),
        (["info", "none.npy"], "there is no such file"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(command, says, folder, capsys) -> None:
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_file_that_cannot_be_written_is_exit_status_1(folder, capsys) -> None:
    assert main(["design", "A.npy", "--codebooks", "--bits", "1", "-o", "no/books.json"]) == 1
    assert "there is no folder no" in capsys.readouterr().err


def test_an_index_in_a_table_is_told(folder, capsys) -> None:
    Path("table.csv").write_text("id,u,v\n0,1,2\n1,3,5\n2,4,1\n")
    assert main(["report", "table.csv", "--bits", "1"]) == 0
    assert "table.csv: the first column" in capsys.readouterr().err


def test_matrices_codes_and_numbers_go_through_pipes(folder) -> None:
    main(["design", "A.npy", "B.npy", "--codebooks", "--bits", "3", "-o", "books.json"])
    encode = [*COMMAND, "encode", "-", "books.json", "--operand", "x", "-o", "-"]
    run = partial(subprocess.run, capture_output=True, check=True, env=ENVIRONMENT)
    coded = run(encode, input=_npy(A))
    assert b"CodedMatrix" in coded.stderr  # standard output holds the codes alone
    decode = [*COMMAND, "decode", "-", "-o", "-"]
    found = run(decode, input=coded.stdout)
    expected = ql.encode(A, ql.design_empirical((A, B), 8)[0]).decode()
    assert_array_equal(np.load(io.BytesIO(found.stdout)), expected)
    assert found.stderr == b""  # and no progress where nobody watches


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe breaks otherwise there")
def test_nobody_reads_any_more(folder) -> None:
    run = subprocess.Popen([*COMMAND, "info", "A.npy"], stdout=-1, stderr=-1, env=ENVIRONMENT)
    assert run.stdout is not None
    run.stdout.close()
    assert run.stderr is not None
    assert (run.stderr.read(), run.wait(60)) == (b"", 141)


def test_bench_prints_every_row(monkeypatch, capsys) -> None:
    monkeypatch.setattr("quantlab.cli.bench.SHAPES", ((2, 32, 48),))
    assert main(["bench", "--seconds", "0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["rows"]) == 9
    assert all(row["rounds"] >= 3 and row["milliseconds"] > 0 for row in found["rows"])
    assert main(["bench", "--seconds", "0.01"]) == 0
    assert "| quantlab 4 x 4 bits               | 2 x 32 x 48" in capsys.readouterr().out


COMMANDS = _parser(False)._subparsers._group_actions[0].choices  # type: ignore[union-attr, index]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_in_the_help_are_commands(name) -> None:
    text = COMMANDS[name].format_help()
    examples = text.partition("example:\n")[2].strip().splitlines()
    assert examples, "the help ends with an example"
    for line in examples:
        for part in line.partition(" > ")[0].split(" | "):
            program, command, *rest = shlex.split(part)
            assert program == "quantlab"
            if command != "lab":  # whose options are JupyterLab's
                _parser(True).parse_args([command, *rest])


@pytest.mark.parametrize(
    ("change", "header", "says"),
    [
        (_wrong("codes", np.zeros((64, 9), np.uint8)), {}, "codes must be uint8 of shape"),
        (_wrong("n_levels", np.array([2])), {}, "codes must be uint8 of shape"),
        (_wrong("n_levels", np.array([5])), {}, "beyond its codebook"),
        (lambda tensors: tensors.pop("codes"), {}, "'codes' is missing"),
        (lambda tensors: None, {"operand": "z"}, "operand must be x or y"),
        (lambda tensors: None, {"shape": "[64, 99999999]"}, "more than a scheme has|shape must"),
        (lambda tensors: None, {"shape": "[1e9]"}, "shape must be"),
        (lambda tensors: None, {"format": "another"}, "expected format"),
    ],
)
def test_coded_files_that_contradict_themselves_are_refused(change, header, says, tmp_path) -> None:
    from safetensors import safe_open

    parts = {"basis": "none", "rates": "equal", "rounding": "nearest", "books": "matrix"}
    scheme = ql.design_scheme((A, B), 3, **parts)
    scheme.encode(A, "x").save(tmp_path / "coded")
    with safe_open(str(tmp_path / "coded"), "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        held = file.metadata()
    change(tensors)
    save_file(tensors, tmp_path / "coded", held | header)
    with pytest.raises(ValueError, match=says) as raised:
        ql.SchemeMatrix.load(tmp_path / "coded")
    assert str(raised.value).startswith(str(tmp_path / "coded"))


def test_long_work_tells_how_far_it_is_where_somebody_watches(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["report", "A.npy", "--bits", "1"]) == 0
    assert "report [" in capsys.readouterr().err
