"""A file of embeddings as text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bridgeseg.errors import ConfigError
from bridgeseg.text.store import Embeddings, load_embeddings
from bridgeseg.vocabulary.embeddings import find_rows, not_among


class FileEncoder:
    """Look up phrases in a file of embeddings, made by `save_embeddings` or any other tool.

    The vectors carry their templates already, so templates do not apply.

    Args:
        path: safetensors file, tensor `embeddings` (K', D) of any floating dtype, metadata `names` (JSON list).
    """

    uses_templates = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Embeddings | None = None

    def here(self) -> bool:
        """Say that it needs no network."""
        return True

    def identity(self) -> None:
        """Return None: the file is as quick to read as a cache."""
        return

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the vectors of N phrases, (N, D) float32, unit length.

        A name matches in its exact spelling, else whatever its case, with `_` as a space.

        Raises:
            ModelFileError: not a file of embeddings.
            ConfigError: phrases that are not in the file.
        """
        content = self._content = self._content or load_embeddings(self.path)
        found = find_rows(texts, content.names)
        missing = [text for text, row in zip(texts, found, strict=True) if row is None]
        if missing:
            raise ConfigError(
                f"not among the {len(content.names)} embeddings of this file: {not_among(missing, content.names)}",
                where=self.path,
                fix="under `prompts` in data.yaml give these classes phrases that the file has, or, if they are asked "
                "for, as in `names=road, nothing=thing`; or use another encoder",
            )
        return content.vectors[[row for row in found if row is not None]]
