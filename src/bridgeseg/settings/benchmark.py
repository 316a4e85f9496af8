"""Settings of `benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator

from bridgeseg.settings.fields import CommandSettings, setting, several


class Benchmark(CommandSettings):
    """Measure a model on this machine: latency, throughput, memory, cold start.

    Every combination has a process of its own. Those of one size take turns, one image each, so a slow moment of the
    machine slows them all; ratios are the median over the rounds of the ratio within a round, to the first of a size.

    Returns:
        JSON-ready: `model`, `bytes`, `settings`, `machine`, and `rows`, one for every combination.

    Raises:
        InputError: the model or an argument cannot be used, or a process ended early.
    """

    model: Annotated[
        str | Path | None,
        setting(
            "an .onnx file, or a bundled one: `street-int8` (the default), `street` or `open`",
            option="--model -m",
            metavar="FILE",
        ),
    ] = None
    sizes: Annotated[
        Any,
        setting(
            "heights and widths of the image",
            option="--sizes --size",
            metavar="HxW,...",
            read="sizes",
            default="512x512, or the only size that the file takes",
            python="Sequence[tuple[int, int]] | None",
        ),
    ] = None
    threads: Annotated[
        Any,
        setting(
            "numbers of CPU threads; one per core by default",
            option="--threads",
            metavar="N,...",
            read="integers",
            default="",
            python="Sequence[int | None]",
        ),
    ] = (None,)
    runtimes: Annotated[
        Any,
        setting(
            "`onnxruntime`, `openvino`",
            option="--runtimes --runtime",
            metavar="NAME,...",
            read="listed",
            default="onnxruntime",
            python="Sequence[str]",
        ),
    ] = ("onnxruntime",)
    rounds: Annotated[int, setting("timed images of each combination", option="--rounds", ge=1)] = 50
    batch: Annotated[int, setting("images at a time for the throughput", option="--batch", ge=1)] = 4
    starts: Annotated[int, setting("fresh processes for the cold start", option="--starts", ge=1)] = 3
    on_step: Annotated[
        Any, setting("called with the name of each thing that begins", python="Callable[[str], None] | None")
    ] = None

    _several = field_validator("sizes", "threads", "runtimes", mode="before")(several)
