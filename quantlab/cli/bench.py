"""`quantlab bench`: how fast this machine codes and multiplies, in a minute."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np

from quantlab.cli.common import add_command, progress, to_json
from quantlab.progress import Meter

#: (m, k, n): one token's layer, a small product, a square one.
SHAPES = ((1, 4096, 4096), (128, 256, 128), (1024, 1024, 1024))
_MOST_ROUNDS = 50


@dataclass(frozen=True)
class Timing:
    """Median and fastest of some rounds, and the median's ratio to numpy's of the same shape."""

    what: str
    shape: tuple[int, ...]
    milliseconds: float
    least_milliseconds: float
    rounds: int
    of_numpy: float | None


def add_bench(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "bench", "time coding and products on this machine, in a minute",
        "Time coding and products beside numpy's float32 product, in turns, on this machine as it "
        "is\nnow. Close what else runs.",
        "quantlab bench\nquantlab bench --seconds 10 --json",
    )  # fmt: skip
    parser.add_argument("--seconds", type=_seconds, default=40.0, metavar="S",
                        help="of measuring, beside compilation; default: 40")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="machine and rows, every digit")
    parser.set_defaults(run=_bench)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"a number above 0 and up to 3600; got {text!r}")
    return value


def _bench(options: argparse.Namespace) -> int:
    parts = list(_parts())
    share, rows = options.seconds / len(parts), []
    with Meter(progress("bench"), len(parts), label="bench") as meter:
        for shape, contenders in parts:
            rows += raced(shape, contenders(), share)
            meter.add()
    if options.json:
        print(to_json({"machine": _machine(), "rows": [asdict(row) for row in rows]}))
        return 0
    print(", ".join(f"{name} {value}" for name, value in _machine().items()) + "\n")
    print(f"| {'what':33} | {'shape':18} | median ms |  best ms | of numpy |")
    print(f"|{'-' * 35}|{'-' * 20}|----------:|---------:|---------:|")
    for row in rows:
        ratio = "" if row.of_numpy is None else f"{row.of_numpy:.2f}"
        print(
            f"| {row.what:33} | {' x '.join(map(str, row.shape)):18} | {row.milliseconds:9.3f} | "
            f"{row.least_milliseconds:8.3f} | {ratio:>8} |"
        )
    return 0


Contenders = dict[str, Callable[[], object]]


def _parts() -> Iterator[tuple[tuple[int, ...], Callable[[], Contenders]]]:
    for shape in SHAPES:
        yield shape, lambda shape=shape: _products(shape)  # type: ignore[misc]
    yield (1024, 1024), _coding


def _products(shape: tuple[int, int, int]) -> Contenders:
    import quantlab as ql

    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size, dtype=np.float32) for size in ((m, k), (k, n)))
    few, many = (ql.design_companding(ql.GaussianPair(0.7), levels)[0] for levels in (16, 256))
    a4, b4, a8, b8 = (ql.encode(x, book) for book in (few, many) for x in (a, b))
    a4_packed, b4_packed = a4.pack(), b4.pack()
    return {
        "numpy float32": lambda: a @ b,
        "quantlab 4 x 4 bits": lambda: ql.matmul(a4, b4),
        "quantlab 4 x 4 bits, packed": lambda: ql.matmul(a4_packed, b4_packed),
        "quantlab 8 x 8 bits": lambda: ql.matmul(a8, b8),
        "quantlab float32 x 4 bits, packed": lambda: ql.matmul(a, b4_packed),
    }


def _coding() -> Contenders:
    import quantlab as ql

    a = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    few, many = (ql.design_companding(ql.GaussianPair(0.7), levels)[0] for levels in (16, 256))
    coded = ql.encode(a, few)
    return {
        "encode, 16 levels": lambda: ql.encode(a, few),
        "encode, 256 levels": lambda: ql.encode(a, many),
        "encode, 16 levels, packed": lambda: ql.encode(a, few, packed=True),
        "decode, 16 levels": lambda: coded.decode(),
    }


def raced(shape: tuple[int, ...], contenders: Contenders, seconds: float) -> list[Timing]:
    """Rounds in turns until the time is over, after one that compiles."""
    for run in contenders.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    start, rounds = perf_counter(), 0
    while rounds < _MOST_ROUNDS and (rounds < 3 or perf_counter() - start < seconds):
        for name, run in contenders.items():
            before = perf_counter()
            run()
            taken[name].append(1e3 * (perf_counter() - before))
        rounds += 1
    medians = {name: statistics.median(times) for name, times in taken.items()}
    numpy = medians.get("numpy float32")
    return [
        Timing(name, shape, medians[name], min(times), rounds, numpy and medians[name] / numpy)
        for name, times in taken.items()
    ]


def _machine() -> dict[str, str]:
    from numba import __version__ as numba

    import quantlab

    return {
        "quantlab": quantlab.__version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba,
        "system": f"{sys.platform} {platform.machine()}",
        "processors": str(os.cpu_count()),
    }
