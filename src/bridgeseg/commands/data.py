"""`bridgeseg data list`, `bridgeseg data prepare` and `bridgeseg data import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.importing import Import
from bridgeseg.wording import printable

app = typer.Typer(
    help="Make datasets: a data.yaml for a public download, or for an export of a labelling tool.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_datasets(as_json: Json = False, debug: Debug = False) -> None:
    """Show the public datasets whose downloads can be used."""
    from rich.console import Console
    from rich.table import Table

    from bridgeseg import catalog
    from bridgeseg.commands import console

    entries = [catalog.entry(name) for name in catalog.names()]
    if as_json:
        for entry in entries:
            console.print_json(entry.to_dict())
        return
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("classes", justify="right")
    table.add_column("images")
    table.add_column("home page", overflow="fold")
    for entry in entries:
        sizes = "\n".join(f"{split} {'/'.join(map(str, counts))}" for split, counts in entry.sizes.items())
        table.add_row(entry.name, str(len(entry.classes)), sizes, entry.home)
    Console().print(table)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `bridgeseg data list`.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to make.", show_default=False)],
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The unpacked download; it is only read. With --download where it goes: OUT/download.",
            show_default=False,
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Load it first, if its owners offer it at a plain address.")
    ] = False,
    mirror: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A folder on a server with the same files.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy files instead of linking them.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; one per core by default, at most 8.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a data.yaml for a public dataset, downloaded or not: links to its files, colour masks converted to ids."""
    import sys

    from bridgeseg import catalog
    from bridgeseg.commands import console

    known = catalog.entry(name)
    terms = f"terms of use: {known.licence}; {known.home}"
    if download and not quiet:
        print(terms, file=sys.stderr)
    done = catalog.prepare(
        name, root, out, download=download, mirror=mirror, copy=copy, workers=workers, quiet=quiet or as_json
    )
    if as_json:
        console.print_json(done.to_dict())
        return
    if not quiet:
        for note in done.notes:
            print(f"note: {printable(note)}", file=sys.stderr)
        counts = ", ".join(f"{split} {count:,}" for split, count in done.counts.items())
        files = ", ".join(f"{count:,} {way}" for way, count in done.files.items())
        print(f"{printable(done.data)}: {counts} ({files})")
        if not download:
            print(terms)


@app.command("import")
@options(Import)
def import_data(
    given: Given,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The folder of the export, or its file.", show_default=False)
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a dataset from an export of a labelling tool: COCO, Labelme, CVAT, YOLO, Label Studio and others."""
    from bridgeseg import api
    from bridgeseg.commands import console

    done = api.import_data(source, **given, quiet=quiet or as_json)
    if as_json:
        console.print_json(done.to_dict())
    elif not quiet:
        print(done.text())
