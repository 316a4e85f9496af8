"""Class embeddings of any names, in the space that a network was trained with: from what is at hand, without PyTorch.

Looked up in this order: a file that is named, the vectors of the network's own classes, the bank of its text encoder
that comes with the package, and at last the encoder, if it is installed and its weights lie on this machine. A bank of
other templates comes after the encoder.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridgeseg.classes import ClassSet
from bridgeseg.errors import BridgeSegError, ConfigError
from bridgeseg.vocabulary.asked import listed
from bridgeseg.vocabulary.bank import FILES, bank
from bridgeseg.vocabulary.embeddings import (
    Embeddings,
    Vectors,
    canonical,
    closest,
    find_rows,
    not_among,
    read,
    unit,
)
from bridgeseg.wording import join_names

ALIKE = 0.995
"""Cosine of two vectors of one phrase by one text encoder in the same templates, at least; 16 bits move them less."""
NEAR = 0.95
"""Cosine of two vectors of one phrase by one text encoder in much the same templates; MiniLM's of `photo` and of the
other sets have 0.72 to 0.91."""


MOST = 20
"""Names that a fix lists."""


class Vocabulary(NamedTuple):
    """What a network knows of names.

    Attributes:
        classes: those that it was trained with.
        vectors: their class embeddings (K, D), as it was trained with them.
        encoder: the text encoder as its training named it: a name, or that of a file of embeddings.
        templates: the sentences that names were put into, as its training named them.
        learned: whether the vectors are those of learned prompts, which no encoder gives for other names.
    """

    classes: ClassSet
    vectors: Vectors
    encoder: str | None = None
    templates: str | Sequence[str] = "photo"
    learned: bool = False

    @classmethod
    def of(cls, classes: ClassSet, vectors: Vectors, provenance: Mapping[str, Any]) -> Vocabulary:
        """Read what a provenance says of the text side of a training."""
        config = provenance.get("config")
        settings = config if isinstance(config, dict) else {}
        encoder, templates = provenance.get("text_encoder"), settings.get("templates", "photo")
        return cls(
            classes,
            vectors,
            encoder if isinstance(encoder, str) else None,
            templates if isinstance(templates, str | list) else "photo",
            settings.get("prompt") == "learned",
        )

    @property
    def space(self) -> str | None:
        """The text encoder in whose space the vectors are; None if that cannot be said.

        A file of embeddings need not say it: then it is the encoder whose bank has the same vectors for these names.
        """
        if self.learned:
            return None
        if self.encoder is not None and not self.encoder.endswith(".safetensors"):
            return canonical(self.encoder)
        return next((name for name in FILES if (self._likeness(bank(name)) or 0) > ALIKE), None)

    def is_near(self, other: Embeddings) -> bool:
        """Whether vectors of the same encoder were made in much the same templates as the network's own.

        The names that both have show it; if there are none, what is said of the templates.
        """
        found = self._likeness(other)
        return self.templates == "photo" if found is None else found > NEAR

    def _likeness(self, other: Embeddings | None) -> float | None:
        """Return the median cosine of the vectors of names that both have; None if they have none in common."""
        if other is None or other.vectors.shape[1] != self.vectors.shape[1]:
            return None
        single = [index for index, phrases in enumerate(self.classes.prompts) if len(phrases) == 1]
        rows = find_rows([self.classes.prompts[index][0] for index in single], other.names)
        pairs = [(index, row) for index, row in zip(single, rows, strict=True) if row is not None]
        own, others = unit(self.vectors[[index for index, _ in pairs]]), other.vectors[[row for _, row in pairs]]
        return float(np.median((own * others).sum(axis=1))) if pairs else None


def trained_names(classes: ClassSet, provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that a network was trained with, which may have got others since."""
    found = provenance.get("trained_names")
    return tuple(map(str, found)) if isinstance(found, list) else classes.names


def look_up(classes: ClassSet, known: Vocabulary, file: str | Path | None = None) -> Vectors:
    """Return the class embeddings (K, D) of classes for a network, of unit length.

    Of a class whose phrases are those of one that the network was trained with it is that one's own vector. Of the
    others, it is the mean over the vectors of their phrases, as in `bridgeseg.text.embed`.

    Args:
        classes: any names, each with its phrases.
        known: what the network was trained with.
        file: embeddings of the same text encoder, which are taken before all others.

    Raises:
        ConfigError: a phrase that is nowhere to be found, or a file of another text encoder.
        ModelFileError: the file cannot be read.
    """
    given = None if file is None else _checked(read(file), known, file)
    tables = [] if given is None else [given]
    single = {phrases[0]: row for row, phrases in enumerate(known.classes.prompts) if len(phrases) == 1}
    tables.append(Embeddings(known.vectors[list(single.values())], tuple(single), {}))
    shipped = bank(known.space)
    others = [] if shipped is None or shipped.vectors.shape[1] != known.vectors.shape[1] else [shipped]
    if others and known.is_near(others[0]):
        tables.append(others.pop())
    held = () if given is None else given.names
    own = {phrases: row for row, phrases in enumerate(known.classes.prompts) if None in find_rows(phrases, held)}
    wanted = sorted({phrase for phrases in classes.prompts if phrases not in own for phrase in phrases})
    found = _rows(wanted, tables)
    if missing := [phrase for phrase in wanted if phrase not in found]:
        found |= _encoded(missing, known) or _in_other_templates(missing, known, others, tables, classes)
    vectors = [
        known.vectors[own[phrases]] if phrases in own else unit(np.stack([found[one] for one in phrases]).mean(axis=0))
        for phrases in classes.prompts
    ]
    return np.stack(vectors).astype(np.float32)


