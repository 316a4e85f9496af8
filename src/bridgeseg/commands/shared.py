"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


class DebugSwitch:
    """Whether `--debug` was given: then an error shows its traceback."""

    on = False


def _set_debug(value: bool) -> bool:
    DebugSwitch.on = DebugSwitch.on or value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object a line, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", envvar="BRIDGESEG_DEBUG", callback=_set_debug, help="Show the traceback of an error."),
]
