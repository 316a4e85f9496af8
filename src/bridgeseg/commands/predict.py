"""`bridgeseg predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.errors import InputError
from bridgeseg.settings.predict import Predict

EPILOG = (
    "Exit codes: 0 all done; 1 some of several images failed, the rest are done; "
    "2 nothing done, a mistake in the command or its files; 130 or 143 stopped by Ctrl-C or SIGTERM."
)
MODELS = (Predict,)
OUT = Path("out")


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCES",
        help="Files, folders, globs, videos, camera:0, addresses of streams; - reads names from standard input.",
        show_default=False,
    ),
]


@options(*MODELS)
def predict(
    given: Given,
    sources: Sources,
    null: Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end with NUL bytes.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment images, videos and streams.

    Ctrl-C finishes what is being done and leaves whole files; a second Ctrl-C stops at once.
    """
    segment(Predict, {"out": OUT, **given}, sources, null=null, as_json=as_json, quiet=quiet)


def segment(model: type[Predict], given: Given, sources: list[str], *, null: bool, as_json: bool, quiet: bool) -> None:
    """Segment what was named, with these settings, and print what comes of it; exits with the code of `EPILOG`.

    Args:
        model: of the settings.
        given: settings; `out` is among them, or has a default.
        sources: names, - for those of standard input.
        null: whether names on standard input end with NUL bytes.
        as_json, quiet: as in `console.report`.
    """
    import sys

    from bridgeseg.commands import console
    from bridgeseg.predicting.run import start
    from bridgeseg.predicting.stopping import Stop
    from bridgeseg.reading.sources import PathStream

    if "-" in sources and sys.stdin is None:
        raise InputError("standard input is closed", where="-", fix="pipe paths into the command")
    if null and "-" not in sources:
        raise InputError("no names come from standard input", where="--null", fix="name - as a source, or leave it out")
    named = [PathStream(sys.stdin.buffer, null) if source == "-" else source for source in sources]
    with Stop() as stop:
        asked = model(sources=named, **given)
        run = start(asked, stop)
        counts = console.report(run, Path(asked.out or OUT), as_json=as_json, quiet=quiet)
    if stop.signal is not None:
        console.print_stopped(counts.done, quiet=quiet)
        raise typer.Exit(128 + stop.signal)
    if counts.failed:
        raise typer.Exit(1 if counts.done else 2)
