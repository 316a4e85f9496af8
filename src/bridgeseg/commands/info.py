"""`bridgeseg info`."""

from __future__ import annotations

from bridgeseg.commands.options import Debug, Json, ModelOption, RuntimeOption


def info(model: ModelOption = None, runtime: RuntimeOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """Say what a model is: classes, colours, where it comes from, scores, inputs and outputs, size."""
    from bridgeseg import api
    from bridgeseg.commands import console

    facts = api.load(model, runtime=runtime).describe()
    console.print_json(facts) if as_json else console.print_info(facts)
