"""Where a network comes from: what its checkpoint says of the run, and what the run folder says of the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import torch

from bridgeseg import __version__
from bridgeseg.data.joining import Joined
from bridgeseg.extend import METHODS
from bridgeseg.hardware import describe
from bridgeseg.metrics import Scores
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.naming import is_here
from bridgeseg.settings.train import TrainConfig

PACKAGES = (
    "torch", "torchvision", "timm", "lightning", "numpy", "pillow", "safetensors", "open_clip_torch", "transformers",
)  # fmt: skip


def provenance(
    config: TrainConfig, commit: str | None, joined: Joined, segmentor: Segmentor, scores: Scores | None, epoch: int
) -> dict[str, Any]:
    """Describe a checkpoint, JSON-ready; it names no folder of this machine.

    Args:
        config: of the run.
        commit: of the source checkout, if there is one.
        joined: the datasets.
        segmentor: the network.
        scores: of this checkpoint on the validation split, if it was validated.
        epoch: after which it was stored, counted from 1.
    """
    guided = METHODS.get(config.model.method).needs_text
    settings = public_settings(config)
    described = [member.spec.to_dict() for member in joined.members]
    facts: dict[str, Any] = {
        "method": config.model.method,
        "backbone": config.model.backbone,
        "decoder": config.model.decoder,
        "text_encoder": settings["text_encoder"] if guided else None,
        "data": described if joined.several else described[0],
        "seed": config.seed,
        "epoch": epoch,
        "image_size": list(config.augment.crop),
        "parameters": sum(parameter.numel() for parameter in segmentor.parameters()),
        "bridgeseg": __version__,
        "commit": commit,
        "config": settings,
    }
    if joined.before:
        facts["kept"] = joined.kept
    if reading := joined.reading.to_dict():
        facts["reading"] = reading
    if scores is not None:
        facts["scores"] = {"split": config.val_split, **scores.to_dict()}
        facts |= {"dataset_scores": scores.parts_dict()} if scores.parts else {}
    return facts


def public_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings of a run, JSON-ready, without folders of this machine."""
    settings = config.model_dump(mode="json")
    settings |= {key: public_name(settings[key]) for key in ("text_encoder", "backbone_weights", "init")}
    return settings | {"data": public_data(config)}


def public_name(name: str | None) -> str | None:
    """Drop the folders from the name of a file, a dataset or a text encoder: they belong to this machine.

    >>> public_name("/home/me/clip/ViT-B-16.safetensors"), public_name("open_clip:ViT-B-16//home/me/weights.pt")
    ('ViT-B-16.safetensors', 'open_clip:ViT-B-16/weights.pt')
    >>> public_name("hf:sentence-transformers/all-MiniLM-L6-v2"), public_name("open_clip:ViT-B-16/openai")
    ('hf:sentence-transformers/all-MiniLM-L6-v2', 'open_clip:ViT-B-16/openai')
    """
    if name is None:
        return None
    kind, path = _parts(name)
    return kind + Path(path).name


def public_data(config: TrainConfig) -> str | list[str | None] | None:
    """Return the names of the data.yaml files without folders."""
    names = [public_name(path) for path in config.datasets]
    return names if len(names) > 1 else names[0]


def absolute(config: TrainConfig) -> TrainConfig:
    """Return the settings with paths that do not depend on the folder in which the program was started."""
    text, weights = config.text_encoder, config.backbone_weights
    paths = tuple(str(Path(path).expanduser().absolute()) for path in config.datasets)
    changes = {
        "data": paths if len(paths) > 1 else paths[0],
        "text_encoder": _absolute(text),
        "backbone_weights": None if weights is None else _absolute(weights),
        "init": _absolute_init(config.init),
    }
    return config.model_copy(update=changes)


def _absolute_init(name: str | None) -> str | None:
    path = Path(name or "").expanduser()
    return str(path.absolute()) if name is not None and is_here(path) else name


def _absolute(name: str) -> str:
    kind, path = _parts(name)
    if not path or not (Path(path).is_dir() if kind.endswith(":") else Path(path).is_file()):
        return name
    return kind + str(Path(path).absolute())


def _parts(name: str) -> tuple[str, str]:
    """Split a name into what is true everywhere and a path of this machine, either of which may be empty."""
    kind, colon, rest = name.partition(":")
    if kind == "open_clip" and colon:
        if rest.startswith("local-dir:"):
            return f"{kind}:local-dir:", rest.removeprefix("local-dir:")
        model, slash, weights = rest.partition("/")
        return (name, "") if rest.startswith("hf-hub:") else (f"{kind}:{model}{slash}", weights)
    if kind == "hf" and colon:
        # OWNER/NAME is the hub's; a folder is one that exists, or is written as a path
        is_folder = rest.startswith((".", "/", "~")) or Path(rest).expanduser().is_dir()
        return ("hf:", rest) if is_folder else (name, "")
    return (name, "") if kind in ("bank", "random") and colon else ("", name)


def environment(joined: Joined, commit: str | None, step_images: int, epoch_steps: int) -> dict[str, Any]:
    """Describe what else it takes to repeat a run: versions, machine, threads, the digest of the data.yaml.

    Args:
        joined: the datasets.
        commit: of the source checkout, if there is one.
        step_images: images of a step on all devices together.
        epoch_steps: steps of the optimiser in an epoch.
    """
    files = [{"file": member.spec.path.name, "sha256": member.spec.digest} for member in joined.members]
    machine = {key: value for key, value in describe(*PACKAGES).items() if key != "load"}
    return {
        "commit": commit,
        **machine,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "step_images": step_images,
        "epoch_steps": epoch_steps,
        "data": files if joined.several else files[0],
    }


def source_commit() -> str | None:
    """Return the commit of a source checkout, None for an installed package."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(Path(__file__).parents[4])},
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
