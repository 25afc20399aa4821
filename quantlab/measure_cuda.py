"""The trials of `measure` on a device: many at once, in a few launches each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quantlab.codebook import Codebook
from quantlab.pairs import Pair
from quantlab.pairs._mixture import NormalMixture

# entries of A, B and C held at once, about: 0.5 GB each as float32
_ENTRIES = 1 << 27


def device_trials(
    pair: Pair,
    designs: Mapping[str, tuple[Codebook, Codebook]],
    shape: tuple[int, int, int],
    trials: int,
    rng: int,
    device: Any,
) -> Iterator[list[float]]:
    """nmse of every design, trial by trial, for matrices of shape (m, k, n) on `device`.

    Matrices of trial t depend on `rng` and t alone, and on the kind of device: they are not those
    of the CPU. Normal mixtures are sampled there, other laws on the host. Products are float32
    without tf32; at most `_ENTRIES` are in flight.
    """
    m, k, n = shape
    energy = pair.energy(k)
    books = [tuple(_tables(book, device) for book in pair_of) for pair_of in designs.values()]
    at_once = max(1, _ENTRIES // (m * k + k * n + m * n))
    for start in range(0, trials, at_once):
        seeds = [(rng, trial) for trial in range(start, min(trials, start + at_once))]
        a, b = sample_batch(pair, shape, seeds, device)
        yield from (_errors(a, b, books) / (m * n * energy)).tolist()


def _errors(a: Any, b: Any, books: list) -> Any:
    """Squared Frobenius norms of A B - Aq Bq, float64 (trials, designs)."""
    import torch

    from quantlab.gemm.cuda.routes import without_tf32

    with without_tf32():
        c = torch.bmm(a, b)
        norms = [
            torch.linalg.vector_norm(
                torch.baddbmm(c, _quantized(a, *book_x), _quantized(b, *book_y), alpha=-1),
                dim=(1, 2),
                dtype=torch.float64,
            )
            for book_x, book_y in books
        ]
    return torch.stack(norms, dim=1).square()


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


def _tables(codebook: Codebook, device: Any) -> tuple[Any, Any]:
    import torch

    from quantlab.codes.thresholds import exact_thresholds

    thresholds = exact_thresholds(codebook, np.dtype(np.float32))
    centers = codebook.centers.astype(np.float32)
    return torch.from_numpy(thresholds).to(device), torch.from_numpy(centers).to(device)


def _quantized(x: Any, thresholds: Any, centers: Any) -> Any:
    import torch

    return centers[torch.bucketize(x, thresholds, out_int32=True)]
