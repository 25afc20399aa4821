"""What matrices and files of lattice points ask of their code; imports run one way through here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class LatticeCode(Protocol):
    """See `VoronoiCode`."""

    @property
    def lattice(self) -> str: ...
    @property
    def bits(self) -> int: ...
    @property
    def multipliers(self) -> tuple[int, ...]: ...
    @property
    def unit(self) -> float: ...
    @property
    def dimension(self) -> int: ...
    @property
    def choice_bits(self) -> int: ...
    @property
    def offset(self) -> NDArray: ...
    def points(self, codes: NDArray[np.uint8]) -> NDArray[np.int8]: ...


#: "voronoi" -> the class of (lattice, bits, multipliers, unit); filled in where it is defined.
MAKERS: dict[str, Callable[[str, int, tuple[int, ...], float], LatticeCode]] = {}
