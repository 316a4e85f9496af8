"""`bridgeseg label`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.predict import EPILOG, Sources, segment
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.label import Label

__all__ = ["EPILOG", "label"]

MODELS = (Label,)


@options(*MODELS)
def label(
    given: Given,
    sources: Sources,
    null: Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end with NUL bytes.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Pre-label images for a labelling tool.

    Corrected in the tool, the labels come back by `bridgeseg data import`. Those of the images that the model was least
    sure of (`rank.csv`) are worth most in the next training.
    """
    segment(Label, given, sources, null=null, as_json=as_json, quiet=quiet)
