"""`bridgeseg predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.options import Compile, Debug, Json, ModelOption, Quiet, RuntimeOption, Threads
from bridgeseg.errors import InputError

EXIT_CODES = (
    "Exit codes: 0 all done; 1 some of several pictures failed, the rest are done; "
    "2 nothing done, a mistake in the command or its files; 130 or 143 stopped by Ctrl-C or SIGTERM."
)
VIDEOS = "Videos and cameras"


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCES",
            help="Files, folders, globs, videos, camera:0; - reads names from standard input.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for masks and overlays.")] = Path(
        "out"
    ),
    threads: Threads = None,
    runtime: RuntimeOption = None,
    compile: Compile = False,
    max_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Scale pictures with a longer side down to this for the network."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures of more pixels.")] = 200_000_000,
    memory: Annotated[
        int, typer.Option(min=1, metavar="MB", help="What the network may use; larger pictures are done in tiles.")
    ] = 768,
    overlay: Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write overlays with a legend.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search the subfolders of folders.")] = False,
    null: Annotated[bool, typer.Option("--null", "-0", help="Names on standard input end with NUL bytes.")] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Take every Nth frame.", rich_help_panel=VIDEOS)] = 1,
    max_fps: Annotated[
        float | None, typer.Option(metavar="F", help="Take at most F frames a second.", rich_help_panel=VIDEOS)
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Write the mask of every frame too, as PNGs.", rich_help_panel=VIDEOS)
    ] = False,
    codec: Annotated[
        str, typer.Option(metavar="NAME", help="FFmpeg's name of an encoder.", rich_help_panel=VIDEOS)
    ] = "libx264",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment pictures and videos: write masks of class ids and overlays, print the classes and their share of each.

    Ctrl-C finishes what is being done and leaves whole files; a second Ctrl-C stops at once.
    """
    import sys

    from bridgeseg import api
    from bridgeseg.commands import console
    from bridgeseg.predicting.batch import Batch
    from bridgeseg.predicting.stopping import Stop
    from bridgeseg.reading.sources import PathStream

    if "-" in sources and sys.stdin is None:
        raise InputError("standard input is closed", where="-", fix="pipe paths into the command")
    named = [PathStream(sys.stdin.buffer, null) if source == "-" else source for source in sources]
    batch = Batch(named, out, recursive=recursive, overlay=overlay, masks=masks, codec=codec)
    network = api.load(model, threads=threads, runtime=runtime, compile=compile)
    with Stop() as stop:
        items = batch.run(
            network, stop=stop, max_size=max_size, max_pixels=max_pixels, memory=memory, every=every, max_fps=max_fps
        )
        frames = (lambda: batch.frames) if batch.videos else None
        counts = console.report(items, batch.total, network.classes, out, frames=frames, as_json=as_json, quiet=quiet)
    if stop.signal is not None:
        console.print_stopped(counts.done, quiet=quiet)
        raise typer.Exit(128 + stop.signal)
    if counts.failed:
        raise typer.Exit(1 if counts.done else 2)
