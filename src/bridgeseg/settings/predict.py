"""Settings of `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.load import COMPILE, EMBEDDINGS, MEMORY, MODEL, NAMES, RUNTIME, THREADS

VIDEOS = "Videos, cameras and streams"
OVERLAY = setting("write overlays with a legend", option="--overlay/--no-overlay")
MIN_AREA = setting("leave out outlines of areas with fewer pixels", option="--min-area", metavar="PIXELS", ge=1)
SIMPLIFY = setting(
    "leave out corners of outlines if that moves the outline by at most this many pixels",
    option="--simplify",
    metavar="PIXELS",
    ge=0,
    allow_inf_nan=False,
)


class Predict(CommandSettings):
    """Segment images, videos and streams.

    Returns:
        With `out`, for each image a Record of what was written, and for each video a VideoRecord; without, the Result
        of each image and frame (all of them in memory: for very many images or videos use `load().stream(...)`). An
        image that cannot be read is a Failure in the list.

    Raises:
        InputError: not one image could be read, the model cannot be used, or the results cannot be written.
    """

    sources: Annotated[
        Any,
        setting(
            "one or many files, folders, globs, videos, `camera:0`, addresses of streams; images in memory: Pillow's, "
            "bytes and open files, uint8 arrays and tensors (H, W, 3)",
            python="ImageInput | Iterable[ImageInput]",
        ),
    ]
    model: Annotated[Any, MODEL] = None
    out: Annotated[
        str | Path | None,
        setting("folder for masks and overlays", option="--out -o", metavar="DIR", default="out"),
    ] = None
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    compile: Annotated[bool, COMPILE] = False
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
    max_size: Annotated[
        int | None,
        setting(
            "scale images with a longer side down to this for the network; masks keep the size of the image",
            option="--max-size",
            metavar="PIXELS",
            ge=1,
        ),
    ] = None
    max_pixels: Annotated[int, setting("refuse images of more pixels", option="--max-pixels", ge=1)] = 200_000_000
    memory: Annotated[int, MEMORY] = 768
    image_range: Annotated[
        float | Sequence[float] | None,
        setting(
            "the value of white in images of more than 8 bits, or those of black and white: `4095`, `100,4095`; by "
            "default as in training, else 0..65535 for integers and 0..1 for floats",
            option="--image-range",
            metavar="RANGE",
            read="numbers",
        ),
    ] = None
    bands: Annotated[
        Sequence[int] | None,
        setting(
            "the bands that are red, green and blue, from 0, or the one that is grey: `0,1,2`; by default as in "
            "training, else the first three, on white where they are transparent",
            option="--bands",
            metavar="N,N,N",
            read="integers",
        ),
    ] = None
    unknown: Annotated[
        float | None,
        setting(
            "write 255 (65535 above 255 classes) where confidence, 0 to 1, is below this; needs a run folder, or a "
            "file exported with `confidence`",
            option="--unknown",
            metavar="SHARE",
            ge=0,
            le=1,
        ),
    ] = None
    overlay: Annotated[bool, OVERLAY] = True
    opacity: Annotated[
        float, setting("weight of the colours in overlays, 0 (none) to 1", option="--opacity", metavar="SHARE")
    ] = 0.55
    hide: Annotated[
        Sequence[str],
        setting(
            "classes that overlays leave as they are, such as `background`",
            option="--hide",
            metavar="NAMES",
            read="listed",
        ),
    ] = ()
    format: Annotated[
        Sequence[str],
        setting(
            "forms of results, one or several: `png` (the mask), `coco`, `labelme`, `yolo`, `geojson`, `geotiff`, "
            "`crops`, `csv`, `npy`, `confidence`, `rank`",
            option="--format",
            metavar="FORMS",
            read="listed",
            default="png",
        ),
    ] = ("png",)
    save_crops: Annotated[
        bool,
        setting("also write a crop of each area, in a folder for each class: the form `crops`", option="--save-crops"),
    ] = False
    min_area: Annotated[int, MIN_AREA] = 1
    simplify: Annotated[float, SIMPLIFY] = 0.0
    recursive: Annotated[bool, setting("search the subfolders of folders", option="--recursive -r")] = False
    every: Annotated[int, setting("take every Nth frame", VIDEOS, "--every", metavar="N", ge=1)] = 1
    max_fps: Annotated[
        float | None,
        setting("take at most F frames a second", VIDEOS, "--max-fps", metavar="F", gt=0, allow_inf_nan=False),
    ] = None
    max_frames: Annotated[
        int | None,
        setting("end after N frames of each video, camera or stream", VIDEOS, "--max-frames", metavar="N", ge=1),
    ] = None
    reconnect: Annotated[
        float,
        setting(
            "how long to try to reconnect to a stream that broke off",
            VIDEOS,
            "--reconnect",
            metavar="SECONDS",
            ge=0,
            allow_inf_nan=False,
        ),
    ] = 60.0
    masks: Annotated[bool, setting("also write the mask of every frame, as a PNG", VIDEOS, "--masks")] = False
    codec: Annotated[str, setting("FFmpeg's name of an encoder", VIDEOS, "--codec", metavar="NAME")] = "libx264"
