"""A network out of a stranger's checkpoint: what its files ask for is compared with their sizes before it is built."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bridgeseg.errors import ModelFileError
from bridgeseg.hub.access import hub_access
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import ModelConfig
from bridgeseg.tensors import Shapes, read_shapes
from bridgeseg.wording import shown

WIDEST = 2**16
"""Largest width of class embeddings."""
FIX = "copy the checkpoint again, or train again"


def load_network(config: ModelConfig, classes: int, text_dim: int | None, weights: Path) -> Segmentor:
    """Build a network and load its weights; a hub is not contacted.

    Args:
        config: the architecture.
        classes: number of classes K.
        text_dim: width D of the class embeddings, None for a network without language.
        weights: a safetensors file.

    Raises:
        ConfigError: see `build`.
        ModelFileError: the file is damaged, or holds other tensors than the network has; the network was not built.
    """
    found = read_shapes(weights)
    if text_dim is not None and (found.get("class_embeddings") != (classes, text_dim) or text_dim > WIDEST):
        raise ModelFileError(
            f"class embeddings of shape {found.get('class_embeddings')}, but there are {classes} classes of "
            f"{shown(text_dim)} numbers",
            where=weights,
            fix=FIX,
        )
    with hub_access(needed=False) if ":" in config.backbone else nullcontext():
        with torch.device("meta"):  # shapes without memory
            plan = build(config, classes, None if text_dim is None else torch.zeros(classes, text_dim))
        _compare({key: tuple(value.shape) for key, value in plan.state_dict().items()}, found, weights)
        segmentor = build(config, classes, None if text_dim is None else torch.zeros(classes, text_dim))
    try:
        segmentor.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ModelFileError(f"cannot be read: {shown(error)}", where=weights, fix=FIX) from error
    return segmentor


def _compare(wanted: Shapes, found: Shapes, weights: Path) -> None:
    absent = [key for key in wanted if key not in found]
    foreign = [key for key in found if key not in wanted]
    wrong = [key for key in wanted if key in found and found[key] != wanted[key]]
    if first := [*absent, *wrong, *foreign][:1]:
        raise ModelFileError(
            f"holds another network than config.json describes: {len(absent)} of {len(wanted)} tensors are missing, "
            f"{len(wrong)} have another shape, {len(foreign)} are unknown (first: {shown(first[0])})",
            where=weights,
            fix=FIX,
        )
