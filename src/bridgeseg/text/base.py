"""What a text encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class TextEncoder(Protocol):
    """What every text encoder offers; it is built from what follows `SCHEME:` in its name, and loads nothing then.

    Attributes:
        uses_templates: False when sentences make no sense to it, so that it gets the bare phrases.
    """

    uses_templates: bool

    def here(self) -> bool:
        """Say whether it can be used without network; nothing is loaded for it."""

    def identity(self) -> dict[str, Any] | None:
        """Return what its vectors depend on, JSON-ready, without loading the model; None when a cache is no use.

        A model of the hub adds its `commit`, None where it is not known without network.
        """

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return (N, D) float32 vectors of unit length for N texts."""
