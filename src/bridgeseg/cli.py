"""The command `bridgeseg`: its subcommands put together, and what becomes of an error."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bridgeseg import __version__
from bridgeseg.commands import memory
from bridgeseg.commands.shared import DebugSwitch
from bridgeseg.commands.streams import said
from bridgeseg.commands.wording import worded
from bridgeseg.errors import MORE_MEMORY, BridgeSegError, InputError, lacks_memory
from bridgeseg.wording import shortened

COMMANDS = {
    "predict": "Segment images and videos: write masks of class ids and overlays, print the classes and their share.",
    "label": "Pre-label images for a labelling tool where the model is sure, and say which images to look at first.",
    "check": "Look for everything that is wrong with a dataset: files, sizes, mask values, classes, duplicates.",
    "info": "Say what a model is: classes, colours, where it comes from, scores, inputs and outputs, size.",
    "train": "Train a network on your own data (needs the train extra); unset options keep their defaults.",
    "evaluate": "Score a model on a split of a dataset at native resolution: mIoU, IoU of each class, accuracies.",
    "gallery": "Write one HTML file of the images of a split, worst first: truth, prediction, difference, confidence.",
    "export": "Write a network as one .onnx file that runs without PyTorch; --int8 makes it 8-bit and states the cost.",
    "compare": "Train methods x backbones x seeds x label fractions, and compare them (needs the train extra).",
    "push": "Upload a model to the Hugging Face hub, with a model card; `--model hf:OWNER/NAME` takes it from there.",
    "benchmark": "Measure a model on this machine: latency, throughput, memory, cold start.",
    "demo": "Show a page in the browser for trying a model: images, a camera, videos (needs the demo extra).",
    "data": "Make datasets: a data.yaml for a public download, or for an export of a labelling tool.",
}
"""Every command and what it does. Its module, `commands.NAME`, is imported when it is used: help and completion of the
others need none of it."""


ELSEWHERE = {
    "val": "evaluate --data data.yaml --split val",
    "validate": "evaluate --data data.yaml --split val",
    "eval": "evaluate --data data.yaml --split val",
    "test": "evaluate --data data.yaml --split test",
    "infer": "predict IMAGES",
    "inference": "predict IMAGES",
    "detect": "predict IMAGES",
    "segment": "predict IMAGES",
    "fit": "train --data data.yaml",
    "finetune": "train --data data.yaml",
    "quantize": "export --int8 --model RUN --out FILE.onnx",
    "prepare": "data prepare NAME --root DOWNLOAD --out DIR",
    "upload": "push OWNER/NAME --model RUN",
    "publish": "push OWNER/NAME --model RUN",
    "serve": "demo --model FILE.onnx",
    "gui": "demo --model FILE.onnx",
    "import": "data import EXPORT --out DIR",
}
"""What commands of other programs are called here."""


class Commands(TyperGroup):
    """The commands, each without its options until it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command by its name, and give it its options."""
        if args[0] in ELSEWHERE and not ctx.resilient_parsing:
            raise InputError(f"there is no command {args[0]!r}", fix=f"bridgeseg {ELSEWHERE[args[0]]}")
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else whole(name), rest


def whole(name: str) -> Any:
    """Return a command with its options."""
    module = import_module(f"bridgeseg.commands.{name}")
    group: typer.Typer | None = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        more = (getattr(module, name).__doc__ or "").partition("\n\n")[2]
        text = f"{COMMANDS[name]}\n\n{more}" if more else COMMANDS[name]
        group.command(name, help=text, epilog=getattr(module, "EPILOG", None))(getattr(module, name))
    return typer.main.get_command(group)


app = typer.Typer(
    name="bridgeseg",
    cls=Commands,
    help="Language-guided lightweight semantic segmentation: class names in, one small ONNX file out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"bridgeseg {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the subcommand."""


def _without_options() -> None:
    """Stand for a command in the list of commands."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_without_options)


def main(words: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed or failed in part, 2 the user's mistake.

    Args:
        words: of the command line; by default those that this process was started with, which then may start again.
    """
    if words is None:
        memory.keep(sys.argv[1:])
    DebugSwitch.on = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names and classes may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        with said():
            app(args=words, prog_name="bridgeseg")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if DebugSwitch.on:
            raise
        with suppress(OSError):
            print(f"error: {_text(error)}", file=sys.stderr)
        return 2 if isinstance(error, InputError) or _is_a_name(error) or lacks_memory(error) else 1
    return 0


def _text(error: Exception) -> str:
    if isinstance(error, BridgeSegError):
        return worded(error)
    if _is_a_name(error):
        found = shortened(_line(error))
        return f"{found}: a name that is not valid UTF-8 cannot be used here\n  fix: rename the file or folder"
    if lacks_memory(error):
        return f"there is too little memory: {type(error).__name__}: {shortened(str(error))}\n  fix: {MORE_MEMORY}"
    return f"{type(error).__name__}: {shortened(str(error), 1000)}\n  fix: run it again with --debug and report it"


def _line(error: Exception) -> str:
    """Return the line, or the text between quotes, that could not be passed on: it may stand in a whole file."""
    text, at = str(getattr(error, "object", "")), int(getattr(error, "start", 0))
    return re.split(r'["\n]', text[:at])[-1] + re.split(r'["\n]', text[at:])[0]


def _is_a_name(error: Exception) -> bool:
    """Say whether a name with bytes outside UTF-8, which Python keeps as surrogates, could not be passed on."""
    return isinstance(error, UnicodeEncodeError) and any("\udc80" <= mark <= "\udcff" for mark in error.object)
