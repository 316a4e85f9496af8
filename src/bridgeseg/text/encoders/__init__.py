"""Text encoders by name: open_clip, Hugging Face, a file of embeddings, random vectors.

Each name means one encoder; when it cannot be loaded there is an error, never another encoder in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from bridgeseg.errors import ConfigError
from bridgeseg.extend import ENCODERS
from bridgeseg.text.encoders._file import FileEncoder

DEFAULT_ENCODER = "open_clip:ViT-B-16/openai"
KINDS = "open_clip:MODEL/WEIGHTS, hf:NAME-OR-FOLDER, FILE.safetensors, random:D or random:D/SEED"


class TextEncoder(Protocol):
    """What every text encoder offers; it is built from what follows `SCHEME:` in its name, and loads nothing then.

    Attributes:
        uses_templates: False when sentences make no sense to it, so that it gets the bare phrases.
    """

    uses_templates: bool

    def here(self) -> bool:
        """Say whether it can be used without network; nothing is loaded for it."""

    def identity(self) -> dict[str, Any] | None:
        """Return what its vectors depend on, JSON-ready, without loading the model; None when a cache is no use."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return (N, D) float32 vectors of unit length for N texts."""


def open_encoder(spec: str) -> TextEncoder:
    """Return the encoder that `spec` names; models are loaded when they are first used.

    Args:
        spec: `open_clip:MODEL/WEIGHTS` (a tag or a file; also `open_clip:local-dir:FOLDER`), `hf:NAME-OR-FOLDER`,
            `FILE.safetensors`, `random:D` or `random:D/SEED`, or the scheme of an encoder that a package brings.

    Raises:
        ConfigError: no such kind of encoder.
        ModelFileError: a file or folder that is named is missing or cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if rest and kind in ENCODERS:
        return ENCODERS.get(kind)(rest)
    if spec.endswith(".safetensors"):
        return FileEncoder(Path(spec).expanduser())
    raise ConfigError(f"no such text encoder: {spec!r}", where="text encoder", fix=f"allowed: {KINDS}")
