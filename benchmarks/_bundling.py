"""What the scripts that make the bundled models share: checkpoints in 16 bits, scores in a file's metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from safetensors.torch import load_file, save_file

from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.description import CONFIG, WEIGHTS
from bridgeseg.exporting.modelfile import save
from bridgeseg.files import digest

HOME = Path(__file__).parents[1]
BUNDLED = HOME / "src" / "bridgeseg" / "weights"


def ship(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint with its weights in 16 bits: half the size, and as good to start from."""
    save_checkpoint(folder, checkpoint)
    weights, config = folder / WEIGHTS, folder / CONFIG
    save_file({key: v.half() if v.is_floating_point() else v for key, v in load_file(weights).items()}, weights)
    said = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**said, "sha256": digest(weights)}, indent=2) + "\n", encoding="utf-8")
    weights.chmod(config.stat().st_mode)


def note(path: Path, facts: dict[str, Any]) -> None:
    """Write facts into a file's provenance."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "bridgeseg.provenance":
            entry.value = json.dumps({**json.loads(entry.value), **facts})
    save(model, path)


def network(facts: dict[str, Any]) -> list[str]:
    """Return the lines of a card on what was trained, in Markdown."""
    config = facts["config"]
    length = f"{config['steps']} steps" if config.get("steps") else f"{config['epochs']} epochs"
    return [
        f"- network: method `{facts['method']}`, backbone `{facts['backbone']}` (ImageNet weights), decoder "
        f"`{facts['decoder']}`, class embeddings `{facts['text_encoder']}`, {facts['parameters'] / 1e6:.2f} M "
        "parameters",
        f"- recipe: `{facts['recipe']}` (batch {config['batch_size']}, crop "
        f"{'x'.join(str(side) for side in config['augment']['crop_size'])}, {length})",
        f"- seed {facts['seed']}, commit `{facts['commit']}`, bridgeseg {facts['bridgeseg']}",
        f"- licence: {facts['licence']}",
        f"- limits: {facts['limits']}",
    ]
