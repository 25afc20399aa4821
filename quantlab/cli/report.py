"""`quantlab report`: every design side by side for one's own matrices."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING

from quantlab.cli.common import (
    Unusable,
    add_command,
    both_matrices,
    progress,
    say,
    telling,
    to_json,
    write,
)

if TYPE_CHECKING:
    from quantlab import DesignReport, GaussianReading
    from quantlab.data import Problem

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>quantlab report</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 15px/1.5 system-ui, sans-serif;
margin: 2em; overflow-x: auto }}</style>
{table}
</html>
"""


def add_report(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "report", "compare all designs for two matrices of your own",
        "Code two matrices by every design and format at some bits an entry, multiply, and list "
        "the\nerror of the product, the least first. A alone is multiplied by its transpose.",
        "quantlab report A.npy B.npy --bits 4\n"
        "quantlab report model.safetensors:layers.0.weight activations.npz:x --json > report.json\n"
        "quantlab report --gallery photo\n"
        "quantlab report --model FOLDER --bits 4",
    )  # fmt: skip
    add = parser.add_argument
    add("matrices", nargs="*", metavar="A [B]", help="A (m, k) and B (k, n); see quantlab --help")
    add(
        "--gallery",
        metavar="NAME",
        help="a real product that is shipped, on its held-out part; a wrong name tells them all",
    )
    add(
        "--model",
        metavar="NAME",
        help="a transformer, by folder or hub name: all products of its layers, and its heads",
    )
    add("--bits", type=int, default=4, help="of an entry, 1 to 8; default: 4")
    add("--held-out", nargs="+", action="append", metavar=("A", "B"),
        help="measure on these instead of those designed for; repeatable")  # fmt: skip
    add("--group", type=int, action="append", default=[], metavar="G",
        help="also formats with a scale for every G entries; repeatable")  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="settings and rows, every digit")
    how.add_argument("--markdown", action="store_true", help="a table to paste")
    how.add_argument("--html", metavar="FILE", help="a page; -: to standard output")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from quantlab import design_report, gaussian_reading
    from quantlab.data import problem

    if options.model is not None:
        from quantlab.cli.model_report import report_model

        return report_model(options)
    one = reading = None
    with telling():
        if options.gallery is not None:
            if options.matrices or options.held_out:
                raise Unusable("--gallery has its own matrices, held-out ones too")
            one = problem(options.gallery)
            pair, held_out = one.calibration, [one.held_out]
            reading = gaussian_reading(pair, options.bits, held_out=held_out)
        elif not options.matrices:
            raise Unusable("expected one matrix or two, A and B, or --gallery NAME; got none")
        else:
            pair = both_matrices(options.matrices)
            held_out = options.held_out and [both_matrices(each) for each in options.held_out]
        report = design_report(
            pair, options.bits, held_out=held_out, groups=options.group,
            progress=progress("report"),
        )  # fmt: skip
    if options.json:
        record = report.to_dict()
        if one and reading:
            said = {"ratio": reading.ratio, "trusted": reading.trusted, "rho": reading.law.rho}
            record |= {"gallery": asdict(one), "reading": said}
        print(to_json(record))
    elif options.markdown:
        print(report.to_markdown())
    elif options.html:
        page = _PAGE.format(table=report._repr_html_())
        if options.html == "-":
            print(page, end="")
        else:
            write(options.html, page.encode())
            best = report.rows[0]
            say(options.html, f"{options.html}: {best.design} is best, nmse {best.nmse:.3e}")
    else:
        if one and reading:
            print(_about(one, reading))
        print(_table(report))
    return 0


def _about(one: Problem, reading: GaussianReading) -> str:
    """What the problem is, and whether the closed form's law holds, before its error is read."""
    paragraphs = [
        f"{one.title}: {one.sentence}", f"Source: {one.source}; {one.licence}.",
        f"rho = {reading.law.rho:.3f}. {reading}", f"At 4 bits: {one.why}",
    ]  # fmt: skip
    return "\n".join([*(fill(each, 100) for each in paragraphs), ""])


def _table(report: DesignReport) -> str:
    """What is read in a terminal; --json has the rest."""
    settings = report.settings
    wide = max(len(row.design) for row in report.rows)
    lines = [
        f"{settings['pair']}, {settings['bits']} bits",
        "",
        f"{'design':{wide}}  bits/entry       nmse  dB over best  with gain  bias share",
    ]
    lines += [
        f"{row.design:{wide}}  {row.bits_per_entry:10.3f}  {row.nmse:9.3e}  {row.best_db:12.2f}  "
        f"{row.nmse_with_gain:9.3e}  {row.bias_share:10.3f}"
        for row in report.rows
    ]
    return "\n".join(lines)
