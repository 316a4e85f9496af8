"""`bridgeseg train`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.adapter import Given, keys, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.errors import ConfigError
from bridgeseg.settings.train import Train, TrainConfig

MODELS = (Train, TrainConfig)


@options(*MODELS)
def train(
    given: Given,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting: --set model.bridge.depth=3."),
    ] = None,
    no_ema: Annotated[
        bool, typer.Option("--no-ema", help="Do not average the weights: --ema 0.", rich_help_panel="Optimisation")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train, and print the scores."""
    from bridgeseg import api
    from bridgeseg.commands import console

    if no_ema and given.get("ema"):
        raise ConfigError("--ema and --no-ema contradict each other", fix="leave one out")
    given |= {"ema": 0.0} if no_ema else {}
    given |= arguments.settings(settings or [], keys(Train))
    if sys.stderr.isatty() and not (quiet or as_json):
        print("loading PyTorch", file=sys.stderr, flush=True)  # for seconds, nothing else would be said
    result = api.train(**given, quiet=quiet or as_json)
    if not result.first:  # a process for a further device: the first one tells
        return
    if as_json:
        scores = None if result.scores is None else result.scores.to_dict()
        parts = result.scores.parts_dict() if result.scores else {}
        line = {"run": str(result.folder), "epoch": result.epoch, "ended": result.ended, "scores": scores}
        console.print_json(line | ({"datasets": parts} if parts else {}))
    elif not quiet:
        console.print_scores(result.scores)
        print(f"run: {result.folder}")
