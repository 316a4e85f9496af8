"""`bridgeseg push`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.push import Push
from bridgeseg.wording import printable

MODELS = (Push,)


@options(*MODELS)
def push(
    given: Given,
    name: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The repository; made if there is none.", show_default=False)
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Upload a model, and print what was uploaded and where it is.

    Whoever is logged in to the hub (hf auth login) uploads; --dry-run shows beforehand what that would be.
    """
    from bridgeseg import api
    from bridgeseg.commands import console

    done = api.push(name, **given)
    if as_json:
        console.print_json(done.to_dict())
    elif not quiet:
        for file, size in done.files.items():
            print(f"{size:>14,} bytes  {file}")
        print(printable(done.text()))
