"""`bridgeseg check`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.commands.wording import as_options
from bridgeseg.settings.check import Check

EPILOG = "Exit codes: 0 no error; 2 errors, or with --strict warnings, or a mistake in the command."
MODELS = (Check,)


@options(*MODELS)
def check(
    given: Given,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 on warnings too.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a dataset, and print the findings."""
    from bridgeseg import api
    from bridgeseg.commands import console

    report = api.check(**given, quiet=quiet or as_json)
    found = (replace(one, message=as_options(one.message), fix=as_options(one.fix)) for one in report.findings)
    report = replace(report, findings=tuple(found))
    if as_json:
        console.print_json(report.to_dict())
    elif not quiet or report.of("error"):
        from rich.console import Console

        from bridgeseg.checking.table import render

        Console().print(render(replace(report, findings=tuple(report.of("error")), classes={}) if quiet else report))
    raise typer.Exit(report.exit_code(strict=strict))