def _checked(given: Embeddings, known: Vocabulary, file: str | Path) -> Embeddings:
    theirs, ours, width = given.encoder, known.space, known.vectors.shape[1]
    other = theirs is not None and ours is not None and theirs != ours
    if other or given.vectors.shape[1] != width:
        made = f"embeddings of {theirs or 'an unknown text encoder'} in {given.vectors.shape[1]} dimensions"
        raise ConfigError(
            f"{made}, and the network was trained with those of {ours or known.encoder or 'another'} in {width}",
            where=file,
            fix="give embeddings that the same text encoder made, with `bridgeseg.text.export_embeddings`",
        )
    return given


def _rows(phrases: Sequence[str], tables: Sequence[Embeddings]) -> dict[str, Vectors]:
    found: dict[str, Vectors] = {}
    for table in tables:
        left = [phrase for phrase in phrases if phrase not in found]
        places = zip(left, find_rows(left, table.names), strict=True)
        found |= {phrase: unit(table.vectors[row]) for phrase, row in places if row is not None}
    return found


def _encoded(phrases: Sequence[str], known: Vocabulary) -> dict[str, Vectors] | None:
    """Ask the text encoder itself; None if it is not installed or would have to be fetched."""
    if (encoder := known.space) is None:
        return None
    try:
        from bridgeseg.text import embed, missing
    except ModuleNotFoundError:
        return None
    classes = ClassSet.build(phrases)
    try:
        if missing(classes, encoder, templates=known.templates):
            return None
        vectors = embed(classes, encoder, templates=known.templates).vectors.numpy()
    except BridgeSegError:
        return None
    return dict(zip(phrases, vectors, strict=True)) if vectors.shape[1] == known.vectors.shape[1] else None


def _in_other_templates(
    missing: Sequence[str],
    known: Vocabulary,
    others: Sequence[Embeddings],
    tables: Sequence[Embeddings],
    classes: ClassSet,
) -> dict[str, Vectors]:
    """Take the vectors of the bank, though it is of other templates, where the encoder itself is not at hand.

    Raises:
        ConfigError: it lacks one of the phrases.
    """
    found = _rows(missing, others)
    if lacking := [phrase for phrase in missing if phrase not in found]:
        _refuse(lacking, known, [*tables, *others], classes)
    names = ", ".join(map(repr, missing[:5]))
    warnings.warn(
        f"the vectors of {names} are of other templates than the network was trained with, so that it may mistake "
        "things; they are right where the text encoder is installed, or in a file of embeddings made there",
        stacklevel=2,
    )
    return found


def _refuse(
    missing: Sequence[str], known: Vocabulary, tables: Sequence[Embeddings], classes: ClassSet
) -> dict[str, Vectors]:
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    text = not_among(missing[:5], names)
    more = f", and {len(missing) - 5} more" if len(missing) > 5 else ""
    if known.learned:
        reason = "the network's prompts are learned, so no text encoder has vectors of other names for it"
    elif known.space is None:
        reason = f"it is not known which text encoder made {known.encoder or 'the embeddings of this network'}"
    else:
        reason = f"the text encoder {known.space} is not on this machine"
    file = (
        "give a file of embeddings that has them, `embeddings=FILE.safetensors` (bridgeseg.text.export_embeddings "
        "writes one where the text encoder is)"
    )
    likely = {phrase: closest(phrase, names) for phrase in missing}
    if None in likely.values() or len(classes) > MOST:
        fix = f"say it in words that are known, or {file}"
    else:
        said = {phrase: near or phrase for phrase, near in likely.items()}
        prompts = [tuple(said.get(phrase, phrase) for phrase in phrases) for phrases in classes.prompts]
        others = ClassSet.build(classes.names, dict(zip(classes.names, prompts, strict=True)))
        fix = f"say it in words that are known, `names={join_names(listed(others))}`, or {file}"
    raise ConfigError(f"no vector is at hand for {text}{more}; {reason}", where="names", fix=fix)
