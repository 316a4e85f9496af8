"""Settings of `compare`, beside those of every training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator

from bridgeseg.extend import REFERENCES
from bridgeseg.settings.fields import CommandSettings, listed, setting, several

GRID, DOING = "Grid", "What is done"


class Compare(CommandSettings):
    """Train methods x backbones x seeds x label fractions into one folder, and report on all finished runs there.

    Finished runs are skipped, and stopped runs continue, so the same call continues a comparison.
    Settings of all runs are those of `bridgeseg.train`.

    Returns:
        The folder, the state of every run that was asked for, the runs that failed, and the results.

    Raises:
        InputError: something named is unknown or named twice, the folder holds runs of other settings or is in use,
            there is nothing to report, or it was stopped. Runs that fail do not raise: see `Comparison.failed`.
        MissingDependencyError: the train extra is not installed.
    """

    data: Annotated[
        str | Path | Sequence[str | Path] | None,
        setting("the dataset's data.yaml, or its folder", option="--data", metavar="YAML", read="several"),
    ] = None
    out: Annotated[
        str | Path,
        setting("folder of the comparison; a second call continues it", option="--out -o", metavar="DIR"),
    ] = "runs/compare"
    methods: Annotated[
        Any,
        setting(
            "methods; all, unless there are variants",
            GRID,
            "--methods",
            metavar="NAME,...",
            read="listed",
            python="Iterable[str] | None",
        ),
    ] = None
    variants: Annotated[
        Any,
        setting(
            "named sets of settings; the option can be given many times",
            GRID,
            "--variant",
            metavar='"NAME: KEY=VALUE ..."',
            read="variants",
            python="Mapping[str, Mapping[str, object]] | None",
        ),
    ] = None
    backbones: Annotated[
        Any,
        setting(
            "timm names; by default the one of the settings",
            GRID,
            "--backbones",
            metavar="NAME,...",
            read="listed",
            python="Iterable[str] | None",
        ),
    ] = None
    seeds: Annotated[
        Any,
        setting(
            "whole numbers", GRID, "--seeds", metavar="N,...", read="listed", default="0,1,2", python="Iterable[int]"
        ),
    ] = (0, 1, 2)
    fractions: Annotated[
        Any,
        setting(
            "shares of the training images; epochs have about the same number of steps at every share",
            GRID,
            "--fractions",
            metavar="F,...",
            read="listed",
            default="1",
            python="Iterable[float]",
        ),
    ] = (1.0,)
    config: Annotated[
        str | Path | None,
        setting("file of settings for all runs; options override it", option="--config", metavar="FILE"),
    ] = None
    split: Annotated[str, setting("split that is reported", DOING, "--split")] = "test"
    against: Annotated[
        Any,
        setting(
            "variants from which paired differences are taken",
            DOING,
            "--against",
            metavar="NAME,...",
            read="listed",
            default=",".join(REFERENCES),
            python="Sequence[str]",
        ),
    ] = REFERENCES
    int8: Annotated[
        bool,
        setting("score and time every run in 8 bits too, calibrated on images that it was trained on", DOING, "--int8"),
    ] = False
    reference: Annotated[
        str | None,
        setting(
            "variant whose time counts as 1; by default the first of `against` that is present",
            DOING,
            "--reference",
            metavar="NAME",
        ),
    ] = None
    jobs: Annotated[int, setting("runs at a time", DOING, "--jobs", ge=1)] = 1
    threads: Annotated[
        int | None,
        setting(
            "threads of each run, whatever the number of jobs; by default as in the folder's runs, else one per core "
            "up to 4",
            DOING,
            "--threads",
            ge=1,
        ),
    ] = None
    latency: Annotated[
        bool, setting("measure latencies at the end, else report those measured last", DOING, "--latency/--no-latency")
    ] = True
    dry_run: Annotated[bool, setting("list the runs, do nothing", DOING, "--dry-run")] = False
    report_only: Annotated[bool, setting("report on what is finished, train nothing", DOING, "--report-only")] = False
    quiet: Annotated[bool, setting("show no progress")] = False

    _listed = field_validator("methods", "backbones", "against", mode="before")(listed)
    _several = field_validator("seeds", "fractions", mode="before")(several)


OWNED = {
    "data": "`data`",
    "model.backbone": "`backbones`",
    "seed": "`seeds`",
    "fraction": "`fractions`",
    "repeat": "`fractions`, which shows a share of the images as often as makes up for its size",
    "val_every": "nothing: runs of a comparison are validated once, at their end",
    "time_limit": "nothing: runs of a comparison are of equal length",
    "early_stop": "nothing: runs of a comparison are of equal length",
}
"""Settings of a training that the comparison gives every run, and what decides on them."""
