"""Settings of `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.load import EMBEDDINGS, MODEL, NAMES, RUNTIME, THREADS

PAGE = "The page"


class Demo(CommandSettings):
    """Show a page for trying models: images, a camera, videos.

    Raises:
        InputError: a model cannot be used.
        ConfigError: a value is not allowed, or the address is taken.
        MissingDependencyError: Gradio (extra `demo`) is not installed, or what the model needs.
    """

    model: Annotated[Any, MODEL] = None
    beside: Annotated[
        Any,
        setting(
            "a second model, whose results are shown beside those of the first",
            option="--beside",
            metavar="FILE|FOLDER",
            python="str | Path | Model | None",
        ),
    ] = None
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
    max_size: Annotated[
        int,
        setting(
            "scale images with a longer side down to this for the network", option="--max-size", metavar="PIXELS", ge=32
        ),
    ] = 1024
    host: Annotated[
        str,
        setting("address to listen on: `0.0.0.0` lets other machines see the page", PAGE, "--host", metavar="ADDRESS"),
    ] = "127.0.0.1"
    port: Annotated[
        int | None,
        setting("port to listen on; by default the first free one from 7860", PAGE, "--port", ge=1, le=65535),
    ] = None
    browser: Annotated[bool, setting("open the page in this machine's browser", PAGE, "--open")] = False
