"""Findings about single files: unreadable, of another size than their partner, turned by EXIF, oddly stored."""

from __future__ import annotations

from bridgeseg.checking.entries import Dataset, Entry
from bridgeseg.checking.maskfile import Problem
from bridgeseg.checking.report import Finding, display, number

_PROBLEMS = {
    "image-missing": ("image", "missing"),
    "image-unreadable": ("image", "that cannot be read"),
    "image-too-large": ("image", "with too many pixels"),
    "mask-missing": ("mask", "missing"),
    "mask-unreadable": ("mask", "that cannot be read"),
    "mask-too-large": ("mask", "with too many pixels"),
    "mask-lossy": ("mask", "in a format whose compression smears ids"),
    "mask-frames": ("mask", "with several frames"),
    "mask-kind": ("mask", "of a kind that cannot hold ids"),
}
SWAPPED = 5
"""EXIF orientations from this one on swap width and height."""


def file_findings(data: Dataset) -> list[Finding]:
    """Return all of them; every one but the last three kinds is an error."""
    return [*_problems(data), *_sizes(data), *_orientations(data), *_storage(data)]


def _problems(data: Dataset) -> list[Finding]:
    by_code: dict[str, list[tuple[Entry, Problem]]] = {}
    for entry in data.entries:
        for problem in (entry.facts.image.problem, entry.facts.mask.problem):
            if problem is not None:
                by_code.setdefault(problem.code, []).append((entry, problem))
    found: list[Finding] = []
    for code, (thing, text) in _PROBLEMS.items():
        concerned = by_code.get(code, [])
        entries = [entry for entry, _ in concerned]
        reasons = {
            data.name(entry.sample.image if thing == "image" else entry.sample.mask): problem.text
            for entry, problem in concerned
        }
        found += data.finding(
            code,
            "error",
            entries,
            lambda count, thing=thing, text=text, why=reasons: (  # type: ignore[misc]
                f"{number(count, thing)} {text} ({display(next(iter(why.values())))})"
            ),
            concerned[0][1].fix if concerned else "",
            images=thing == "image",
            details={"reasons": dict(list(reasons.items())[:20])},
        )
    return found


def _sizes(data: Dataset) -> list[Finding]:
    turned: list[Entry] = []
    other: list[Entry] = []
    for entry in data.entries:
        image, mask = entry.facts.image, entry.facts.mask
        if image.size is None or mask.size is None or image.size == mask.size:
            continue
        (turned if image.orientation >= SWAPPED and image.stored == mask.size else other).append(entry)
    sizes = {
        data.name(entry.sample.mask): {"mask": entry.facts.mask.size, "image": entry.facts.image.size}
        for entry in other[:20]
    }
    first = next(iter(sizes.values()), {})
    return [
        *data.finding(
            "exif-mask-not-rotated",
            "error",
            turned,
            lambda count: f"{number(count, 'mask')} not turned as EXIF turns the image",
            "turn the masks, or save the images upright",
        ),
        *data.finding(
            "size-mismatch",
            "error",
            other,
            lambda count: (
                f"{number(count, 'mask')} of another size than the image (the first {_size(first['mask'])}, its image "
                f"{_size(first['image'])})"
            ),
            "make the mask in the size of its image, without smoothing (nearest neighbour)",
            details={"sizes": sizes},
        ),
    ]


def _orientations(data: Dataset) -> list[Finding]:
    """Turned pictures whose masks have the right size either way: only a person can tell."""
    unsure = [
        entry
        for entry in data.entries
        if (image := entry.facts.image).orientation != 1
        and image.size is not None
        and image.size == entry.facts.mask.size
        and (image.orientation < SWAPPED or image.size[0] == image.size[1])
    ]
    return data.finding(
        "exif-orientation-unsure",
        "warning",
        unsure,
        lambda count: f"{number(count, 'image')} turned or mirrored by EXIF, and the size does not tell if the mask is",
        "look at them (`--html`); save the images upright and the question is gone",
        images=True,
        details={
            "orientations": {data.name(entry.sample.image): entry.facts.image.orientation for entry in unsure[:20]}
        },
    )


def _storage(data: Dataset) -> list[Finding]:
    """Masks that are read as they were meant but are stored in an odd way."""
    read = [entry for entry in data.entries if entry.facts.mask.mode]
    alpha = [entry for entry in read if entry.facts.mask.mode.endswith("A")]
    deep = [entry for entry in read if entry.facts.mask.mode.startswith("I")]
    grey = [
        entry
        for entry in read
        if (mask := entry.facts.mask).mode.startswith("RGB") and mask.values is not None and not mask.transparent
    ]
    return [
        *data.finding(
            "mask-transparent",
            "error",
            [entry for entry in alpha if entry.facts.mask.transparent],
            lambda count: f"{number(count, 'mask')} with transparent pixels",
            "save them without an alpha channel",
        ),
        *data.finding(
            "mask-alpha",
            "note",
            [entry for entry in alpha if not entry.facts.mask.transparent],
            lambda count: f"{number(count, 'mask')} with an alpha channel that says nothing, and is passed over",
            "nothing needs to be done; without it they are smaller",
        ),
        *data.finding(
            "mask-16-bit",
            "note",
            deep if len(data.spec.classes) <= 255 else [],
            lambda count: f"{number(count, 'mask')} of 16 bits or more, where 8 hold all classes",
            "nothing needs to be done if no other finding names them; with 8 bits they are smaller",
        ),
        *data.finding(
            "mask-grey-rgb",
            "note",
            grey,
            lambda count: (
                f"{number(count, 'mask')} of grey saved as RGB: the ids stand there three times, and are read"
            ),
            "nothing needs to be done; with one channel they are smaller",
        ),
    ]


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else f"{size[0]}x{size[1]}"
