"""One pair of files -> what is in them. This is what worker processes do; it raises nothing and returns plain data."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from bridgeseg import images
from bridgeseg.checking.fingerprint import Fingerprint, fingerprint
from bridgeseg.data import maskfile
from bridgeseg.data.entries import ImageFacts, MaskFacts, Problem
from bridgeseg.data.finding import FileError
from bridgeseg.errors import InputError
from bridgeseg.pixels import AS_STORED, Note, Reading, is_deep

Depth = Literal["headers", "masks", "turns", "all"]
"""What is decoded: nothing, the mask, the mask and what it takes to know how EXIF turns the image, mask and image."""
Facts = tuple[ImageFacts, MaskFacts]

ORIENTATION = 0x0112
_REDUCED = (72, 64)
"""Size (width, height) that a reduced JPEG must have at least: eight times that of the fingerprint."""


@dataclass(frozen=True)
class Job:
    """Two files to look at, and how: see `examine`."""

    image: Path
    mask: Path
    depth: Depth
    colours: bool
    most_values: int
    max_pixels: int
    reading: Reading = AS_STORED


def examine(job: Job) -> Facts:
    """Look at a pair of files.

    Every file is opened once. JPEGs are decoded at an eighth of their size: all their data is read, so that a file cut
    off is found, and most of the arithmetic is left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files, which would tear the progress bar
        image, mask = _examine(job)
        if job.depth in ("headers", "masks") and image.size != mask.size:
            return _examine(replace(job, depth="turns"))
        return image, mask


def _examine(job: Job) -> Facts:
    try:
        with maskfile.refusing("image", job.image):
            image = _image(job)
    except FileError as error:
        image = ImageFacts(problem=Problem(error.code, error.message, error.fix or ""))
    decode = job.depth != "headers"
    return image, maskfile.look(job.mask, image.size, job.colours, job.most_values, decode=decode)


def _image(job: Job) -> ImageFacts:
    if not job.image.is_file():
        if job.image.exists():
            raise InputError("not a regular file", fix="save the image to a file first")
        raise FileNotFoundError(job.image)
    if job.image.stat().st_size == 0:
        raise InputError("the file is empty", fix="restore it, or remove image and mask")
    data = job.image.read_bytes() if job.depth == "all" else b""
    try:
        source: Any = io.BytesIO(data) if data else job.image
        image = images.open_image(source, job.max_pixels)
    except InputError as error:
        raise FileError("image-too-large", error.message, fix=error.fix or "cut image and mask into tiles") from error
    with image:
        stored, notes = image.size, list[Note]()
        look = None
        if job.depth == "all" or (job.depth == "masks" and not _is_plain(image)):
            look = _decode(image, source, job, notes)
        # A PNG's orientation may stand behind its pixels, and Pillow decodes them to find it.
        unknown = image.format == "PNG" and job.depth in ("headers", "masks")
        orientation = 1 if unknown else _orientation(image)
    size = (stored[1], stored[0]) if orientation >= 5 else stored
    digest = hashlib.blake2b(data, digest_size=16).digest() if data else b""
    return ImageFacts(size, stored, orientation, digest, look, tuple(notes))


def _is_plain(image: Image.Image) -> bool:
    """Return whether nothing of an opened image can be dropped or reinterpreted: 8 bits, no transparency, one image."""
    one = image.format == "MPO" or not getattr(image, "is_animated", False)
    return one and image.mode in ("L", "P", "RGB", "YCbCr") and not image.has_transparency_data and not is_deep(image)


def _decode(image: Image.Image, source: Any, job: Job, notes: list[Note]) -> Fingerprint:
    """Decode all of the file's data, cheaply, and return the image's fingerprint."""
    if not _is_plain(image):
        content = source if isinstance(source, io.BytesIO) else io.BytesIO(job.image.read_bytes())
        return fingerprint(Image.fromarray(images.as_pixels(content, job.reading, notes, job.max_pixels)))
    if image.format == "JPEG":
        image.draft("L", _REDUCED)
    image.load()
    return fingerprint(image)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block, which readers pass over too
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1
