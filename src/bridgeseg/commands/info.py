"""`bridgeseg info`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json
from bridgeseg.naming import named
from bridgeseg.settings.info import Info

MODELS = (Info,)


@options(*MODELS)
def info(
    given: Given,
    full: Annotated[bool, typer.Option("--full", help="Training settings, prompts and more classes, too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print what a model is."""
    from bridgeseg.commands import console

    facts = _facts(given.get("model"), given.get("runtime"))
    console.print_json(facts) if as_json else console.print_info(facts, full=full)


def _facts(model: str | None, runtime: str | None) -> dict[str, Any]:
    """Describe a model; of a folder its config.json is read and nothing else, which needs no PyTorch."""
    place = None if model is None else named(model)
    if place is not None and runtime is None and place.is_dir():
        from bridgeseg.description import describe_folder

        return describe_folder(place)
    from bridgeseg import api

    return api.load(model, runtime=runtime).describe()
