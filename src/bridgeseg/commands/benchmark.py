"""`bridgeseg benchmark`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.options import Debug, Json, Quiet


def benchmark(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="FILE", help="An .onnx file, street-int8 (the default) or street."),
    ] = None,
    sizes: Annotated[
        str, typer.Option("--sizes", "--size", metavar="HxW,...", help="Sizes of the picture, height first.")
    ] = "512x512",
    threads: Annotated[
        str | None, typer.Option(metavar="N,...", help="Numbers of CPU threads; one per core by default.")
    ] = None,
    runtimes: Annotated[
        str, typer.Option("--runtimes", "--runtime", metavar="NAME,...", help="onnxruntime, openvino.")
    ] = "onnxruntime",
    rounds: Annotated[int, typer.Option(min=1, help="Timed pictures of each combination.")] = 50,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time for the throughput.")] = 4,
    starts: Annotated[int, typer.Option(min=1, help="Fresh processes for the cold start.")] = 3,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure a model on this machine: latency, throughput, memory, cold start."""
    from bridgeseg import api
    from bridgeseg.commands import console
    from bridgeseg.measuring.measure import steps
    from bridgeseg.measuring.table import print_table, progress

    chosen = [arguments.size(part, "--sizes") for part in sizes.split(",")]
    counts = [None] if threads is None else arguments.integers(threads, "--threads")
    names = [name.strip() for name in runtimes.split(",")]
    total = steps(len(chosen), len(names) * len(counts), rounds, starts)
    with progress(total, show=not (quiet or as_json)) as on_step:
        report = api.benchmark(
            model=model,
            sizes=chosen,
            threads=counts,
            runtimes=names,
            rounds=rounds,
            batch=batch,
            starts=starts,
            on_step=on_step,
        )
    if as_json:
        console.print_json(report)
    elif not quiet:
        print_table(report)
