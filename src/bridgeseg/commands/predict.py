"""`bridgeseg predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.options import Debug, Json, ModelOption, Quiet, Threads

EXIT_CODES = (
    "Exit codes: 0 all done; 1 some of several pictures failed, the rest are done; "
    "2 nothing done, a mistake in the command or its files."
)


def predict(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCES", help="Files, folders, globs.", show_default=False)],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for masks and overlays.")] = Path(
        "out"
    ),
    threads: Threads = None,
    max_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Scale pictures with a longer side down to this for the network."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures of more pixels.")] = 200_000_000,
    overlay: Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write overlays with a legend.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search the subfolders of folders.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment pictures: write a mask of class ids and an overlay for each, print the classes and their share of it."""
    from bridgeseg import api, console
    from bridgeseg.inference.batch import Batch

    batch = Batch(sources, out, recursive=recursive, overlay=overlay)
    network = api.load(model, threads=threads)
    items = batch.run(network, max_size=max_size, max_pixels=max_pixels)
    failed = console.report(items, batch.total, network.classes, out, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1 if failed < batch.total else 2)
