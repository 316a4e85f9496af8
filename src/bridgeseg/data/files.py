"""Findings about single files: unreadable, of another size than their partner, turned by EXIF, oddly stored."""

from __future__ import annotations

from bridgeseg.data.entries import Dataset, Entry, Problem
from bridgeseg.data.finding import Finding
from bridgeseg.wording import printable

_PROBLEMS = {
    "image-missing": "images are missing",
    "image-unreadable": "images cannot be read",
    "image-too-large": "images have too many pixels",
    "mask-missing": "masks are missing",
    "mask-unreadable": "masks cannot be read",
    "mask-too-large": "masks have too many pixels",
    "mask-format": "masks have a format that is not read",
    "mask-lossy": "masks have a format whose compression smears ids",
    "mask-frames": "masks have several frames",
    "mask-kind": "masks are of a kind that cannot hold ids",
}
SWAPPED = 5
"""EXIF orientations from this one on swap width and height."""
_NOTHING = "nothing needs to be done"


def file_findings(data: Dataset) -> list[Finding]:
    """Return all of them; every one but the last kinds is an error."""
    return [*_problems(data), *_sizes(data), *_orientations(data), *_storage(data), *_notes(data)]


def _problems(data: Dataset) -> list[Finding]:
    by_code: dict[str, list[tuple[Entry, Problem]]] = {}
    for entry in data.entries:
        for problem in (entry.image.problem, entry.mask.problem):
            if problem is not None:
                by_code.setdefault(problem.code, []).append((entry, problem))
    found: list[Finding] = []
    for code, text in _PROBLEMS.items():
        if concerned := by_code.get(code):
            images = code.startswith("image")
            reasons = {
                data.name(entry.sample.image if images else entry.sample.mask): problem.text
                for entry, problem in concerned
            }
            found += data.finding(
                code,
                "error",
                [entry for entry, _ in concerned],
                f"{text}: {printable(concerned[0][1].text)}",
                concerned[0][1].fix,
                images=images,
                details={"reasons": dict(list(reasons.items())[:20])},
            )
    return found


def _sizes(data: Dataset) -> list[Finding]:
    turned: list[Entry] = []
    other: list[Entry] = []
    for entry in data.entries:
        image, mask = entry.image, entry.mask
        if image.size is not None and mask.size is not None and image.size != mask.size:
            (turned if image.orientation >= SWAPPED and image.stored == mask.size else other).append(entry)
    sizes = {data.name(entry.sample.mask): {"mask": entry.mask.size, "image": entry.image.size} for entry in other[:20]}
    first = next(iter(sizes.values()), {})
    return [
        *data.finding(
            "exif-mask-not-rotated",
            "error",
            turned,
            "the masks are not turned as EXIF turns the image",
            "turn the masks (`bridgeseg check --fix-masks DIR` does), or save the images upright",
        ),
        *data.finding(
            "size-mismatch",
            "error",
            other,
            f"the mask is {_size(first.get('mask'))} pixels, its image {_size(first.get('image'))}",
            "make the mask in the size of its image, without smoothing (nearest neighbour)",
            details={"sizes": sizes},
        ),
    ]


def _orientations(data: Dataset) -> list[Finding]:
    """Turned images whose masks have the right size either way: only a person can tell."""
    unsure = [
        entry
        for entry in data.entries
        if (image := entry.image).orientation != 1
        and image.size is not None
        and image.size == entry.mask.size
        and (image.orientation < SWAPPED or image.size[0] == image.size[1])
    ]
    return data.finding(
        "exif-orientation-unsure",
        "warning",
        unsure,
        "images are turned or mirrored by EXIF, and the size does not tell if the mask is",
        "look at them (`bridgeseg check --html PAGE`); save the images upright and the question is gone",
        images=True,
        details={"orientations": {data.name(entry.sample.image): entry.image.orientation for entry in unsure[:20]}},
    )


def _storage(data: Dataset) -> list[Finding]:
    """Masks that are read as they were meant but are stored in an odd way."""
    read = [entry for entry in data.entries if entry.mask.mode]
    alpha = [entry for entry in read if entry.mask.mode.endswith("A")]
    deep = [entry for entry in read if entry.mask.mode.startswith("I")]
    grey = [
        entry
        for entry in read
        if (mask := entry.mask).mode.startswith("RGB") and mask.values is not None and not mask.transparent
    ]
    return [
        *data.finding(
            "mask-transparent",
            "error",
            [entry for entry in alpha if entry.mask.transparent],
            "the mask has transparent pixels",
            "save it without an alpha channel",
        ),
        *data.finding(
            "mask-alpha",
            "note",
            [entry for entry in alpha if not entry.mask.transparent],
            "masks have an alpha channel that says nothing, and is passed over",
            f"{_NOTHING}; without it they are smaller",
        ),
        *data.finding(
            "mask-layers",
            "warning",
            [entry for entry in read if entry.mask.extras],
            "masks have layers or sub-images, and only the flat image is read",
            "save them without, as PNG",
        ),
        *data.finding(
            "mask-16-bit",
            "note",
            deep if len(data.spec.classes) <= 255 else [],
            "masks have 16 bits or more, where 8 hold all classes",
            f"{_NOTHING} if no other finding names them; with 8 bits they are smaller",
        ),
        *data.finding(
            "mask-grey-rgb",
            "note",
            grey,
            "masks of grey were saved as RGB: the ids stand there three times, and are read",
            f"{_NOTHING}; with one channel they are smaller",
        ),
    ]


def _notes(data: Dataset) -> list[Finding]:
    """Images of which something was dropped or reinterpreted."""
    found: list[Finding] = []
    for code in ("image-range", "image-bands", "image-alpha", "image-pages"):
        noted = [(entry, note) for entry in data.entries for note in entry.image.notes if f"image-{note.code}" == code]
        if noted:
            reasons = {data.name(entry.sample.image): note.message for entry, note in noted}
            found += data.finding(
                code,
                "warning",
                [entry for entry, _ in noted],
                next(iter(reasons.values())),
                f"{noted[0][1].fix}{'' if code == 'image-pages' else ' (in data.yaml)'}",
                images=True,
                details={"reasons": dict(list(reasons.items())[:20])},
            )
    return found


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else f"{size[0]}x{size[1]}"
