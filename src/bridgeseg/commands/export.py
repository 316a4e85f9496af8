"""`bridgeseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridgeseg.commands.options import Debug, Json, Quiet


def export(
    model: Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="A run folder.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.", show_default=False)
    ],
    logits: Annotated[bool, typer.Option("--logits/--no-logits", help="Add logits to its outputs.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a trained network as one .onnx file that runs without PyTorch (needs the train extra)."""
    from bridgeseg import api, console

    api.export(model=model, out=out, logits=logits)
    size = out.stat().st_size
    if as_json:
        console.print_json({"model": str(out), "bytes": size})
    elif not quiet:
        print(f"{out}: {size / 1e6:.1f} MB")
