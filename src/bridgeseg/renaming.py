"""A checkpoint and names -> the same network with these names for its classes: the vocabulary is an input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from bridgeseg.checkpoint import Checkpoint
from bridgeseg.errors import ConfigError
from bridgeseg.models.counting import takes_any_names
from bridgeseg.vocabulary.asked import Names, asked
from bridgeseg.vocabulary.lookup import Vocabulary, look_up, trained_names


def takes_names(checkpoint: Checkpoint) -> bool:
    """Say whether a network takes other names than its own: language guides it, and no layer knows their number."""
    vectors = checkpoint.segmentor.class_embeddings
    return vectors is not None and takes_any_names(checkpoint.config, vectors.shape[1])


def vocabulary(checkpoint: Checkpoint) -> Vocabulary:
    """Return what the network of a checkpoint knows of names.

    Raises:
        ConfigError: it takes no others.
    """
    vectors = checkpoint.segmentor.class_embeddings
    if vectors is None or not takes_names(checkpoint):
        method, head = checkpoint.config.method, checkpoint.config.head
        reason = "which takes no names" if vectors is None else f"with head {head!r}, has layers that count its classes"
        raise ConfigError(
            f"this network knows its own {len(checkpoint.classes)} classes only: method {method!r}, {reason}",
            where="names",
            fix="leave `names` out, or train a network whose names are an input: bridgeseg train --method bridge",
        )
    return Vocabulary.of(checkpoint.classes, vectors.numpy(), checkpoint.provenance)


def renamed(checkpoint: Checkpoint, names: Names | None, embeddings: str | Path | None = None) -> Checkpoint:
    """Return a checkpoint whose network, which is not copied, has the class embeddings of other names.

    Scores go from its provenance, which gets `trained_names`.

    Args:
        checkpoint: of a network that is not folded yet.
        names: see `vocabulary.asked.asked`; None for its own.
        embeddings: a file of them; see `vocabulary.lookup.look_up`.

    Raises:
        ConfigError: the network takes no other names, or vectors of them are not at hand.
    """
    known = vocabulary(checkpoint)
    classes = checkpoint.classes if names is None else asked(names, checkpoint.classes)
    checkpoint.segmentor.class_embeddings = torch.from_numpy(look_up(classes, known, embeddings))
    facts = {key: value for key, value in checkpoint.provenance.items() if key != "scores"}
    facts["trained_names"] = list(trained_names(checkpoint.classes, checkpoint.provenance))
    return replace(checkpoint, classes=classes, provenance=facts)
