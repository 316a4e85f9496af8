"""`bridgeseg demo`."""

from __future__ import annotations

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug
from bridgeseg.settings.demo import Demo

MODELS = (Demo,)


@options(*MODELS)
def demo(given: Given, debug: Debug = False) -> None:
    """Show the page until Ctrl-C."""
    from bridgeseg.showing.page import launch

    launch(Demo(**given))
