"""Names -> pixels on their way to the network: find, open and decode, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from bridgeseg.errors import InputError
from bridgeseg.images import DEFAULT_MAX_PIXELS, Note, Pixels, Reading, as_pixels
from bridgeseg.pixels import AS_STORED
from bridgeseg.reading.addresses import is_address, is_stream, refusal, whole, without_password
from bridgeseg.reading.left_out import LeftOut
from bridgeseg.reading.live import read_stream, stream
from bridgeseg.reading.pipeline import Pipeline
from bridgeseg.reading.sources import Failure, PathStream, Source, find
from bridgeseg.reading.video import Frame, Video, is_camera, is_video, read_frames

InMemory: TypeAlias = Image.Image | NDArray[Any] | bytes | BinaryIO
"""An image in memory: a Pillow image, an array or a tensor, an encoded file as bytes or opened for bytes."""
ImageInput: TypeAlias = str | Path | Source | Video | PathStream | InMemory
"""What leads to images: names of files, folders, globs, videos, cameras, streams; what was found; images in memory."""
Found: TypeAlias = Source | Video | Failure | InMemory


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image on its way to the network.

    Attributes:
        image: uint8 RGB (H, W, 3).
        path: the file it was read from; None for an image in memory.
        name: what outputs are named after.
        frame: which frame of a video it is; None for an image.
        notes: what was dropped or reinterpreted when it was read.
    """

    image: Pixels
    path: Path | None = None
    name: Path = Path("image")
    frame: Frame | None = None
    notes: tuple[Note, ...] = ()


def one_image(name: str | Path) -> Source:
    """Return the file that the name of one image stands for.

    Raises:
        InputError: it names a camera, a stream, a video, or a file that is to be downloaded first.
    """
    text = str(name)
    if not text:
        raise InputError("no file is named: the name is empty", fix="name a file")
    here = os.path.lexists(name)
    if (not here and (is_camera(text) or is_stream(text))) or is_video(Path(name)):
        message, fix = "this has many images, and one is asked for", "take the results of `model.stream(...)`"
        raise InputError(message, where=without_password(text), fix=fix)
    if not here and is_address(text):
        raise refusal(whole(text))
    return Source(Path(name), Path(Path(name).name))


def load(
    found: Iterable[Found],
    pipeline: Pipeline,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    every: int = 1,
    max_fps: float | None = None,
    max_frames: int | None = None,
    reconnect: float = 60.0,
    how: Reading = AS_STORED,
) -> Iterator[Loaded | Failure]:
    """Read what was found, a stage of a pipeline: it waits until there is room for the pixels of the next image.

    Args:
        found: what `expand` gives.
        pipeline: whoever is done with an image gives its pixels back there.
        max_pixels: images and frames with more are refused.
        every: of a video, take every Nth frame only.
        max_fps: of a video, take at most so many frames a second.
        max_frames: of a video, take at most so many frames.
        reconnect: seconds for which a stream that broke off is tried again.
        how: how to read values whose meaning an image does not state.
    """
    for item in found:
        if isinstance(item, Failure):
            yield item
            continue
        path = item.path if isinstance(item, Source | Video) else None
        taken, notes = 0, list[Note]()

        def admit(pixels: int) -> None:
            nonlocal taken
            pipeline.take(pixels)
            taken += pixels

        try:
            if isinstance(item, Video):
                rates: dict[str, Any] = {"every": every, "max_fps": max_fps, "max_pixels": max_pixels, "notes": notes}
                if item.address is None:
                    frames = read_frames(item, **rates)
                else:
                    frames = read_stream(item, **rates, patience=reconnect, check=pipeline.check)
                with closing(frames):
                    for image, frame in islice(frames, max_frames):
                        pipeline.take(image.shape[0] * image.shape[1])
                        name = item.name.with_suffix("") / f"{frame.index:06d}"
                        yield Loaded(image, item.path, name, frame, tuple(notes))
                        notes.clear()  # what is said of a video is said once
            elif isinstance(item, Source):
                image = item.load(max_pixels, admit, how, notes)
                yield Loaded(image, item.path, item.name, notes=tuple(notes))
            else:
                image = as_pixels(item, how, notes, max_pixels)
                admit(image.shape[0] * image.shape[1])
                shared = not isinstance(item, Image.Image)  # the caller may use an array again
                yield Loaded(image.copy() if shared else image, notes=tuple(notes))
        except InputError as error:
            pipeline.give(taken)
            yield Failure(path, error)


def expand(
    sources: ImageInput | Iterable[ImageInput | Failure],
    *,
    recursive: bool = False,
    skip: str | Path | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Found]:
    """Replace names by the images and videos they lead to; what is in memory passes as it is.

    A file whose ending is that of a video is one, and so is a stream by its address; of folders only the images are
    taken. Arguments as in `find`.

    Raises:
        InputError: something that is no image and names none.
    """
    for item in as_list(sources):
        if isinstance(item, PathStream):
            yield from expand(iter(item), recursive=recursive, skip=skip, left_out=left_out)
        elif isinstance(item, str) and is_camera(item):
            yield Video(Path(item), Path(item.replace(":", "-")))
        elif isinstance(item, str | Path) and is_stream(str(item)) and not os.path.lexists(item):
            yield stream(str(item))
        elif isinstance(item, str | Path):
            for one in find([item], recursive, skip, left_out):
                film = isinstance(one, Source) and is_video(one.path)
                yield Video(one.path, one.name) if film and isinstance(one, Source) else one
        elif isinstance(item, Source | Video | Failure) or in_memory(item):
            yield from as_list(item)
        else:
            kind = type(item).__name__
            fix = "name a file, or give a Pillow image, a uint8 array or the bytes of a file"
            raise InputError(f"an image is a file name, a Pillow image or an array, found {kind}", fix=fix)


def in_memory(item: object) -> bool:
    """Whether something is an image itself, or a batch of them, and not the name of one."""
    kinds = ("__array__", "__array_interface__", "read")
    return isinstance(item, Image.Image | bytes | bytearray | memoryview) or any(hasattr(item, kind) for kind in kinds)


def as_list(sources: Any) -> Iterable[Any]:
    """Return one image as a list of it, many as they are; an array of four axes (B, H, W, C) is many."""
    if in_memory(sources):
        return sources if getattr(sources, "ndim", 3) > 3 else [sources]
    single = str | Path | Source | Video | PathStream | Failure
    many = hasattr(sources, "__iter__") or hasattr(sources, "__getitem__")
    return [sources] if isinstance(sources, single) or not many else sources
