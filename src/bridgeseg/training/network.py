"""A network for a training loop of one's own, and the checkpoint that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.description import CARD, CONFIG, WEIGHTS
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.extend import METHODS
from bridgeseg.files import NEW, OLD
from bridgeseg.models.build import build as build_network
from bridgeseg.models.check import check_model
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.build import OTHERS, Build
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import flatten, set_values
from bridgeseg.text import embed
from bridgeseg.text.bank import constants
from bridgeseg.training.missing import refuse_missing
from bridgeseg.training.origin import TEXT
from bridgeseg.training.provenance import public_settings
from bridgeseg.vocabulary.asked import asked as named


def build(asked: Build, settings: Mapping[str, Any]) -> Segmentor:
    """Build a network; see `bridgeseg.build`.

    Args:
        asked: the classes.
        settings: keys of `TrainConfig` that are about its network, dotted for the inner ones.

    Raises:
        ConfigError: a setting that is unknown, wrong, or not of a network; or a number of classes where language needs
            names.
    """
    if others := [key for key in flatten(settings) if key in OTHERS]:
        message = "is of a training, and says nothing of a network"
        raise ConfigError(message, where=others[0], fix=f"leave `{others[0]}` out")
    config = TrainConfig.parse({"data": "none", **set_values({}, settings)})  # a training needs data, this does not
    model = check_model(config.model)
    guided = METHODS.get(model.method).needs_text
    classes = _numbered(asked.classes, guided) if isinstance(asked.classes, int) else named(asked.classes)
    refuse_missing(config, classes)
    vectors = embed(classes, config.text_encoder, templates=config.templates).vectors if guided else None
    bank = None if vectors is None else constants(model, config.text_encoder, vectors, config.templates)
    network = build_network(model, len(classes), vectors, config.backbone_weights, bank)
    facts: dict[str, Any] = {"method": model.method, "backbone": model.backbone}
    if guided:
        told = public_settings(config)
        facts |= {"text_encoder": told["text_encoder"], "config": {key: told[key] for key in TEXT}}
    network.made_of = (model, classes, facts)
    return network


def _numbered(count: int, guided: bool) -> ClassSet:
    if guided or count < 1:
        found = f"found {count}" + (", and language needs names" if guided else "")
        fix = "give names: bridgeseg.build(['road', 'car']); a number is enough for the method none"
        raise ConfigError(f"classes are names, or at least 1 of them; {found}", where="classes", fix=fix)
    return ClassSet.build([f"class {index}" for index in range(count)])


def save(network: Segmentor, out: str | Path, notes: Mapping[str, Any] | None = None) -> Path:
    """Write a network of `bridgeseg.build` as a checkpoint folder, which `load`, `evaluate` and `export` take.

    Args:
        network: the network, trained or not.
        out: the folder: a new or an empty one, or that of a checkpoint, which is replaced.
        notes: facts about it that JSON can hold, such as the data and the epochs, kept in its provenance.

    Returns:
        The folder.

    Raises:
        ConfigError: the network was not made by `bridgeseg.build`, or JSON cannot hold a note.
        InputError: something else than a checkpoint is there.
        ModelFileError: the folder cannot be written.
    """
    made_of = getattr(network, "made_of", None)
    if made_of is None:
        raise ConfigError("its architecture and classes are not known", where="network", fix="make it by build(...)")
    _refuse_others(Path(out))
    for key, value in (notes or {}).items():
        try:
            json.dumps({key: value})
        except (TypeError, ValueError) as error:
            fix = "give text, numbers, lists and mappings of these"
            raise ConfigError(f"{key!r} is nothing that JSON can hold: {error}", where="notes", fix=fix) from error
    model, classes, facts = made_of
    return save_checkpoint(out, Checkpoint(network, model, classes, {**facts, **(notes or {})}))


def _refuse_others(out: Path) -> None:
    """Refuse a place where something else than a checkpoint is: all that is there would go."""
    if out.name in ("", ".."):
        fix = f"bridgeseg.save(network, {str(out / 'network')!r})"
        raise InputError("is a folder without a name, which cannot be replaced", where=out, fix=fix)
    for place in (out, *(out.with_name(out.name + ending) for ending in (NEW, OLD))):
        if place.exists() and not _replaceable(place):
            free = (out if place == out and out.is_dir() else out.parent) / "network"
            message = "is there already and no checkpoint folder: what is in it would be deleted"
            raise InputError(message, where=place, fix=f"bridgeseg.save(network, {str(free)!r})")


def _replaceable(place: Path) -> bool:
    found = {entry.name for entry in place.iterdir()} if place.is_dir() else {""}
    return not found or (WEIGHTS in found and found <= {WEIGHTS, CONFIG, CARD})
