"""The trials of `measure` on a device: many at once, in a few launches each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quantlab.codebook import Codebook
from quantlab.codes.thresholds import exact_thresholds
from quantlab.pairs import Pair
from quantlab.pairs._mixture import NormalMixture
from quantlab.scheme.rounding import feedback_of, feedback_tables, one_book

# entries of A, B and C held at once, about: 0.5 GB each as float32
_ENTRIES = 1 << 27


def device_trials(
    pair: Pair,
    designs: Mapping[str, tuple[Codebook, Codebook]],
    shape: tuple[int, int, int],
    trials: int,
    rng: int,
    device: Any,
    fed_back: bool = False,
) -> Iterator[list[float]]:
    """nmse of every design, trial by trial, for matrices of shape (m, k, n) on `device`.

    Matrices of trial t depend on `rng` and t alone, and on the kind of device: they are not those
    of the CPU. Normal mixtures are sampled there, other laws on the host. Products are float32
    without tf32; at most `_ENTRIES` are in flight. With `fed_back` the rows are coded as
    `measure` says, with each trial's own moments.
    """
    m, k, n = shape
    energy = pair.energy(k)
    books = [tuple(_Table(book, device) for book in pair_of) for pair_of in designs.values()]
    at_once = max(1, _ENTRIES // (m * k + k * n + m * n))
    for start in range(0, trials, at_once):
        seeds = [(rng, trial) for trial in range(start, min(trials, start + at_once))]
        a, b = sample_batch(pair, shape, seeds, device)
        yield from (_errors(a, b, books, fed_back) / (m * n * energy)).tolist()


def _errors(a: Any, b: Any, books: list, fed_back: bool) -> Any:
    """Squared Frobenius norms of A B - Aq Bq, float64 (trials, designs)."""
    import torch

    from quantlab.gemm.cuda.routes import without_tf32

    norms = []
    with without_tf32():
        c = torch.bmm(a, b)
        for book_x, book_y in books:
            x, y = book_x.nearest(a), book_y.nearest(b)
            if fed_back:
                x, y = _fed_back(a, b.mT, y.mT, book_x), _fed_back(b.mT, a, x, book_y).mT
            error = torch.baddbmm(c, x, y, alpha=-1)
            norms.append(torch.linalg.vector_norm(error, dim=(1, 2), dtype=torch.float64))
    return torch.stack(norms, dim=1).square()


def _fed_back(rows: Any, others: Any, nearest: Any, book: _Table) -> Any:
    """Decoded rows (trials, m, k), steered by the moments of (trials, n, k) and their errors."""
    import torch

    from quantlab.scheme.device_rounding import round_feedback_tensor

    k = rows.shape[2]
    wide = others.double()
    error = (wide - nearest).square().mean(dim=(1, 2))
    moments = wide.mT @ wide / wide.shape[1] + error[:, None, None] * torch.eye(k).to(wide)
    uppers, orders = zip(*map(feedback_of, moments.cpu().numpy()), strict=True)
    order = torch.from_numpy(np.stack(orders)).to(rows.device)[:, None]
    tables = feedback_tables(*one_book(book.codebook, k))[:2]
    codes = round_feedback_tensor(
        rows.take_along_dim(order, 2), np.stack(uppers), *tables, np.arange(k)
    )
    return book.centers[codes.int()].take_along_dim(order.argsort(), 2)


def sample_batch(
    pair: Pair, shape: tuple[int, int, int], seeds: list[tuple[int, int]], device: Any
) -> tuple[Any, Any]:
    """a (trials, m, k) and b (trials, k, n), float32, as `pair.sample_matrices` defines them."""
    import torch

    m, k, n = shape
    if not isinstance(pair, NormalMixture):
        drawn = [pair.sample_matrices(m, k, n, np.random.default_rng(seed)) for seed in seeds]
        a, b = (torch.from_numpy(np.stack(x)).to(device) for x in zip(*drawn, strict=True))
        return a, b
    a, b, z = (torch.empty(len(seeds), *x, device=device) for x in ((m, k), (k, n), (k,)))
    generator = torch.Generator(device)
    parts = []
    for i, seed in enumerate(seeds):
        generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        for x in (a, b, z):
            x[i].normal_(generator=generator)
        parts.append(pair._draw(k, np.random.default_rng(seed)))
    scale, rho = (
        torch.from_numpy(np.stack(x).astype(np.float32)).to(device)
        for x in zip(*parts, strict=True)
    )
    own = (1 - rho.abs()).sqrt()
    z *= rho.abs().sqrt()
    a = (a * own[:, None] + z[:, None]) * (pair.sigma_x * scale)[:, None]
    b = (b * own[:, :, None] + (rho.sign() * z)[:, :, None]) * (pair.sigma_y * scale)[:, :, None]
    return a, b


class _Table:
    """A codebook's thresholds and centres as float32 tensors of the device."""

    def __init__(self, codebook: Codebook, device: Any) -> None:
        import torch

        thresholds = exact_thresholds(codebook, np.dtype(np.float32))
        self.codebook = codebook
        self.thresholds = torch.from_numpy(thresholds).to(device)
        self.centers = torch.from_numpy(codebook.centers.astype(np.float32)).to(device)

    def nearest(self, x: Any) -> Any:
        import torch

        return self.centers[torch.bucketize(x, self.thresholds, out_int32=True)]
