"""`bridgeseg benchmark`."""

from __future__ import annotations

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.settings.benchmark import Benchmark

MODELS = (Benchmark,)


@options(*MODELS)
def benchmark(given: Given, as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Measure, and print the table."""
    from bridgeseg import api
    from bridgeseg.commands import console
    from bridgeseg.measuring.measure import steps
    from bridgeseg.measuring.table import print_table, progress

    with progress(steps(Benchmark(**given)), show=not (quiet or as_json)) as on_step:
        report = api.benchmark(**given, on_step=on_step)
    if as_json:
        console.print_json(report)
    elif not quiet:
        print_table(report)
