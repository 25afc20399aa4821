"""`quantlab measure` on the command line: designs at one setting, in exact theory and measured."""

from __future__ import annotations

import argparse
from typing import Any

from quantlab import DESIGNS
from quantlab.cli.common import add_command, telling


def add_measure(commands: Any, device: str | None) -> None:
    """Add the subcommand to argparse's `commands`; `device` names the GPU, where there is one."""
    parser = add_command(
        commands, "measure", "measure the product's error of the designs for a Gaussian pair",
        "Sample Gaussian pairs of matrices, quantize both with every design, multiply, and print "
        "the\nproduct's error beside the exact one. Rare large entries carry much of the error: "
        "with few\ntrials the mean mostly comes out low and its interval too short.",
        "quantlab measure --rho 0.9 --levels 16 --trials 200 --designs closed_form bilinear",
    )  # fmt: skip
    add = parser.add_argument
    add("--rho", type=float, default=0.9, help="correlation, -1 to 1; default: 0.9")
    add("--levels", type=int, default=16, metavar="K", help="levels of both codebooks; default: 16")
    add("--shape", type=int, nargs=3, default=(128, 256, 128), metavar=("M", "K", "N"),
        help="A is M x K, B is K x N; default: 128 256 128")  # fmt: skip
    add("--trials", type=int, default=200, help="default: 200")
    add("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS), metavar="DESIGN",
        help="any of " + ", ".join(DESIGNS) + "; default: all")  # fmt: skip
    add("--rounding", choices=("nearest", "feedback"), default="nearest",
        help="feedback: each operand steered by the other's moments, beside the law that this "
        "tends to; default: nearest")  # fmt: skip
    add("--seed", type=int, default=0, help="default: 0")
    if device is not None:
        add("--backend", choices=("cpu", "cuda"), default="cpu",
            help=f"cuda: {device}; default: cpu")  # fmt: skip
    parser.set_defaults(run=_measure, backend="cpu")


def _measure(options: argparse.Namespace) -> int:
    from quantlab import GaussianPair, exact_mse, measure_designs
    from quantlab.gemm.cuda import device_name

    m, k, n = options.shape
    with telling():
        pair = GaussianPair(options.rho)
        books = {name: DESIGNS[name](pair, options.levels, k) for name in options.designs}
        errors = measure_designs(
            pair, books, k, m=m, n=n, trials=options.trials, rng=options.seed,
            backend=options.backend, rounding=options.rounding,
        )  # fmt: skip
    where = device_name() if options.backend == "cuda" else "CPU"
    print(
        f"rho {options.rho:g}, K = {options.levels}, ({m}, {k}, {n}), {options.trials} trials, "
        f"seed {options.seed}, on {where}\n"
    )
    if options.rounding == "feedback":
        _print_feedback(pair, books, errors, k)
        return 0
    print(f"| {'design':18} | exact nmse |  measured | 95 % interval          | inside |")
    print(f"|{'-' * 20}|-----------:|----------:|------------------------|--------|")
    for name, error in errors.items():
        exact = exact_mse(pair, *books[name], k).nmse
        inside = "yes" if error.low <= exact <= error.high else "no"
        print(
            f"| {name:18} | {exact:10.3e} | {error.nmse:9.3e} | {error.low:.3e} to "
            f"{error.high:.3e} | {inside:6} |"
        )
    return 0


def _print_feedback(pair: Any, books: Any, errors: Any, k: int) -> None:
    """The table of measured errors over the law of feedback."""
    from quantlab import asymptotic_mse

    print(f"| {'design':18} |  measured | 95 % interval          | over the law |")
    print(f"|{'-' * 20}|----------:|------------------------|-------------:|")
    for name, error in errors.items():
        levels = tuple(book.n_levels for book in books[name])
        law = asymptotic_mse(pair, levels, k, rounding="feedback") / pair.energy(k)
        over = error.nmse / law if law else float("inf")  # no law is left at |rho| = 1
        print(
            f"| {name:18} | {error.nmse:9.3e} | {error.low:.3e} to {error.high:.3e} | "
            f"{over:12.3f} |"
        )
    print("\nThe law: leading order of the best density as the levels and then m, n >> k grow.")
