"""`bridgeseg gallery`."""

from __future__ import annotations

from bridgeseg.commands.adapter import Given, options
from bridgeseg.commands.shared import Debug, Json, Quiet
from bridgeseg.metrics import percent
from bridgeseg.settings.gallery import Gallery

MODELS = (Gallery,)


@options(*MODELS)
def gallery(given: Given, as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Write the page, and say where it is."""
    from bridgeseg import api
    from bridgeseg.commands import console

    report = api.gallery(**given, quiet=quiet or as_json)
    if as_json:
        console.print_json(report.to_dict())
    elif not quiet:
        means = ", ".join(f"{name} {percent(one.miou)}" for name, one in zip(report.models, report.scores, strict=True))
        print(f"{report.path}: {report.shown} of {len(report.images)} images, worst first; mIoU {means}")
