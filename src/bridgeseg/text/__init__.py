"""Class names -> class embeddings: one unit vector per class, from a text encoder that runs once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bridgeseg.classes import ClassSet
from bridgeseg.text.base import TextEncoder
from bridgeseg.text.encoders import DEFAULT_ENCODER, open_encoder
from bridgeseg.text.prompts import class_vectors, phrase_vectors, resolve_templates
from bridgeseg.text.store import cached, entry, load_embeddings, save_embeddings

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
        InputError: the encoder cannot be fetched or used, a phrase is unknown to it or too long, no such templates.
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


def missing(
    classes: ClassSet,
    encoder: str = DEFAULT_ENCODER,
    *,
    templates: str | Sequence[str] = "photo",
    cache_dir: str | Path | None = None,
) -> bool:
    """Say whether `embed` would have to fetch a text encoder from the network; nothing is loaded.

    Arguments and errors are those of `embed`.
    """
    source = open_encoder(encoder)
    identity = source.identity()
    if identity is None or entry(_key(identity, *_sentences(classes, source, templates)), cache_dir).is_file():
        return False
    return not source.here()


def _sentences(
    classes: ClassSet, source: TextEncoder, templates: str | Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the distinct phrases of all classes, sorted, and the templates that an encoder gets them in."""
    chosen = resolve_templates(templates)  # a mistake in them is one for every encoder
    return sorted({phrase for own in classes.prompts for phrase in own}), chosen if source.uses_templates else ("{}",)


def _key(identity: dict[str, Any], phrases: list[str], chosen: tuple[str, ...]) -> dict[str, Any]:
    """Return what stored vectors are found by: of a model of the hub by its name, for its commit may not be known."""
    known = {name: value for name, value in identity.items() if name != "commit"}
    return {"format": 1, **known, "templates": list(chosen), "phrases": phrases}


def _encode(
    classes: ClassSet, encoder: str, templates: str | Sequence[str], cache_dir: str | Path | None
) -> tuple[list[str], torch.Tensor]:
    """Return the distinct phrases of all classes, sorted, and their unit vectors."""
    source = open_encoder(encoder)
    phrases, chosen = _sentences(classes, source, templates)
    identity = source.identity()

    def compute() -> torch.Tensor:
        return phrase_vectors(source.encode, phrases, chosen)

    def commit() -> str | None:
        found: str | None = (source.identity() or {}).get("commit")
        return found

    if identity is None:
        return phrases, compute()
    return phrases, cached(_key(identity, phrases, chosen), phrases, compute, cache_dir, commit)
