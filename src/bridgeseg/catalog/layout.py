"""A downloaded dataset's folder -> the images of each split and their masks, or an error that says what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridgeseg.catalog.schema import Entry, Layout, Source
from bridgeseg.data.listing import MAX_LIST_BYTES
from bridgeseg.errors import DataError
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

_FRAME = re.compile(r"(?P<sequence>\w+)_f?(?P<number>\d+)")


@dataclass(frozen=True)
class Pair:
    """One image of a split and its mask; `key` is the path both will have, without ending."""

    split: str
    key: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Found:
    """What a root holds: its pairs, sorted by split and key, and what is worth knowing about them."""

    root: Path
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def find(entry: Entry, root: Path) -> Found:
    """Find a dataset's images and masks.

    Raises:
        DataError: `root` is no folder, has none of the published layouts, lacks masks or images that its lists name, or
            cannot be read.
    """
    try:
        if not root.is_dir():
            found = "a file" if root.exists() else "nothing"
            raise DataError(f"expected a folder, found {found}", where=root, fix=f"get it from {entry.download}")
        folder, layout = _choose(entry, root)
        return _read(entry, folder, layout)
    except OSError as error:
        raise DataError(f"cannot be read: {shown(error)}", where=root, fix="check path and permissions") from error


def _choose(entry: Entry, root: Path) -> tuple[Path, Layout]:
    """Return the folder and the layout with most of the splits."""
    places = [(root / place, layout) for layout in entry.layouts for place in layout.roots]
    counts = [sum(not _missing(folder, sources) for sources in layout.splits.values()) for folder, layout in places]
    best = max(range(len(places)), key=counts.__getitem__)
    if counts[best]:
        return places[best]
    raise _no_layout(entry, root)


def _missing(folder: Path, sources: Sequence[Source]) -> list[str]:
    return [place for place in _needed(sources) if not (folder / place).exists()]


def _needed(sources: Sequence[Source]) -> list[str]:
    """Return the paths that a split must have, those of optional sources aside."""
    return list(dict.fromkeys(place for source in sources if not source.optional for place in source.needed))


def _no_layout(entry: Entry, root: Path) -> DataError:
    wanted = [
        ", ".join(dict.fromkeys(place for sources in layout.splits.values() for place in _needed(sources)))
        for layout in entry.layouts
    ]
    folders = dict.fromkeys(place for layout in entry.layouts for place in layout.roots)
    there = sorted(path.name + ("/" if path.is_dir() else "") for path in root.iterdir())
    held = f"{', '.join(map(shown, there[:12]))}{', ...' if len(there) > 12 else ''}" if there else "nothing"
    parents = ", ".join("the folder itself" if place == "." else f"{place}/" for place in folders)
    return DataError(
        f"this is not the published layout of {entry.title}: of no split there is all that is needed.\n"
        f"  looked for: {'; or '.join(wanted)}\n  in: {parents}\n  found: {held}",
        where=root,
        fix=f"unpack the download from {entry.download} there" + (f"; {entry.hint}" if entry.hint else ""),
    )


def _read(entry: Entry, folder: Path, layout: Layout) -> Found:
    pairs: list[Pair] = []
    notes: list[str] = []
    for split, sources in layout.splits.items():
        published = " or ".join(f"{count:,}" for count in entry.sizes[split])
        lacking = _missing(folder, sources)
        if lacking:
            notes.append(f"{split} is left out ({published} images are published): no {', '.join(lacking)}")
            continue
        found: dict[str, Pair] = {}
        for source in sources:
            if source.optional and any(not (folder / place).exists() for place in source.needed):
                continue
            fresh = [pair for pair in _pairs(entry, folder, split, source) if pair.key not in found]
            found |= {pair.key: pair for pair in fresh}
            if source.optional:
                notes.append(f"{split} has {len(fresh):,} more images by {source.masks}")
        if not found:
            notes.append(f"{split} is left out ({published} images are published): it is empty")
        elif len(found) not in entry.sizes[split]:
            notes.append(f"{split} has {len(found):,} images; {published} are published")
        pairs += [found[key] for key in sorted(found)]
    if not pairs:
        raise _no_layout(entry, folder)
    return Found(folder, tuple(pairs), (*notes, *_unused(layout, folder, pairs)))


def _pairs(entry: Entry, folder: Path, split: str, source: Source) -> list[Pair]:
    images, masks = folder / source.images, folder / source.masks
    there = _keys(images, source.image_end, source.nested)
    masked = _keys(masks, source.mask_end, source.nested)
    if source.only is not None:
        wanted = _listed(folder / source.only, source)
    elif source.without is not None:
        wanted = sorted(masked - set(_listed(folder / source.without, source)))
    else:
        wanted = sorted(key for key in there if source.frames is None or _within(key, source.frames))
    for kind, keys, place, end in (
        ("image", there, source.images, source.image_end),
        ("mask", masked, source.masks, source.mask_end),
    ):
        lacking = [f"{place}/{key}{end}" for key in wanted if key not in keys]
        if lacking:
            raise DataError(
                f"{len(lacking):,} of {len(wanted):,} files of {split} have no {kind}: {_first(lacking)}",
                where=folder,
                fix=f"unpack the whole download from {entry.download}",
            )
    return [Pair(split, key, images / f"{key}{source.image_end}", masks / f"{key}{source.mask_end}") for key in wanted]


def _keys(folder: Path, end: str, nested: bool) -> set[str]:
    """Return the names of a folder's files without their ending; hidden files (`._x.png`) are no data."""
    files = folder.glob(f"*/?*{end}" if nested else f"?*{end}")
    return {path.relative_to(folder).as_posix().removesuffix(end) for path in files if not path.name.startswith(".")}


def _listed(path: Path, source: Source) -> list[str]:
    """Return the key in the first word of each line, an image's name or its path, in order, without repeats."""
    words = (line.split() for line in read_text(path, MAX_LIST_BYTES).splitlines())
    first = (word[0].removeprefix(f"{source.images}/").removesuffix(source.image_end) for word in words if word)
    keys = list(dict.fromkeys(first))
    odd = [key for key in keys if "/" in key or "\\" in key or key.startswith(".")]
    if odd or not keys:
        found = f"{shown(odd[0])} in it" if odd else "nothing in it"
        raise DataError(f"expected one name of an image a line, found {found}", where=path, fix="restore the list")
    return keys


def _within(key: str, frames: Mapping[str, Sequence[tuple[int, int]]]) -> bool:
    """Whether a key like `Seq05VD_f00030` names a sequence and a number of these ranges."""
    match = _FRAME.fullmatch(key)
    if match is None:
        return False
    return any(low <= int(match["number"]) <= high for low, high in frames.get(match["sequence"], ()))


def _unused(layout: Layout, folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """Say how many frames belong to no split, where splits are told by frame numbers."""
    sources = [source for sources in layout.splits.values() for source in sources if source.frames is not None]
    if not sources:
        return []
    left = _keys(folder / sources[0].images, sources[0].image_end, sources[0].nested) - {pair.key for pair in pairs}
    return [f"{len(left):,} images belong to no published split: {_first(sorted(left))}"] if left else []


def _first(items: Sequence[str], count: int = 5) -> str:
    return ", ".join(items[:count]) + (f", ... ({len(items) - count:,} more)" if len(items) > count else "")
