"""Videos made on the fly, from photos of `examples/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))


def photo(sides: tuple[int, int]) -> np.ndarray:
    """Return the first photo, a street, as uint8 (height, width, 3) of this (height, width)."""
    with Image.open(PHOTOS[0]) as image:
        return np.asarray(image.convert("RGB").resize(sides[::-1], Image.Resampling.BICUBIC))


def views(height: int, width: int, start: int = 0, each: int = 240) -> Iterator[np.ndarray]:
    """Yield uint8 RGB (height, width, 3) without end: parts of enlarged photos, as a camera sees that turns slowly.

    Args:
        height, width: of the views.
        start: number of the first view.
        each: views of one photo in a row.
    """
    large = []
    for photo in PHOTOS:
        with Image.open(photo) as image:
            larger = image.convert("RGB").resize((width * 5 // 4, height * 5 // 4), Image.Resampling.BICUBIC)
            large.append(np.asarray(larger))
    for number in count(start):
        image, step = large[number // each % len(large)], number % each
        top, left = step % (height // 4), 3 * step % (width // 4)
        yield np.ascontiguousarray(image[top : top + height, left : left + width])


def write_video(path: Path, images: Iterable[np.ndarray]) -> None:
    """Write an H.264 video, 30 frames a second, of images of one size; needs PyAV."""
    import av

    with av.open(str(path), "w") as container:
        stream = None
        for index, image in enumerate(images):
            if stream is None:
                stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20"})
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def make_video(path: Path, frames: int, height: int, width: int, start: int = 0) -> None:
    """Write a video of so many views, the first of number `start`."""
    write_video(path, islice(views(height, width, start), frames))
