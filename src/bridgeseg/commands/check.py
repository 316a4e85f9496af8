"""`bridgeseg check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.options import Debug, Json, Quiet

CHECK_EXIT_CODES = "Exit codes: 0 no error; 2 errors, or with --strict warnings, or a mistake in the command."


def check(
    data: Annotated[str, typer.Option(metavar="YAML", help="The dataset's data.yaml.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Only train, val or test.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Sizes from file headers, and a part of the masks; no duplicates.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 on warnings too.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures of the problems.")
    ] = None,
    fix_masks: Annotated[
        Path | None,
        typer.Option("--fix-masks", metavar="DIR", help="Write masks of class ids and a data.yaml into a new folder."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Do not decode pictures of more pixels.")] = 200_000_000,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look for everything that is wrong with a dataset: files, sizes, mask values, classes, duplicates."""
    from bridgeseg import api
    from bridgeseg.commands import console

    report = api.check(
        data,
        split=split,
        quick=quick,
        html=html,
        fix_masks=fix_masks,
        workers=workers,
        max_pixels=max_pixels,
        quiet=quiet or as_json,
    )
    if as_json:
        console.print_json(report.to_dict())
    elif not quiet or report.of("error"):
        from rich.console import Console

        from bridgeseg.checking.table import render

        Console().print(render(replace(report, findings=tuple(report.of("error")), classes={}) if quiet else report))
    raise typer.Exit(report.exit_code(strict=strict))
