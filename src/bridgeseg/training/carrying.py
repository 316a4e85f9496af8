"""Weights of another network, carried over into one that knows other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bridgeseg.classes import ClassSet
from bridgeseg.data.finding import some
from bridgeseg.errors import ModelFileError
from bridgeseg.models.counting import TEXT_DIM, class_dimensions
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import ModelConfig
from bridgeseg.text import embed
from bridgeseg.text.encoders import open_encoder
from bridgeseg.training.origin import Origin
from bridgeseg.vocabulary.embeddings import canonical
from bridgeseg.wording import shown

EMBEDDINGS = "class_embeddings"
MOST = 6
"""Tensors and names that are listed."""


@dataclass(frozen=True)
class Carried:
    """What became of the weights.

    Attributes:
        whole: tensors that carried over as they are.
        rows: names whose rows carried over in tensors that have one for each name.
        fresh: tensors that start from scratch, or the rows of new names in them.
        unused: tensors of the file that this network has no place for.
    """

    whole: list[str]
    rows: list[str]
    fresh: list[str]
    unused: list[str]

    def lines(self, share: float = 0.0) -> list[str]:
        """Say it in lines for the log.

        Args:
            share: of these weights in those that are kept.
        """
        found = [f"{len(self.whole)} tensors carried over"]
        if share:
            found[0] += f", with a share of {share:g} in the weights that are validated and kept"
        if self.fresh:
            kept = f", but for the names that both know ({some(self.rows, MOST)})" if self.rows else ""
            found.append(f"starts from scratch: {some(self.fresh, MOST)}{kept}")
        if self.unused:
            found.append(f"not used: {some(self.unused, MOST)}")
        return found


def carry(segmentor: Segmentor, model: ModelConfig, names: Sequence[str], origin: Origin) -> Carried:
    """Load, in place, every weight that does not depend on the names; of those that do, the rows of names known there.

    Class embeddings are not carried: they are those of the text encoder, or see `kept_vectors`.

    Args:
        segmentor: a network as it was built.
        model: its architecture.
        names: K names that it is to know.
        origin: the weights.

    Raises:
        ModelFileError: the file is damaged, or holds no weights of this backbone.
    """
    found = _read(origin)
    text = segmentor.class_embeddings
    counted = class_dimensions(model, TEXT_DIM if text is None else text.shape[1])
    places = {name: index for index, name in enumerate(origin.names)}
    both = [name for name in names if name in places]
    pairs = [list(names).index(name) for name in both], [places[name] for name in both]
    own = {key: value for key, value in segmentor.state_dict().items() if key != EMBEDDINGS}
    carried = Carried([], [], [], [key for key in found if key not in own and key != EMBEDDINGS])
    with torch.no_grad():
        for key, value in own.items():
            old = found.get(key)
            if key in counted:
                if old is not None and both and _copy_rows(value, old, counted[key], *pairs, len(places)):
                    carried.rows[:] = both
                if old is None or len(carried.rows) < len(names):
                    carried.fresh.append(key)
            elif old is not None and old.shape == value.shape:
                value.copy_(old)
                carried.whole.append(key)
            else:
                carried.fresh.append(key)
    backbone = [key for key in own if key.startswith("backbone.")]
    if 2 * len({*backbone} & {*carried.whole}) < len(backbone):  # counters fit everywhere
        raise ModelFileError(
            f"holds no weights of the backbone {model.backbone}",
            where=origin.folder or origin.weights,
            fix="leave `model.backbone` out, so that it is that of the weights; a file of backbone weights alone goes "
            "with `backbone_weights`",
        )
    return carried


def kept_vectors(names: Sequence[str], encoder: str, origin: Origin) -> dict[str, Tensor]:
    """Return name -> class embedding (D,) of names that are kept, as the origin's network has them.

    They are what it was trained with, also where prompts were learned or an encoder of today lacks the phrases. With
    another text encoder, or of a network that takes no names, there are none.

    Args:
        names: those that are kept.
        encoder: the text encoder of the run.
        origin: the weights.

    Raises:
        ModelFileError: the file is damaged.
    """
    if not names or canonical(encoder) != canonical(origin.settings.get("text_encoder")):
        return {}
    vectors = _read(origin).get(EMBEDDINGS)
    if vectors is None or len(vectors) != len(origin.names):
        return {}
    return {name: vector.float() for name, vector in zip(origin.names, vectors, strict=True) if name in names}


def with_kept(classes: ClassSet, encoder: str, templates: str | Sequence[str], kept: Mapping[str, Tensor]) -> Tensor:
    """Return the class embeddings (K, D): those that are kept, name -> (D,), the others encoded.

    Errors are those of `bridgeseg.text.embed`.
    """
    # of all names where there is a cache, whose entries are of whole vocabularies
    cached = open_encoder(encoder).identity() is not None
    phrases = dict(zip(classes.names, classes.prompts, strict=True))
    names = [name for name in phrases if cached or name not in kept]
    found = dict(kept)
    if names:
        fresh = ClassSet.build(names, {name: phrases[name] for name in names})
        vectors = embed(fresh, encoder, templates=templates).vectors
        found = {**dict(zip(names, vectors, strict=True)), **kept}
    return torch.stack([found[name] for name in classes.names])


def _read(origin: Origin) -> dict[str, Tensor]:
    try:
        return load_file(origin.weights)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"cannot be read: {shown(error)}", where=origin.weights, fix="copy it again") from error


def _copy_rows(
    value: Tensor, old: Tensor, dimension: int, new_rows: Sequence[int], old_rows: Sequence[int], names: int
) -> bool:
    """Copy the rows of names that both know; False where the shapes do not allow it."""
    wanted = [size if place != dimension else names for place, size in enumerate(value.shape)]
    if list(old.shape) != wanted:
        return False
    value.index_copy_(dimension, torch.tensor(new_rows), old.index_select(dimension, torch.tensor(old_rows)))
    return True
