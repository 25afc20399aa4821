"""What the high-resolution theory promises, beside what finitely many levels give: no sampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantlab.distortion import asymptotic_mse
from quantlab.experiments.designs import codebooks, exact
from quantlab.pairs import GaussianPair
from quantlab.sweep import Row


def constant_table(
    rhos: Sequence[float] = (0.0, 0.3, 0.5, 0.5774, 0.7, 0.8, 0.9, 0.95),
    n_levels: Sequence[int] = (4, 8, 16, 32, 64, 128, 256),
    design: str = "closed_form",
) -> list[Row]:
    r"""The K^-2 law: exact error at k = 1 over its leading term, and its local slope.

    .. math:: \mathrm{ratio} = \frac{\mathrm{mse}(K)}{2 c(\rho) / K^2}, \qquad
              \mathrm{slope} = \frac{\Delta \log \mathrm{mse}}{\Delta \log K}

    Returns
    -------
    list of dict
        `rho`, `levels`, `mse`, `leading`, `ratio` (tends to 1), `slope` (tends to -2; from the
        row before, absent in the first).

    Examples
    --------
    >>> [round(row["ratio"], 3) for row in constant_table([0.8], [64, 128])]
    [0.99, 0.995]
    """
    rows: list[Row] = []
    for rho in rhos:
        pair, before = GaussianPair(rho), None
        for levels in n_levels:
            mse = exact(pair, design, levels, 1).mse
            leading = asymptotic_mse(pair, levels, weighted=design != "gaussian_compander")
            row = {"rho": rho, "levels": levels, "mse": mse, "leading": leading}
            row["ratio"] = mse / leading
            if before is not None:
                row["slope"] = float(np.log(mse / before[1]) / np.log(levels / before[0]))
            before = levels, mse
            rows.append(row)
    return rows


def transition_table(
    rhos: Sequence[float] = tuple(np.round(np.linspace(0.3, 1.0, 29), 4)),
    n_levels: int = 256,
    design: str = "closed_form",
    inner_dim: int = 256,
) -> list[Row]:
    r"""The pitchfork as codebooks show it: where their centres lie closest together.

    .. math:: u_\mathrm{peak} = \pm\sqrt{3 - 1/\rho^2} \quad (|\rho| > 1/\sqrt 3)

    Returns
    -------
    list of dict
        `rho`, `densest` (distance from 0 of the smallest gap's middle, in standard deviations),
        `peak` (the closed form's), `middle` (central gap over the smallest: 1 while the middle is
        the densest place).

    Examples
    --------
    >>> [round(row["densest"], 2) for row in transition_table([0.5, 0.8])]
    [0.0, 1.19]
    """
    rows = []
    for rho in rhos:
        pair = GaussianPair(float(rho))
        centers = codebooks(pair, design, n_levels, inner_dim)[0].centers
        gaps, middles = np.diff(centers), 0.5 * (centers[1:] + centers[:-1])
        central = float(np.interp(0.0, middles, gaps))
        # ties within rounding: the middle gap of a symmetric codebook comes first
        near = np.flatnonzero(gaps <= gaps.min() * (1 + 1e-9))
        densest = float(np.abs(middles[near]).min())
        rows.append({
            "rho": float(rho), "densest": densest, "peak": pair.peaks()[-1],
            "middle": central / float(gaps.min()),
        })  # fmt: skip
    return rows


def closed_form_losses(
    rhos: Sequence[float] = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
    n_levels: Sequence[int] = (2, 4, 8, 16, 32, 64, 128, 256),
    inner_dims: Sequence[int] = (1, 16, 256, 4096),
) -> list[Row]:
    r"""Where the closed form is worse than the plain compander, and why: its bias.

    .. math:: \mathrm{ratio} = \frac{\mathrm{nmse}(\text{closed form})}
                                    {\mathrm{nmse}(\text{Gaussian compander})}

    Returns
    -------
    list of dict
        `rho`, `levels`, `inner_dim`, `ratio` (above 1: the closed form loses), `ratio_with_gain`
        (both with their own best gain), `bias_share` and `plain_bias_share` (of each one's error).

    Examples
    --------
    >>> row, = closed_form_losses([0.95], [4], [4096])
    >>> round(row["ratio"], 1), round(row["ratio_with_gain"], 2), round(row["bias_share"], 2)
    (12.7, 1.02, 1.0)
    """
    rows = []
    for inner_dim in inner_dims:
        for levels in n_levels:
            for rho in rhos:
                pair = GaussianPair(rho)
                own = exact(pair, "closed_form", levels, inner_dim)
                plain = exact(pair, "gaussian_compander", levels, inner_dim)
                rows.append({
                    "rho": rho, "levels": levels, "inner_dim": inner_dim,
                    "ratio": own.nmse / plain.nmse,
                    "ratio_with_gain": own.nmse_with_gain / plain.nmse_with_gain,
                    "bias_share": own.bias_share, "plain_bias_share": plain.bias_share,
                })  # fmt: skip
    return rows
