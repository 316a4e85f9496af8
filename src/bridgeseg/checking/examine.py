"""One pair of files -> what is in them. This is what worker processes do; it raises nothing and returns plain data."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from bridgeseg import images
from bridgeseg.checking import maskfile
from bridgeseg.checking.fingerprint import Fingerprint, fingerprint
from bridgeseg.checking.maskfile import MaskFacts, Problem
from bridgeseg.errors import InputError
from bridgeseg.wording import shown

Depth = Literal["headers", "masks", "turns", "all"]
"""What is decoded: nothing, the mask, the mask and what it takes to know how EXIF turns the image, mask and image."""

ORIENTATION = 0x0112
_REDUCED = (72, 64)
"""Size (width, height) that a reduced JPEG must have at least: eight times that of the fingerprint."""


@dataclass(frozen=True)
class ImageFacts:
    """What an image file holds.

    Attributes:
        size: (width, height), upright; None if the file cannot be read.
        stored: (width, height) in the file.
        orientation: of EXIF, 1..8; 1 is upright.
        digest: of the file's bytes; empty unless it was read.
        look: what it looks like; None unless it was decoded.
        problem: why it cannot be read.
    """

    size: tuple[int, int] | None = None
    stored: tuple[int, int] | None = None
    orientation: int = 1
    digest: bytes = b""
    look: Fingerprint | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class PairFacts:
    """What the two files of a pair hold."""

    image: ImageFacts
    mask: MaskFacts


@dataclass(frozen=True)
class Job:
    """Two files to look at, and how: see `examine`."""

    image: Path
    mask: Path
    depth: Depth
    colours: bool
    most_values: int
    max_pixels: int


def examine(job: Job) -> PairFacts:
    """Look at a pair of files.

    Every file is opened once. JPEGs are decoded at an eighth of their size: all their data is read, so that a file cut
    off is found, and most of the arithmetic is left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files, which would tear the progress bar
        facts = _examine(job)
        if job.depth in ("headers", "masks") and facts.image.size != facts.mask.size:
            return _examine(replace(job, depth="turns"))
        return facts


def _examine(job: Job) -> PairFacts:
    image = _guarded(lambda: _image(job), "image")
    facts = image if isinstance(image, ImageFacts) else ImageFacts(problem=image)
    mask = _guarded(
        lambda: maskfile.read(job.mask, facts.size, job.colours, job.most_values, decode=job.depth != "headers"), "mask"
    )
    return PairFacts(facts, mask if isinstance(mask, MaskFacts) else MaskFacts(problem=mask))


def _guarded(read: Callable[[], Any], kind: str) -> Any:
    """Return what `read` returns, or the problem that its exception stands for."""
    code, fix = f"{kind}-unreadable", f"replace the file by an intact {kind}, or remove image and mask"
    try:
        return read()
    except maskfile.MaskProblemError as error:
        return error.problem
    except FileNotFoundError:
        return Problem(f"{kind}-missing", "the file does not exist, or is a link to nothing", fix)
    except UnidentifiedImageError:
        return Problem(code, "not a picture in a known format", fix)
    except Image.DecompressionBombError as error:
        return Problem(f"{kind}-too-large", shown(error), "cut image and mask into tiles")
    except InputError as error:
        return Problem(code, error.message, error.fix or fix)
    except MemoryError:
        return Problem(f"{kind}-too-large", "there is not enough memory to decode it", "cut image and mask into tiles")
    except Exception as error:  # decoders raise nearly anything on damaged files
        return Problem(code, shown(error), fix)


def _image(job: Job) -> ImageFacts:
    if not job.image.is_file():
        if job.image.exists():
            raise InputError("not a regular file", fix="save the picture to a file first")
        raise FileNotFoundError(job.image)
    if job.image.stat().st_size == 0:
        raise InputError("the file is empty", fix="restore it, or remove image and mask")
    data = job.image.read_bytes() if job.depth == "all" else b""
    try:
        source: Any = io.BytesIO(data) if data else job.image
        picture = images.open_image(source, job.max_pixels)
    except InputError as error:
        return ImageFacts(problem=Problem("image-too-large", error.message, error.fix or ""))
    with picture:
        stored = picture.size
        look = _decode(picture) if job.depth == "all" else None
        # A PNG's orientation may stand behind its pixels, and Pillow decodes them to find it.
        unknown = picture.format == "PNG" and job.depth in ("headers", "masks")
        orientation = 1 if unknown else _orientation(picture)
    size = (stored[1], stored[0]) if orientation >= 5 else stored
    digest = hashlib.blake2b(data, digest_size=16).digest() if data else b""
    return ImageFacts(size, stored, orientation, digest, look)


def _decode(picture: Image.Image) -> Fingerprint:
    """Decode all of the file's data, cheaply, and return the picture's fingerprint."""
    if picture.format == "JPEG":
        picture.draft("L", _REDUCED)
    picture.load()
    if picture.mode.startswith(("I", "F")):
        return fingerprint(Image.fromarray(images.as_pixels(picture)))  # refuses ranges that have no known white
    return fingerprint(picture)


def _orientation(picture: Image.Image) -> int:
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block, which readers pass over too
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1
