"""`bridgeseg export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bridgeseg.commands.adapter import Given, flags, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.errors import ConfigError
from bridgeseg.settings.export import INT8, Compared, Export, Quantize

MODELS = (Export, Quantize, Compared)


@options(*MODELS)
def export(
    given: Given,
    int8: Annotated[
        bool, typer.Option("--int8", help="Make it 8-bit: a third of the size, faster.", rich_help_panel=INT8)
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Export, make it 8-bit if that is asked for, and print what came of it."""
    from bridgeseg import api
    from bridgeseg.commands import console

    out = Path(given["out"])
    if not int8:
        options_of_int8 = flags((Quantize, Compared))
        if wrong := [options_of_int8[key] for key in given if key in options_of_int8]:
            raise ConfigError(
                f"without --int8 there is no use for {', '.join(wrong)}", where="export", fix="add --int8"
            )
        done = api.export(**given)
        if as_json:
            told: dict[str, Any] = {"confidence": done.confidence} if done.confidence else {}
            told |= {"agreement": done.agreement} if given.get("to") else {}
            console.print_json({"model": str(out), "bytes": done.bytes, **told})
        elif not quiet:
            agreement = _agreement(done.agreement) if given.get("to") else ""
            print(f"{out}: {done.bytes / 1e6:.1f} MB{agreement}{_confidence(done.confidence)}")
        return
    from bridgeseg.extras import extra

    with extra("int8"):
        from bridgeseg.exporting.int8 import export_int8
    report = export_int8(given, quiet=quiet or as_json, report=as_json or not quiet)
    if as_json:
        console.print_json({"model": str(out), "bytes": out.stat().st_size, **report})
    elif not quiet:
        from bridgeseg.exporting.int8_report import print_report

        print_report(report)
        left = report["quantisation"]["float_layers"]
        print(
            f"{out}: {report['quantisation']['int8_layers']} layers 8-bit, {len(left)} left in float for accuracy"
            f"{_confidence(report.get('confidence'))}"
        )


def _agreement(share: float | None) -> str:
    """Say what came of running what was converted."""
    if share is None:
        return "; not run: nothing on this machine runs it"
    return f"; run on an example: ONNX Runtime's ids on {share:.2%} of the pixels"


def _confidence(facts: dict[str, Any] | None) -> str:
    """Say what became of the confidence; nothing of a file without."""
    if not facts:
        return ""
    if "ece" not in facts:
        return "; confidence is not calibrated: give labelled images by --confidence-data"
    before, after = (f"{100 * facts[key]:.1f} %" for key in ("ece_before", "ece"))
    found = f"temperature {facts['temperature']:.2f} by {facts['images']} images of {facts['from']}"
    return f"; confidence: {found}; calibration error {before} before, {after} after"
