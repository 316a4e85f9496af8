"""A network out of a stranger's checkpoint: what its files ask for is compared with their sizes before it is built."""

from __future__ import annotations

import json
import math
import struct
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bridgeseg.errors import ModelFileError
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import ModelConfig
from bridgeseg.text.hub import hub_access
from bridgeseg.wording import shown

Shapes = dict[str, tuple[int, ...]]
HEADER, TENSORS = 8 << 20, 20_000
"""Bytes of a header and tensors in it; the largest networks have a hundredth of them."""
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


def read_shapes(path: Path) -> Shapes:
    """Read the names and shapes of the tensors of a safetensors file, and nothing else of it.

    Raises:
        ModelFileError: no safetensors file, a header beyond all networks, or a file of another size than it says.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise ModelFileError("is no file", where=path, fix=FIX)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(HEADER, size - 8):
            raise ModelFileError(f"is cut, or no safetensors file (a header of {length} bytes)", where=path, fix=FIX)
        header = file.read(length)
    try:
        entries = {key: value for key, value in json.loads(header).items() if key != "__metadata__"}
        if len(entries) > TENSORS:
            raise ModelFileError(f"names {len(entries)} tensors, at most {TENSORS} are read", where=path, fix=FIX)
        shapes = {key: _shape(entry) for key, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ModelFileError(f"is no safetensors file: {shown(error)}", where=path, fix=FIX) from error
    if end != size - 8 - length:
        raise ModelFileError(f"is cut: {size - 8 - length} bytes of {end} are there", where=path, fix=FIX)
    return shapes


def _shape(entry: dict[str, Any]) -> tuple[int, ...]:
    """Return a shape whose numbers take no more bytes than the header gives them."""
    shape = tuple(int(size) for size in entry["shape"])
    start, stop = entry["data_offsets"]
    if min(shape, default=1) < 0 or math.prod(shape) > max(stop - start, 0):
        raise ValueError(f"{stop - start} bytes for a tensor of shape {shape}")
    return shape


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
