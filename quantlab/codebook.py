"""A scalar quantizer: K centres and the K - 1 thresholds between their cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _display
from quantlab import _validate as check
from quantlab._files import whole_file
from quantlab._matrices import converted, real_values


@dataclass(frozen=True, eq=False)
class Codebook:
    r"""Scalar quantizer: K centres c_0 < ... < c_{K-1}, thresholds t_1 < ... < t_{K-1}.

    .. math:: q(x) = c_i \quad\text{for}\quad t_i < x \le t_{i+1}, \quad t_0 = -\infty, t_K = \infty

    A value equal to a threshold goes to the LOWER cell.

    Parameters
    ----------
    centers : array_like, shape (K,)
        Reproduction points in the data's own unit, strictly increasing, K >= 2.
    thresholds : array_like, shape (K - 1,), optional
        Cell borders in the data's own unit, strictly increasing. Default: the midpoints of
        neighbouring centres (nearest-centre cells).
    info : mapping, optional
        How the codebook was made (design, law, levels, ...): JSON values, saved along.

    Raises
    ------
    ValueError
        If K < 2, a value is NaN or infinite, an order is not strict, or the lengths disagree.

    Examples
    --------
    >>> cb = Codebook([-1.0, 0.0, 2.0])
    >>> cb.thresholds
    array([-0.5,  1. ])
    >>> cb.quantize([-0.5, 0.9, 7.0])
    array([-1.,  0.,  2.])
    """

    centers: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        centers: ArrayLike,
        thresholds: ArrayLike | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        c = check.finite_vector(centers, "centers")
        if c.size < 2:
            raise ValueError(f"a codebook needs at least 2 centers; got {c.size}")
        check.increasing(c, "centers")
        # halving first: the sum of two large centres must not overflow
        t = 0.5 * c[:-1] + 0.5 * c[1:] if thresholds is None else thresholds
        t = check.finite_vector(t, "thresholds")
        if t.size != c.size - 1:
            raise ValueError(
                f"{c.size} centers need {c.size - 1} thresholds; got {t.size} thresholds"
            )
        check.increasing(t, "thresholds")
        c.flags.writeable = t.flags.writeable = False
        object.__setattr__(self, "centers", c)
        object.__setattr__(self, "thresholds", t)
        object.__setattr__(self, "info", dict(info or {}))

    @property
    def n_levels(self) -> int:
        """K, the number of centres.

        Examples
        --------
        >>> Codebook([-1.0, 0.0, 2.0]).n_levels
        3
        """
        return self.centers.size

    @property
    def bits(self) -> int:
        """ceil(log2 K), the bits of one stored code.

        Examples
        --------
        >>> Codebook([-1.0, 0.0, 2.0]).bits
        2
        """
        return int(self.n_levels - 1).bit_length()

    def quantize(self, x: ArrayLike) -> NDArray[np.float64]:
        """q(x) in float64: the definition that every fast path is tested against.

        Parameters
        ----------
        x : array_like, any shape
            Values in the data's own unit; infinities go to the outer centres.

        Returns
        -------
        ndarray of float64, the shape of x

        Raises
        ------
        TypeError
            If x does not hold real numbers.

        Examples
        --------
        >>> Codebook([-1.0, 0.0, 2.0]).quantize([[-0.6, 0.4]])
        array([[-1.,  0.]])
        """
        values = converted(real_values(x, "x"), np.dtype(np.float64))
        return self.centers[np.searchsorted(self.thresholds, values, side="left")]

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """`quantize`."""
        return self.quantize(x)

    def scaled(self, gain: float) -> Codebook:
        r"""The same cells, every centre times a gain: folds a gain on the product in.

        .. math:: q_g(x) = g\, q(x)

        Parameters
        ----------
        gain : float
            g > 0, such as `ExactError.gain`. Scale ONE of the two codebooks of a product.

        Returns
        -------
        Codebook
            Whose `info` has the gain.

        Raises
        ------
        ValueError, TypeError
            If the gain is not a positive number.

        Examples
        --------
        >>> scaled = Codebook([-1.0, 1.0]).scaled(1.5)
        >>> scaled.centers, scaled.thresholds
        (array([-1.5,  1.5]), array([0.]))
        """
        g = check.positive_real(gain, "gain")
        info = {**self.info, "gain": self.info.get("gain", 1.0) * g}
        return Codebook(self.centers * g, self.thresholds, info)

    def in_units(self, exponent: int) -> Codebook:
        """The quantizer of 2^e x in that unit: no digit changes.

        .. math:: q'(x) = 2^e q(2^{-e} x)

        Parameters
        ----------
        exponent : int
            e.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            If a centre or threshold leaves float64, or two of them fall together.

        Examples
        --------
        >>> Codebook([-1.0, 1.0]).in_units(3).centers
        array([-8.,  8.])
        """
        if exponent == 0:
            return self
        centers, thresholds = (np.ldexp(v, exponent) for v in (self.centers, self.thresholds))
        return Codebook(centers, thresholds, self.info)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers; `Codebook.from_dict` restores every bit.

        Returns
        -------
        dict
            centers (K numbers), thresholds (K - 1) and info.

        Examples
        --------
        >>> Codebook([-1.0, 1.0]).to_dict()
        {'centers': [-1.0, 1.0], 'thresholds': [0.0], 'info': {}}
        """
        return {
            "centers": self.centers.tolist(),
            "thresholds": self.thresholds.tolist(),
            "info": dict(self.info),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Codebook:
        """Inverse of `to_dict`.

        Parameters
        ----------
        record : mapping
            centers (K numbers), thresholds (K - 1) and, where it is there, info.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError, TypeError
            If a key is missing, which is named, or the numbers make no codebook.

        Examples
        --------
        >>> Codebook.from_dict({"centers": [-1, 1], "thresholds": [0]})
        Codebook(custom, K=2, [-1 .. 1])
        """
        missing = {"centers", "thresholds"} - set(record)
        if missing:
            raise ValueError(
                f"a codebook record needs centers and thresholds; missing {sorted(missing)}"
            )
        return cls(record["centers"], record["thresholds"], record.get("info"))

    def save(self, path: str | Path) -> None:
        """Write JSON; float64 values survive the round trip exactly.

        Parameters
        ----------
        path : path
            The file, whole or not at all: it is written beside and then takes its place.

        Raises
        ------
        OSError
            If it cannot be written there.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Codebook([-1.0, 0.1]).save(f"{folder}/x.json")
        ...     Codebook.load(f"{folder}/x.json") == Codebook([-1.0, 0.1])
        True
        """
        with whole_file(path) as beside:
            beside.write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Codebook:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Codebook

        Raises
        ------
        ValueError
            If it holds something else; the message names the file and what is wrong with it.
        OSError
            If there is no such file.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Codebook([-1.0, 0.1]).save(f"{folder}/x.json")
        ...     Codebook.load(f"{folder}/x.json").centers
        array([-1. ,  0.1])
        """
        try:
            record = json.loads(Path(path).read_text())
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a codebook in JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path} must hold a JSON object; got {type(record).__name__}")
        info = record.get("info") or {}
        if not isinstance(info, dict):
            raise ValueError(f"{path}: info must be a JSON object; got {type(info).__name__}")
        try:
            return cls.from_dict({**record, "info": info})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codebook):
            return NotImplemented
        return np.array_equal(self.centers, other.centers) and np.array_equal(
            self.thresholds, other.thresholds
        )

    def __hash__(self) -> int:
        return hash((self.centers.tobytes(), self.thresholds.tobytes()))

    def __repr__(self) -> str:
        name = self.info.get("design", "custom")
        return (
            f"Codebook({name}, K={self.n_levels}, "
            f"[{self.centers[0]:.4g} .. {self.centers[-1]:.4g}])"
        )

    def _repr_html_(self) -> str:
        made = {name: value for name, value in self.info.items() if name != "design"}
        values = {"levels": self.n_levels, "bits": self.bits, **made}
        title = f"Codebook: {self.info.get('design', 'custom')}"
        return _display.properties(title, values, self._rug())

    def _rug(self) -> str:
        return _display.rug(self.centers, self.thresholds)
