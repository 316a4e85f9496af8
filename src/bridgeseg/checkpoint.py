"""A checkpoint is a folder: model.safetensors, config.json and a model card. Read and written here and nowhere else.

Loading executes no code: safetensors and JSON only.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from bridgeseg import __version__, card
from bridgeseg.classes import ClassSet
from bridgeseg.description import CARD, CONFIG, FORMAT, WEIGHTS, find_checkpoint
from bridgeseg.errors import BridgeSegError, ConfigError, ModelFileError
from bridgeseg.files import NEW, digest, remove, replace_folder
from bridgeseg.models.loading import load_network
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.model import UNSAID, ModelConfig


@dataclass
class Checkpoint:
    """A network and what is known of it.

    Attributes:
        segmentor: the network, in evaluation mode when loaded.
        config: its architecture.
        classes: its classes.
        provenance: where it comes from (method, backbone, data, recipe, seed, scores, ...), JSON-ready.
        path: the folder it was loaded from.
    """

    segmentor: Segmentor
    config: ModelConfig
    classes: ClassSet
    provenance: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint; the folder is swapped in whole, so that a killed process leaves the old one or the new one.

    Raises:
        ModelFileError: the disk is full or the folder cannot be written; an older checkpoint there is kept.
    """
    folder = Path(folder)
    fresh = folder.with_name(folder.name + NEW)
    try:
        remove(fresh)
        fresh.mkdir(parents=True)
        _write(fresh, checkpoint)
        replace_folder(fresh, folder)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"the checkpoint cannot be written ({error}); an older one there was kept",
            where=folder,
            fix="free some space or choose another `out`",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    embeddings = checkpoint.segmentor.class_embeddings
    state = {key: value.detach().cpu().contiguous() for key, value in checkpoint.segmentor.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    description = {
        "format": FORMAT,
        "bridgeseg": __version__,
        "model": checkpoint.config.model_dump(mode="json"),
        "text_dim": None if embeddings is None else int(embeddings.shape[1]),
        "classes": checkpoint.classes.to_dict(),
        "provenance": checkpoint.provenance,
        "sha256": digest(folder / WEIGHTS),
    }
    (folder / CONFIG).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(model_card(checkpoint), encoding="utf-8")
    # safetensors makes files that their owner alone may read
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load a checkpoint folder, or the best checkpoint of a run folder.

    Raises:
        ModelFileError: nothing is there, it is damaged, or it was written by a newer version.
    """
    folder = find_checkpoint(path)
    try:
        description = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = description["format"]
        if found == FORMAT:
            return _read(folder, description)
    except ConfigError as error:  # a backbone that this version of timm lacks
        fix = error.fix or "update bridgeseg, install the package that brings it, or copy the folder again"
        raise ModelFileError(f"cannot be built: {error.message}", where=folder, fix=fix) from error
    except (
        BridgeSegError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise ModelFileError(
            f"is damaged ({_reason(error)})", where=folder, fix="copy it again, or train again"
        ) from error
    raise ModelFileError(f"has format {found!r}, this version reads {FORMAT}", where=folder, fix="update bridgeseg")


def _read(folder: Path, description: dict[str, Any]) -> Checkpoint:
    classes = ClassSet.from_dict(description["classes"])
    config = ModelConfig.model_validate(UNSAID | description["model"])
    provenance, text_dim = dict(description["provenance"]), description["text_dim"]
    # checkpoints of before have no checksum
    if (wanted := description.get("sha256")) not in (None, found := digest(folder / WEIGHTS)):
        raise ValueError(f"{WEIGHTS} is not the file that was written: its SHA-256 is {found}, not {wanted}")
    segmentor = load_network(config, len(classes), text_dim, folder / WEIGHTS)
    return Checkpoint(segmentor.eval(), config, classes, provenance, folder)


def _reason(error: Exception) -> str:
    """Say in one line what was wrong; PyTorch's first line names the class only."""
    if isinstance(error, BridgeSegError):
        return error.message if error.where is None else f"{Path(error.where).name} {error.message}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}"


def model_card(checkpoint: Checkpoint) -> str:
    """Describe a checkpoint for people, in Markdown."""
    told = checkpoint.provenance
    parts = [
        f"# {told.get('method', 'network')} on {told.get('backbone', 'a backbone')}\n",
        card.facts(told),
        card.scores(told),
        card.classes(checkpoint.classes, told),
        "Load it with `bridgeseg.load(FOLDER)`; export it with `bridgeseg export --model FOLDER --out FILE.onnx`.\n",
    ]
    return "\n".join(part for part in parts if part.strip())
