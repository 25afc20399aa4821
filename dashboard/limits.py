"""What this server admits, set once where it starts."""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.files.tensors import MEGABYTE


@dataclass
class Limits:
    """`upload`: largest uploaded file, in bytes."""

    upload: int = 50 * MEGABYTE

    @property
    def message(self) -> int:
        """Largest message from a browser, in bytes: a file travels as base64 with its name."""
        return 4 * self.upload // 3 + MEGABYTE


LIMITS = Limits()
