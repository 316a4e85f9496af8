"""`bridgeseg evaluate`."""

from __future__ import annotations

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.evaluate import Evaluate

MODELS = (Evaluate,)


@options(*MODELS)
def evaluate(given: Given, as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Score a model, and print the table."""
    from bridgeseg import api
    from bridgeseg.commands import console

    scores = api.evaluate(**given, quiet=quiet or as_json)
    if as_json:
        console.print_json(scores.to_dict())
    elif not quiet:
        console.print_scores(scores)
