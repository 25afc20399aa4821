"""The command line. `quantlab --help` lists the commands; each has a module here."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from quantlab import __version__
from quantlab.cli.common import Failure, Unusable

_ENDINGS = """\
exit status:
  0  done
  1  it could not be done: a file that cannot be written, a package that is not installed;
     of reproduce: measurement and theory differ
  2  what was given cannot be used: an option, a file, a matrix
  130, 141  stopped by Ctrl-C; nobody reads the output any more

matrices: A.npy, A.npz:NAME, A.csv (.tsv, .txt), A.safetensors:NAME; one of an array of more
dimensions: A.npy:[2,5], A.npz:NAME[2,5]; its transpose: A.npy:.T, A.npz:NAME.T; - is standard
input.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what it says."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["lab"] and not {"-h", "--help"} & set(given):
        from quantlab.cli.lab import run_lab

        return run_lab(given[1:])  # options too are JupyterLab's own
    options = _parser("measure" in given).parse_args(given)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # what is still in the buffer has no reader: Python must not try it again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Unusable as error:
        return _said(options, error, 2)
    except (Failure, OSError) as error:
        return _said(options, error, 1)
    except MemoryError:
        return _said(options, "not enough memory; quantlab.outofcore reads matrices in parts", 1)


def _said(options: argparse.Namespace, error: object, status: int) -> int:
    line = " ".join(f"{error}".split())
    print(f"quantlab {options.command}: {line}", file=sys.stderr)
    return status


def _parser(measures: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantlab", description="Optimal scalar quantization for matrix multiplication.",
        epilog=_ENDINGS, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"quantlab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    from quantlab.cli.bench import add_bench
    from quantlab.cli.coding import add_decode, add_encode, add_multiply
    from quantlab.cli.dashboard import add_dashboard
    from quantlab.cli.design import add_design
    from quantlab.cli.info import add_info
    from quantlab.cli.lab import add_lab
    from quantlab.cli.measure import add_measure
    from quantlab.cli.report import add_report
    from quantlab.cli.reproduce import add_reproduce
    from quantlab.gemm.cuda import device_name

    add_dashboard(commands)
    add_lab(commands)
    add_report(commands)
    add_design(commands)
    add_encode(commands)
    add_decode(commands)
    add_multiply(commands)
    add_info(commands)
    add_bench(commands)
    # torch takes a second to say whether there is a GPU: asked only where the answer matters
    add_measure(commands, device_name() if measures else None)
    add_reproduce(commands)
    return parser
