"""Settings of `load`, which the commands that run a model share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting

MODEL = setting(
    "an .onnx file, a checkpoint or run folder, `hf:OWNER/NAME` (a repository of the Hugging Face hub, with @REVISION "
    "if wanted), or a bundled one: `street-int8`, `street` (the same in float) or `open` (for any names); by default "
    "the one of the first two that suits the processor",
    option="--model -m",
    metavar="FILE|FOLDER",
    python="str | Path | Model | None",
)
THREADS = setting("CPU threads; one per core by default", option="--threads", ge=1)
RUNTIME = setting(
    "`onnxruntime` (the default) or `openvino` for a file, `torch` for a folder", option="--runtime", metavar="NAME"
)
MEMORY = setting(
    "MB that the network may use; larger images are processed in tiles", option="--memory", metavar="MB", ge=1
)
COMPILE = setting("compile the network of a folder with torch.compile first", option="--compile")
NAMES = setting(
    "names of the classes, trained or not, for a run guided by language or a file that takes any names: `road, "
    "person=pedestrian|person` (with phrases for the text encoder), or a YAML file; by default the names it was "
    "trained with",
    option="--names",
    metavar="NAMES|YAML",
    python="Names | None",
)
EMBEDDINGS = setting(
    "a .safetensors file with vectors of these names from the same text encoder, for names that are neither in the "
    "bank that comes with bridgeseg nor can be encoded here",
    option="--embeddings",
    metavar="FILE",
)


class Load(CommandSettings):
    """Load a model.

    Returns:
        The model: its network, its classes, and where it came from.

    Raises:
        ModelFileError: there is no such file, or it cannot be used.
        InputError: the hub cannot be reached, or refuses it.
        MissingDependencyError: a folder was given and PyTorch is not installed, or the runtime or the hub's client is
            not.
        ConfigError: a runtime that does not exist or does not go with what was given, or names that it cannot take.
    """

    path: Annotated[
        str | Path | None,
        setting(
            "an .onnx file written by `bridgeseg export`; a checkpoint or run folder (which needs the train extra); "
            "`hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`, a repository of the Hugging Face hub (which needs the hub "
            "extra); None for the bundled street-scene model"
        ),
    ] = None
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    compile: Annotated[bool, COMPILE] = False
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
