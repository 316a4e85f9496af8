"""The large fixed vocabulary that the constants of a text space are taken from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bridgeseg.classes import ClassSet
from bridgeseg.settings.model import ModelConfig
from bridgeseg.text import embed
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.encoders._file import FileEncoder
from bridgeseg.vocabulary.bank import LARGEST, bank
from bridgeseg.vocabulary.embeddings import Embeddings, read, unit

MANY = 100
"""Names of a file of embeddings that are enough to stand for the names of a language."""


def named_bank(encoder: str, templates: str | Sequence[str] = "photo") -> Embeddings | None:
    """Return the bank of a text encoder with its names, vectors (N, D) of unit length; None if it has none.

    That is the bank that the package carries, or its names encoded in other templates; of a file of embeddings, the
    bank of the encoder that the file was made with, else its own rows, if they are many; and of an encoder whose
    vectors cost nothing, those of common names.

    Args:
        encoder: see `bridgeseg.text.encoders.open_encoder`.
        templates: see `bridgeseg.text.prompts.resolve_templates`.

    Raises:
        InputError: no such encoder, or its file cannot be used.
    """
    source = open_encoder(encoder)
    if isinstance(source, FileEncoder):
        own = read(source.path)
        found = bank(own.encoder)
        if found is not None and found.vectors.shape[1] == own.vectors.shape[1]:
            return found
        return own._replace(vectors=unit(own.vectors)) if len(own.names) >= MANY else None
    found = bank(encoder)
    common = bank(LARGEST) if found is None and source.identity() is None else None
    if common is not None:
        return Embeddings(source.encode(common.names).numpy(), common.names, {})
    if found is None or templates == "photo":
        return found
    return found._replace(vectors=embed(ClassSet.build(found.names), encoder, templates=templates).vectors.numpy())


def reference(encoder: str, vectors: Tensor, templates: str | Sequence[str] = "photo") -> Tensor:
    """Return the bank of a text encoder, or, if it has none, the class embeddings (K, D) of the training themselves.

    Constants of either stay what they are when names are added later. Arguments and errors are those of `named_bank`.
    """
    found = named_bank(encoder, templates)
    same = found is not None and found.vectors.shape[1] == vectors.shape[1]
    return torch.from_numpy(found.vectors) if found is not None and same else vectors


def constants(
    model: ModelConfig, encoder: str, vectors: Tensor, templates: str | Sequence[str] = "photo"
) -> Tensor | None:
    """Return the `reference` of class embeddings (K, D) for an architecture that wants one; None for others."""
    wanted = model.text_space == "bank" or model.projection == "pca"
    return reference(encoder, vectors, templates) if wanted else None
