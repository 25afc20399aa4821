"""The Limits tab in process."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from quantlab.dashboard.session import Session
from quantlab.limits import floor_nmse
from tests.dashboard.waiting import until


def test_points_and_curves_follow_rho() -> None:
    session = Session({"page": "limits"})
    page = session._pages["limits"]
    points = page.points.data
    over = 10 * np.log10(np.array(points["nmse"]) / [floor_nmse(b) for b in points["bits"]])
    assert_allclose(points["dB"], over, atol=1e-9)
    assert min(points["dB"]) > 0  # the floor of independent matrices
    assert all(low <= dB <= high for low, dB, high in zip(
        points["low"], points["dB"], points["high"], strict=True))  # fmt: skip
    assert page.rung_text.text.count(" to ") == 2  # no number without its interval
    assert "no code is below 0 dB" in page.rung_text.text
    assert_allclose(page.curves[1].data["dB"][-1], 1.53, atol=0.02)  # what shape costs
    page.rho.value = 0.95
    until(lambda: "two peaks" in page.density_text.text)
    u, entropy = page.densities.data["u"], page.densities.data["entropy"]
    assert entropy[u.size // 2] == min(entropy)
    assert np.argmax(page.densities.data["feedback"]) == u.size // 2
    assert "a yardstick alone" in page.rung_text.text
    assert page.curves[1].data["dB"][0] < page.curves[2].data["dB"][0]
    before = page.cell_text.text
    page.drop.clicks += 1
    until(lambda: page.cell_text.text != before)
    assert "0.0833" in before
    assert before.count(" ± 0.00") == 2
    session.close()
