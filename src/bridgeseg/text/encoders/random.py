"""Random vectors as text encoder: a control."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError
from bridgeseg.extend import register_encoder

WIDEST = 8192
"""More than any text encoder has."""


@register_encoder("random")
class RandomEncoder:
    """Random unit vectors: the control that tells whether language matters, or only the layers around it.

    A phrase has the same vector whatever the order and number of classes.

    Args:
        name: `D`, the length of a vector, or `D/SEED`; other seeds give other vectors.

    Raises:
        ConfigError: no such name.
    """

    uses_templates = False

    def __init__(self, name: str) -> None:
        match = re.fullmatch(r"(\d+)(?:/(\d+))?", name)
        if not match or len(match[1]) > len(str(WIDEST)) or not 2 <= int(match[1]) <= WIDEST:
            raise ConfigError(
                f"random vectors need a width of 2 to {WIDEST} and maybe a seed, found {name!r}",
                where=f"random:{name}",
                fix="write random:512 or random:512/1",
            )
        self.width, self.seed = int(match[1]), int(match[2] or 0)

    def here(self) -> bool:
        """Say that it needs no network."""
        return True

    def identity(self) -> None:
        """Return None: the vectors are made quicker than they are read."""
        return

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one random direction per text, (N, D) float32, unit length."""
        rows = []
        for text in texts:
            digest = hashlib.sha256(f"{self.seed}/{text}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
            rows.append(torch.randn(self.width, generator=generator))
        return normalize(torch.stack(rows), dim=-1)
