"""Class names -> class embeddings: one unit vector per class, from a text encoder that runs once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bridgeseg.classes import ClassSet
from bridgeseg.text.encoders import DEFAULT_ENCODER, open_encoder
from bridgeseg.text.prompts import class_vectors, phrase_vectors, resolve_templates
from bridgeseg.text.store import cached, load_embeddings, save_embeddings

__all__ = ["DEFAULT_ENCODER", "ClassEmbeddings", "embed", "export_embeddings", "load_embeddings", "save_embeddings"]


@dataclass(frozen=True, eq=False)
class ClassEmbeddings:
    """Unit vectors of K classes, and where they come from.

    Attributes:
        vectors: (K, D) float32, unit length.
        encoder: the encoder as it was named.
        names: the K class names.
        phrases: for each class the phrases that its vector is the mean of.
    """

    vectors: torch.Tensor
    encoder: str
    names: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]


def embed(
    classes: ClassSet,
    encoder: str = DEFAULT_ENCODER,
    *,
    templates: str | Sequence[str] = "photo",
    cache_dir: str | Path | None = None,
) -> ClassEmbeddings:
    """Return the class embeddings of a class set.

    Over the templates of a phrase, and then over the phrases of a class, the mean of unit vectors is taken and made
    unit length. A model runs once per vocabulary: its result is kept in the cache.

    Args:
        classes: K classes; `classes.prompts` are the phrases that are encoded.
        encoder: see `bridgeseg.text.encoders.open_encoder`.
        templates: see `bridgeseg.text.prompts.resolve_templates`; files of embeddings and random vectors use none.
        cache_dir: folder of the cache; by default $BRIDGESEG_CACHE, else ~/.cache/bridgeseg.

    Raises:
        InputError: the encoder cannot be had or used, a phrase is unknown to it or too long, no such templates.
    """
    phrases, vectors = _encode(classes, encoder, templates, cache_dir)
    return ClassEmbeddings(class_vectors(vectors, phrases, classes.prompts), encoder, classes.names, classes.prompts)


def export_embeddings(
    path: str | Path,
    classes: ClassSet,
    encoder: str = DEFAULT_ENCODER,
    *,
    templates: str | Sequence[str] = "photo",
    cache_dir: str | Path | None = None,
) -> Path:
    """Write the embeddings of all phrases of a class set to a .safetensors file, which is an encoder itself.

    With that file as encoder `embed` gives the same vectors for the same classes on a machine without the model.
    Arguments and errors are those of `embed`.
    """
    phrases, vectors = _encode(classes, encoder, templates, cache_dir)
    return save_embeddings(path, vectors, phrases, encoder=encoder, templates=str(templates))


def _encode(
    classes: ClassSet, encoder: str, templates: str | Sequence[str], cache_dir: str | Path | None
) -> tuple[list[str], torch.Tensor]:
    """Return the distinct phrases of all classes, sorted, and their unit vectors."""
    source = open_encoder(encoder)
    chosen = resolve_templates(templates) if source.uses_templates else ("{}",)
    phrases = sorted({phrase for own in classes.prompts for phrase in own})
    identity = source.identity()

    def compute() -> torch.Tensor:
        return phrase_vectors(source.encode, phrases, chosen)

    if identity is None:
        return phrases, compute()
    key = {"format": 1, **identity, "templates": list(chosen), "phrases": phrases}
    return phrases, cached(key, phrases, compute, cache_dir)
