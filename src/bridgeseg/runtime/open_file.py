"""Files that take any names: their second input `class_embeddings` (K, D), and what their metadata says of it.

`bridgeseg.open` is a JSON object: `embeddings`, those of the file's own classes as base64 of float32, and the text
encoder, templates and learned prompts of the training (see `vocabulary.lookup.Vocabulary`), so that embeddings of
another text encoder can be told.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.runtime.taking import Signature
from bridgeseg.vocabulary.embeddings import Vectors
from bridgeseg.vocabulary.lookup import Vocabulary
from bridgeseg.wording import shown

INPUT = "class_embeddings"
KEY = "bridgeseg.open"
MOST = 256
"""Names whose ids fit the 8 bits that a file gives them in."""


def describe(known: Vocabulary) -> str:
    """Return what the metadata says of the classes of a file, under `KEY`."""
    content = np.ascontiguousarray(known.vectors, "<f4").tobytes()
    facts = {
        "text_encoder": known.space or known.encoder,
        "templates": known.templates,
        "learned": known.learned,
        "width": known.vectors.shape[1],
        "embeddings": base64.b64encode(content).decode(),
    }
    return json.dumps(facts)


def own_vectors(inputs: Mapping[str, Signature], metadata: Mapping[str, str], path: Path) -> Vectors | None:
    """Return the class embeddings (K, D) of a file's own classes; None if it takes none.

    Raises:
        ModelFileError: they are missing or damaged, or of another width than the input.
    """
    if INPUT not in inputs:
        return None
    kind, shape = inputs[INPUT]
    facts = _facts(metadata, path)
    try:
        content, width = base64.b64decode(facts["embeddings"], validate=True), facts["width"]
        vectors = np.frombuffer(content, "<f4").reshape(-1, width).astype(np.float32)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise _damaged(f"`embeddings` are no vectors: {shown(error)}", path) from error
    if kind != "float" or len(shape) != 2 or shape[1] != width or not np.isfinite(vectors).all():
        raise _damaged(f"`{INPUT}` is {kind} {shape}, and the vectors are {list(vectors.shape)}", path)
    return vectors


def vocabulary(classes: ClassSet, vectors: Vectors, metadata: Mapping[str, str], path: Path) -> Vocabulary:
    """Return what a file knows of names.

    Raises:
        ModelFileError: its metadata is damaged.
    """
    facts = _facts(metadata, path)
    encoder, templates = facts.get("text_encoder"), facts.get("templates", "photo")
    if not isinstance(encoder, str | None) or not isinstance(templates, str | list):
        raise _damaged(f"`text_encoder` is {shown(encoder)}, `templates` are {shown(templates)}", path)
    return Vocabulary(classes, vectors, encoder, templates, facts.get("learned") is True)


def check_count(classes: ClassSet, own: int, path: Path) -> None:
    """Refuse more names than the ids of a file can tell apart.

    Raises:
        ConfigError: more than `MOST`, for a file that was exported with at most so many.
    """
    if len(classes) > MOST >= own:
        message = f"{len(classes)} names for a file whose ids have 8 bits, which tell {MOST} apart"
        fix = "ask for fewer, or export the run with as many: bridgeseg export --model RUN --open --names FILE.yaml"
        raise ConfigError(message, where=path, fix=fix)


def _facts(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(metadata[KEY])
    except (KeyError, ValueError, RecursionError) as error:
        raise _damaged(f"`{KEY}` is missing, or no JSON: {shown(error)}", path) from error
    if not isinstance(facts, dict):
        raise _damaged(f"`{KEY}` must be a JSON object, found {type(facts).__name__}", path)
    return facts


def _damaged(message: str, path: Path) -> ModelFileError:
    return ModelFileError(f"its metadata: {message}", where=path, fix="copy or export it again")
