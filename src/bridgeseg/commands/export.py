"""`bridgeseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.options import Debug, Json, Quiet, Threads
from bridgeseg.errors import ConfigError

INT8 = "8 bits"


def export(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="FOLDER|FILE",
            help="A run folder; with --int8 also an .onnx file, or street, the bundled one.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.", show_default=False)
    ],
    logits: Annotated[bool, typer.Option("--logits/--no-logits", help="Add logits to its outputs.")] = False,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="One decision for 2x2 pixels: faster with many classes.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Make it 8-bit: a third of the size, faster.", rich_help_panel=INT8)
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="DIR|YAML[:SPLIT]", help="Real pictures for --int8, as in use.", rich_help_panel=INT8),
    ] = None,
    calibration_images: Annotated[
        int | None, typer.Option(min=1, help="Take at most so many of them (64).", rich_help_panel=INT8)
    ] = None,
    calibration_method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="minmax (the default), percentile or entropy.", rich_help_panel=INT8),
    ] = None,
    int8_budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="POINTS",
            help="Leave layers in float until at most so many mIoU points are lost on the pictures of --calibrate, "
            "which must be a data.yaml.",
            rich_help_panel=INT8,
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="YAML", help="Score before and after on this.", rich_help_panel=INT8)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of --data: train, val (the default) or test.", rich_help_panel=INT8)
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a network as one .onnx file that runs without PyTorch; --int8 makes it 8-bit and says what that cost.

    A run folder needs the train extra, an .onnx file the extra int8 only.
    """
    from bridgeseg import api
    from bridgeseg.commands import console

    calibration = {"images": calibration_images, "method": calibration_method, "budget": int8_budget}
    if not int8:
        only = {"--calibrate": calibrate, "--data": data, "--split": split, "--threads": threads}
        only |= {"--calibration-images": calibration_images, "--calibration-method": calibration_method}
        given = [name for name, value in (only | {"--int8-budget": int8_budget}).items() if value is not None]
        if given:
            fix = "add --int8"
            raise ConfigError(f"without --int8 there is no use for {', '.join(given)}", where="export", fix=fix)
        api.export(model=model, out=out, logits=logits, approximate=approximate)
        size = out.stat().st_size
        if as_json:
            console.print_json({"model": str(out), "bytes": size})
        elif not quiet:
            print(f"{out}: {size / 1e6:.1f} MB")
        return
    if calibrate is None:
        fix = "--calibrate FOLDER, with pictures as the network will see them"
        raise ConfigError("8 bits need pictures to calibrate on", where="--calibrate", fix=fix)
    report = api.export_int8(
        model,
        out,
        calibrate,
        logits=logits,
        approximate=approximate,
        data=data,
        split=split or "val",
        threads=threads,
        quiet=quiet or as_json,
        report=as_json or not quiet,
        **{name: value for name, value in calibration.items() if value is not None},
    )
    if as_json:
        console.print_json({"model": str(out), "bytes": out.stat().st_size, **report})
    elif not quiet:
        from bridgeseg.exporting.int8_report import print_report

        print_report(report)
        left = report["quantisation"]["float_layers"]
        print(f"{out}: {report['quantisation']['int8_layers']} layers 8-bit, {len(left)} left in float for accuracy")
