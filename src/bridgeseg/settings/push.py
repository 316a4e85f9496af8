"""Settings of `push`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import field_validator

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.wording import shown


class Push(CommandSettings):
    """Upload a model to the Hugging Face hub, where `hf:OWNER/NAME` finds it: weights, an exported file, a model card.

    Nothing but these is uploaded: `model.safetensors` and `config.json` of a checkpoint,
    `model.onnx`, the card `README.md`, and what was drawn of the run: `curves.png`, `iou.png`, `confusion.png`. One
    commit brings it all; it removes earlier files of these names that do not belong to this model.

    Returns:
        What was uploaded, and where it is.

    Raises:
        ConfigError: a name or a value that is not allowed, or two models of other classes.
        ModelFileError: the model cannot be used.
        InputError: nobody is logged in to the hub, it cannot be reached or refuses, or a file cannot be written.
        MissingDependencyError: the hub's client (extra `hub`) is not installed, or what the model needs.
    """

    name: Annotated[str, setting("the repository, `OWNER/NAME`, which is created if it does not exist")]
    model: Annotated[
        str | Path,
        setting(
            "a run folder (its best checkpoint is taken), a checkpoint folder, or an .onnx file",
            option="--model -m",
            metavar="FOLDER|FILE",
        ),
    ]
    onnx: Annotated[
        str | Path | None,
        setting("an .onnx file exported from this run, to go with it", option="--onnx", metavar="FILE.onnx"),
    ] = None
    private: Annotated[
        bool, setting("make the repository private, and refuse to upload to a public one", option="--private")
    ] = False
    revision: Annotated[
        str,
        setting(
            "the branch to upload to, which is created if it does not exist", option="--revision", metavar="BRANCH"
        ),
    ] = "main"
    license: Annotated[
        str | None,
        setting(
            "the licence, as the hub spells it: `apache-2.0`, `cc-by-4.0`; that of the data may bind the model",
            option="--license",
            metavar="NAME",
        ),
    ] = None

    @field_validator("license")
    @classmethod
    def _spelled(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", value):
            raise ValueError(f"the hub spells a licence as in `apache-2.0`, or `other`, found {shown(value)}")
        return value

    with_pictures: Annotated[
        bool,
        setting("upload `examples.png` too, on which images of the dataset can be seen", option="--with-pictures"),
    ] = False
    dry_run: Annotated[bool, setting("upload nothing: write the folder that would be uploaded", option="--dry-run")] = (
        False
    )
    out: Annotated[
        str | Path | None,
        setting("the folder that `dry_run` writes", option="--out -o", metavar="DIR", default="NAME"),
    ] = None
