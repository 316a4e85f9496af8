"""The command `bridgeseg`: its subcommands put together, and what becomes of an error."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from bridgeseg import __version__
from bridgeseg.commands.benchmark import benchmark
from bridgeseg.commands.check import CHECK_EXIT_CODES, check
from bridgeseg.commands.compare import compare
from bridgeseg.commands.data import app as data
from bridgeseg.commands.evaluate import evaluate
from bridgeseg.commands.export import export
from bridgeseg.commands.info import info
from bridgeseg.commands.options import DebugSwitch
from bridgeseg.commands.predict import EXIT_CODES, predict
from bridgeseg.commands.train import train
from bridgeseg.errors import BridgeSegError, InputError

app = typer.Typer(
    name="bridgeseg",
    help="Language-guided lightweight semantic segmentation: class names in, one small ONNX file out.",
    no_args_is_help=True,
    add_completion=False,
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


app.command(epilog=EXIT_CODES)(predict)
app.command(epilog=CHECK_EXIT_CODES)(check)
for _command in (info, train, evaluate, export, compare, benchmark):
    app.command()(_command)
app.add_typer(data, name="data")


def main(words: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed or failed in part, 2 the user's mistake."""
    DebugSwitch.on = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names and classes may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            app(args=words, prog_name="bridgeseg")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if DebugSwitch.on:
            raise
        known = isinstance(error, BridgeSegError)
        text = (
            str(error) if known else f"{type(error).__name__}: {error}\n  fix: run it again with --debug and report it"
        )
        print(f"error: {text}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0
