"""Settings of `export` and `quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.load import EMBEDDINGS, NAMES

INT8 = "8 bits"
PLAIN = "Runtimes that know little"


class Export(CommandSettings):
    """Write a checkpoint or run folder as one .onnx file that runs without PyTorch.

    An exported file can be given confidence, be made plain, or be converted for another runtime.

    Returns:
        What was written: the file or folder, its size, the share of pixels with the ids of what it was made from (None
        if nothing on this machine runs it), and what is known of its confidence.

    Raises:
        ConfigError: both `logits` and `approximate`, settings of a plain file without `plain`, of confidence without
            `confidence`, or that do not go with `to`.
        DataError: the images for the temperature cannot be used.
        ModelFileError: the checkpoint or file cannot be used, or the exported graph does not agree with it.
        InputError: the name does not end with .onnx, or the file cannot be written.
        MissingDependencyError: PyTorch (extra `train`), for a folder, the package onnx (extra `int8`), or the converter
            that `to` needs is missing.
    """

    model: Annotated[
        str | Path,
        setting(
            "a checkpoint or run folder (its best checkpoint is taken), or `hf:OWNER/NAME`; for 8 bits or a plain file "
            "also an .onnx file, or `street`, the bundled one",
            option="--model -m",
            metavar="FOLDER|FILE",
        ),
    ]
    out: Annotated[
        str | Path,
        setting(
            "the file to write, with `to` the folder; an older one is replaced only by a verified one",
            option="--out -o",
            metavar="FILE.onnx|FOLDER",
        ),
    ]
    logits: Annotated[
        bool,
        setting(
            "add logits (B, K, H, W) to its outputs, which sliding windows and several scales need",
            option="--logits/--no-logits",
        ),
    ] = False
    approximate: Annotated[
        bool, setting("one decision for 2x2 pixels: faster with many classes", option="--approximate")
    ] = False
    confidence: Annotated[
        bool,
        setting(
            "add an output named confidence, uint8 (B, H, W): the probability of the likeliest class, 0 to 255",
            option="--confidence",
        ),
    ] = False
    confidence_data: Annotated[
        str | Path | None,
        setting(
            "labelled images to fit the temperature of the confidence on, `data.yaml:SPLIT`",
            option="--confidence-data",
            metavar="YAML[:SPLIT]",
            default="what a run was validated on",
        ),
    ] = None
    open: Annotated[
        bool,
        setting(
            "let the file take any names: class embeddings (K, D) are its second input, and those of its own names lie "
            "in it; of a run that language guides",
            option="--open",
        ),
    ] = False
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
    plain: Annotated[
        bool,
        setting(
            "no operators whose output's size depends on the image, so that more runtimes can run it; the same ids",
            PLAIN,
            "--plain",
        ),
    ] = False
    size: Annotated[
        Any,
        setting(
            "of a plain file, and with `to`: height and width of the only images that it takes, one at a time; by "
            "default any",
            PLAIN,
            "--size",
            metavar="HxW",
            read="size",
            python="tuple[int, int] | int | None",
        ),
    ] = None
    layout: Annotated[
        Literal["nhwc", "nchw"],
        setting("of a plain file: `nhwc`, images (B, H, W, 3), or `nchw`, (B, 3, H, W)", PLAIN, "--layout"),
    ] = "nhwc"
    input: Annotated[
        Literal["uint8", "float"],
        setting("of a plain file: `uint8`, or `float`, float32 of the same values 0..255", PLAIN, "--input"),
    ] = "uint8"
    to: Annotated[
        str | None,
        setting(
            "write a folder for a runtime that reads no .onnx file: `openvino`, `ncnn`, `litert`, `executorch`, "
            "`coreml`, or one that a package brings; needs `size`",
            PLAIN,
            "--to",
            metavar="NAME",
        ),
    ] = None


class Quantize(CommandSettings):
    """Write an exported file as an 8-bit one: static, uint8 activations, int8 weights per channel, QDQ.

    Returns:
        What was written: the file, its size, the float file's size, and what its metadata says of the quantisation.

    Raises:
        ModelFileError: the file cannot be used, is 8-bit already, or the budget cannot be kept.
        ConfigError: an argument is not allowed.
        InputError: there are no images, or the file cannot be written.
        MissingDependencyError: the package onnx (extra `int8`) is not installed.
    """

    model: Annotated[
        str | Path, setting("a float .onnx file written by `bridgeseg export`, or `street`, the bundled one")
    ]
    out: Annotated[str | Path, setting("the .onnx file to write; an older one is replaced only by one that runs")]
    calibrate: Annotated[
        Any,
        setting(
            "real images, as in use: a folder of them, or `data.yaml:SPLIT`",
            INT8,
            "--calibrate",
            metavar="DIR|YAML[:SPLIT]",
            default="what a run was trained on",
            python="str | Path",
            required=False,
        ),
    ]
    images: Annotated[int, setting("calibrate on at most so many images", INT8, "--calibration-images", ge=1)] = 64
    method: Annotated[
        str, setting("`minmax`, `percentile` or `entropy`", INT8, "--calibration-method", metavar="NAME")
    ] = "minmax"
    budget: Annotated[
        float | None,
        setting(
            "leave layers in float until at most so many mIoU points are lost on the images for calibration, which "
            "must be from a data.yaml",
            INT8,
            "--int8-budget",
            metavar="POINTS",
            ge=0,
        ),
    ] = None
    on_step: Annotated[Any, setting("called after each image", python="Callable[[], None] | None")] = None


class Compared(CommandSettings):
    """What is compared before and after 8 bits."""

    data: Annotated[
        str | Path | None, setting("score before and after on this data.yaml", INT8, "--data", metavar="YAML")
    ] = None
    split: Annotated[str, setting("of it: `train`, `val` or `test`", INT8, "--split")] = "val"
    threads: Annotated[int | None, setting("CPU threads; one per core by default", INT8, "--threads", ge=1)] = None
