"""The large fixed vocabulary that the constants of a text space are taken from."""

from __future__ import annotations

import torch
from torch import Tensor

from bridgeseg.settings.model import ModelConfig
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.encoders._file import FileEncoder
from bridgeseg.vocabulary.bank import LARGEST, bank
from bridgeseg.vocabulary.embeddings import Embeddings, read, unit

MANY = 100
"""Names of a file of embeddings that are enough to stand for the names of a language."""


def named_bank(encoder: str) -> Embeddings | None:
    """Return the bank of a text encoder with its names, vectors (N, D) of unit length; None if it has none.

    That is the bank that the package carries; of a file of embeddings, the bank of the encoder that the file was made
    with, else its own rows, if they are many; and of an encoder whose vectors cost nothing, those of common names.

    Args:
        encoder: see `bridgeseg.text.encoders.open_encoder`.

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
    return found


def bank_of(encoder: str) -> Tensor | None:
    """Return the vectors of `named_bank`, (N, D) float32."""
    found = named_bank(encoder)
    return None if found is None else torch.from_numpy(found.vectors)


def reference(encoder: str, vectors: Tensor) -> Tensor:
    """Return the bank of a text encoder, or, if it has none, the class embeddings (K, D) of the training themselves.

    Constants of either stay what they are when names are added later.
    """
    found = bank_of(encoder)
    return vectors if found is None or found.shape[1] != vectors.shape[1] else found


def constants(model: ModelConfig, encoder: str, vectors: Tensor) -> Tensor | None:
    """Return the `reference` of class embeddings (K, D) for an architecture that wants one; None for others."""
    wanted = model.text_space == "bank" or model.projection == "pca"
    return reference(encoder, vectors) if wanted else None
