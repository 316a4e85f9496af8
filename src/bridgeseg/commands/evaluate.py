"""`bridgeseg evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.options import Compile, Debug, Json, ModelOption, Quiet, RuntimeOption, Threads


def evaluate(
    data: Annotated[str, typer.Option(metavar="YAML", help="The dataset's data.yaml.", show_default=False)],
    model: ModelOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    mode: Annotated[str, typer.Option(help="whole, slide or multiscale.")] = "whole",
    window: Annotated[
        str | None, typer.Option(metavar="HxW", help="Sliding windows; the training crop's size by default.")
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(metavar="S,S,...", help="Factors by which pictures are resized: 1, or six in multiscale."),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored picture.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for scores and pictures of them.")
    ] = None,
    threads: Threads = None,
    runtime: RuntimeOption = None,
    compile: Compile = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model on a split of a dataset at native resolution: mIoU, IoU of each class, accuracies."""
    from bridgeseg import api
    from bridgeseg.commands import console

    chosen = runtime is not None or compile
    scores = api.evaluate(
        model=api.load(model, threads=threads, runtime=runtime, compile=compile) if chosen else model,
        data=data,
        split=split,
        mode=mode,
        window=None if window is None else arguments.size(window, "--window"),
        scales=None if scales is None else arguments.numbers(scales, "--scales"),
        flip=flip,
        out=out,
        threads=threads,
        quiet=quiet or as_json,
    )
    if as_json:
        console.print_json(scores.to_dict())
    elif not quiet:
        console.print_scores(scores)
