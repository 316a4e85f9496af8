"""`bridgeseg info`."""

from __future__ import annotations

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json
from bridgeseg.settings.info import Info

MODELS = (Info,)


@options(*MODELS)
def info(given: Given, as_json: Json = False, debug: Debug = False) -> None:
    """Print what a model is."""
    from bridgeseg import api
    from bridgeseg.commands import console

    facts = api.load(given.get("model"), runtime=given.get("runtime")).describe()
    console.print_json(facts) if as_json else console.print_info(facts)
