"""A checkpoint is a folder: model.safetensors, config.json and a model card. Read and written here and nowhere else.

Loading executes no code: safetensors and JSON only.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bridgeseg import __version__
from bridgeseg.classes import ClassSet
from bridgeseg.errors import BridgeSegError, ModelFileError
from bridgeseg.models.registry import ModelConfig, build
from bridgeseg.models.segmentor import Segmentor

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


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
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    embeddings = checkpoint.segmentor.class_embeddings
    description = {
        "format": FORMAT,
        "bridgeseg": __version__,
        "model": checkpoint.config.model_dump(mode="json"),
        "text_dim": None if embeddings is None else int(embeddings.shape[1]),
        "classes": checkpoint.classes.to_dict(),
        "provenance": checkpoint.provenance,
    }
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        state = {key: value.detach().cpu().contiguous() for key, value in checkpoint.segmentor.state_dict().items()}
        save_file(state, fresh / WEIGHTS)
        (fresh / CONFIG).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        (fresh / CARD).write_text(model_card(checkpoint), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        os.replace(fresh, folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ModelFileError(
            f"the checkpoint cannot be written ({error}); an older one there was kept",
            where=folder,
            fix="free some space or choose another --out",
        ) from error
    return folder


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint folder meant by a path: itself, or the best (else the last) one of a run folder.

    Raises:
        ModelFileError: there is none.
    """
    path = Path(path)
    for folder in (path, path / "best", path / "best.old", path / "last", path / "last.old"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise ModelFileError(
        "holds no checkpoint (config.json and model.safetensors)" if path.is_dir() else "no such checkpoint folder",
        where=path,
        fix="give a run folder of `bridgeseg train`, its `best` or `last`, or an .onnx file",
    )


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load a checkpoint folder, or the best checkpoint of a run folder.

    Raises:
        ModelFileError: nothing is there, it is damaged, or it was written by a newer version.
    """
    folder = find_checkpoint(path)
    try:
        description = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ModelFileError(
                f"has format {description['format']}, this version reads {FORMAT}", where=folder, fix="update bridgeseg"
            )
        classes = ClassSet.from_dict(description["classes"])
        config = ModelConfig.model_validate(description["model"])
        provenance, text_dim = dict(description["provenance"]), description["text_dim"]
        state = load_file(folder / WEIGHTS)
        embeddings = None if text_dim is None else torch.zeros(len(classes), int(text_dim))
        segmentor = build(config, len(classes), embeddings)
        segmentor.load_state_dict(state)
    except BridgeSegError as error:
        raise ModelFileError(f"is damaged: {error.message}", where=folder, fix="train or copy it again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        raise ModelFileError(
            f"is damaged ({type(error).__name__}: {reason})", where=folder, fix="train or copy it again"
        ) from error
    return Checkpoint(segmentor.eval(), config, classes, provenance, folder)


def model_card(checkpoint: Checkpoint) -> str:
    """Describe a checkpoint for people, in Markdown."""
    facts, scores = checkpoint.provenance, checkpoint.provenance.get("scores") or {}
    lines = [f"# {facts.get('method', '')} on {facts.get('backbone', '')}", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items() if key not in ("scores", "config")]
    if scores:
        lines += ["", f"Scores on `{scores.get('split')}`: mIoU {scores['miou']:.4f}, mean accuracy {scores['macc']:.4f}, "]
        lines[-1] += f"overall accuracy {scores['aacc']:.4f}."
        lines += ["", "| class | IoU |", "|---|---|"]
        lines += [f"| {name} | {'-' if value is None else f'{value:.4f}'} |" for name, value in scores["iou"].items()]
    lines += ["", "Load it with `bridgeseg.load(FOLDER)`; export it with `bridgeseg export --model FOLDER --out FILE.onnx`."]
    return "\n".join(lines) + "\n"
