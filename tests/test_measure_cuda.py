"""Trials on a device: the law they sample, and their errors, against the trials of the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab import measure_cuda

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPE = (6, 20, 7)


def run(pair: ql.Pair, designs: dict, trials: int = 5, rng: int = 3, shape=SHAPE) -> np.ndarray:
    rows = measure_cuda.device_trials(pair, designs, shape, trials, rng, DEVICE)
    return np.array(list(rows))


def test_errors_are_the_definition() -> None:
    pair = ql.GaussianPair(rho=-0.6, sigma_x=2.0, sigma_y=0.5)
    designs = {str(k): ql.design_companding(pair, k) for k in (4, 16, 256)}
    seeds = [(3, trial) for trial in range(5)]
    a, b = measure_cuda.sample_batch(pair, SHAPE, seeds, DEVICE)
    a, b = (x.cpu().numpy() for x in (a, b))
    exact = a.astype(float) @ b.astype(float)
    expected = [
        [np.mean((exact[t] - x.quantize(a[t]) @ y.quantize(b[t])) ** 2) / pair.energy(20)
         for x, y in designs.values()]
        for t in range(5)
    ]  # fmt: skip
    # products rounded to float32; the error of 256 levels is 1e-5 of them
    assert_allclose(run(pair, designs), expected, rtol=1e-3)


@pytest.mark.parametrize(
    "pair",
    [ql.GaussianPair(-0.8, 2.0, 0.5), ql.StudentTPair(0.7, nu=5), ql.UniformCopulaPair(0.6)],
    ids=lambda pair: type(pair).__name__,
)
def test_samples_follow_the_law(pair) -> None:
    seeds = [(0, trial) for trial in range(3000)]
    a, b = measure_cuda.sample_batch(pair, (2, 8, 2), seeds, DEVICE)
    assert a.dtype == b.dtype == torch.float32
    x, y = a[:, 1].double().cpu().numpy().ravel(), b[:, :, 0].double().cpu().numpy().ravel()
    # 24,000 draws: 6 standard errors; the fourth moments of nu = 5 are wide
    assert_allclose(x.std(), pair.sigma_x, rtol=0.06)
    assert_allclose(y.std(), pair.sigma_y, rtol=0.06)
    assert_allclose(np.corrcoef(x, y)[0, 1], pair.rho, atol=0.05)
    # entries of a row are independent of each other
    assert abs(np.corrcoef(a[:, 0, 0].cpu(), a[:, 0, 1].cpu())[0, 1]) < 0.11


def test_device_and_host_measure_the_same_error() -> None:
    pair = ql.GaussianPair(rho=0.8)
    books = ql.design_companding(pair, 8)
    host = ql.measure(pair, *books, 32, m=16, n=16, trials=300)
    device = run(pair, {"": books}, 300, shape=(16, 32, 16))[:, 0]
    error = np.hypot(host.per_trial.std(), device.std()) / np.sqrt(300)
    assert abs(host.nmse - device.mean()) < 4 * error


def test_device_and_host_measure_the_same_error_with_feedback() -> None:
    pair = ql.GaussianPair(rho=0.8)
    books = ql.design_companding(pair, 8)
    host = ql.measure(pair, *books, 32, m=40, n=16, trials=200, rounding="feedback")
    rows = measure_cuda.device_trials(pair, {"": books}, (40, 32, 16), 200, 3, DEVICE, True)
    device = np.array(list(rows))[:, 0]
    error = np.hypot(host.per_trial.std(), device.std()) / np.sqrt(200)
    assert abs(host.nmse - device.mean()) < 4 * error
    assert device.mean() < 0.5 * run(pair, {"": books}, 200, shape=(40, 32, 16)).mean()


def test_feedback_on_a_device_is_that_of_the_host(monkeypatch) -> None:
    """The same matrices: codes agree to the bit, products to the rounding of float32."""
    pair = ql.UniformCopulaPair(0.7)  # drawn on the host, from the trial's own stream
    books = ql.design_companding(pair, 8)
    monkeypatch.setattr("quantlab.gemm.cuda.require_device", lambda: DEVICE)
    host, device = (
        ql.measure(pair, *books, 20, m=9, n=7, trials=4, backend=backend, rounding="feedback")
        for backend in ("reference", "cuda")
    )
    assert_allclose(device.per_trial, host.per_trial, rtol=1e-3)


def test_a_trial_depends_on_its_seed_alone(monkeypatch) -> None:
    pair = ql.StudentTPair(0.7, nu=5)
    designs = {"": ql.design_companding(pair, 8)}
    many = run(pair, designs, 6)
    assert_array_equal(run(pair, designs, 3), many[:3])
    assert not np.array_equal(run(pair, designs, 3, rng=4), many[:3])
    monkeypatch.setattr(measure_cuda, "_ENTRIES", 1)
    # one trial a batch: float32 sums may run in another order
    assert_allclose(run(pair, designs, 6), many, rtol=1e-4)


def test_measure_hands_the_trials_over(monkeypatch) -> None:
    pair = ql.GaussianPair(0.5)
    books = ql.design_companding(pair, 8)
    monkeypatch.setattr("quantlab.gemm.cuda.require_device", lambda: DEVICE)
    measured = ql.measure(pair, *books, 20, m=6, n=7, trials=5, rng=3, backend="cuda")
    assert_array_equal(measured.per_trial, run(pair, {"": books})[:, 0])
    assert measured.settings["backend"] == "cuda"


def test_bad_settings_are_refused_before_the_device_is_asked_for() -> None:
    pair = ql.GaussianPair(0.5)
    books = ql.design_companding(pair, 8)
    with pytest.raises(ValueError, match="rng must be at least 0; got -1"):
        ql.measure(pair, *books, 4, trials=2, rng=-1, backend="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_without_a_device_measure_says_so() -> None:
    pair = ql.GaussianPair(0.5)
    with pytest.raises(RuntimeError, match='backend "cuda" needs a CUDA device'):
        ql.measure(pair, *ql.design_companding(pair, 8), trials=2, backend="cuda")
