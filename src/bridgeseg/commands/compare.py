"""`bridgeseg compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.adapter import Given, keys, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.compare import OWNED, Compare
from bridgeseg.settings.train import TrainConfig

MODELS = (Compare, TrainConfig)


@options(*MODELS, leave=(*OWNED, "model.method"))
def compare(
    given: Given,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of all runs.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare, and print the table."""
    from bridgeseg import api
    from bridgeseg.commands import console

    out = Path(given.get("out", Compare().out))
    given |= arguments.settings(settings or [], keys(Compare))
    result = api.compare(**given, quiet=quiet or as_json)
    if as_json:
        failed = [{"run": item.name, "code": item.code, "log": str(item.log)} for item in result.failed]
        console.print_json({"folder": str(out), "runs": result.runs, "failed": failed, "results": result.results})
    elif given.get("dry_run"):
        for name, state in result.runs.items():
            print(f"{name}: {state}")
    elif result.results is not None and not quiet:
        _print(result.results, out)
    if result.failed:
        raise typer.Exit(1)


def _print(results: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from bridgeseg.comparing.compare import PAGE
    from bridgeseg.comparing.tables import main_table, note, tradeoff_table

    console, split = Console(highlight=False), results["split"]
    main_table(results["cells"], split, results["against"], f"{len(results['runs'])} finished runs").print()
    if results["tradeoff"]:
        tradeoff_table(results["tradeoff"], split).print()
    console.print(note(results["reference"]), markup=False)
    console.print(f"report: {out / PAGE}", markup=False, soft_wrap=True)
