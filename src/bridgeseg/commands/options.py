"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


class DebugSwitch:
    """Whether `--debug` was given: then an error shows its traceback."""

    on = False


def _set_debug(value: bool) -> bool:
    DebugSwitch.on = DebugSwitch.on or value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object a line, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", envvar="BRIDGESEG_DEBUG", callback=_set_debug, help="Show the traceback of an error."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; one per core by default.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="FILE|FOLDER", help="An .onnx file, a run folder, street-int8 (the default) or street."
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="onnxruntime (the default) or openvino for a file, torch for a run folder.",
        show_default=False,
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Of a run folder: translate it with torch.compile first.")]
