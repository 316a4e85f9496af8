"""A downloaded public dataset -> a folder with a data.yaml that trains: links to its files, and masks of class ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgeseg.catalog import colours, yamltext
from bridgeseg.catalog.layout import Pair, find
from bridgeseg.catalog.obtain import loadable, obtain
from bridgeseg.catalog.place import COPIED, HARD_LINKED, KEPT, LINKED, claim, place, refuse_strangers, write
from bridgeseg.catalog.schema import Entry, entry
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.report.progress import track
from bridgeseg.wording import shown

CONVERTED = "converted"
DOWNLOAD = "download"
"""Folder in the dataset's own for what is loaded, where no other is named."""
PROBES = 4
"""Masks of each split that are read before the data.yaml is written."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` made.

    Attributes:
        data: the data.yaml.
        counts: split -> images.
        files: how many files were `linked`, `hard-linked`, `copied`, `converted`, or `kept` from an earlier run.
        notes: what is worth knowing: other numbers of images than published, splits left out, links not possible.
    """

    data: Path
    counts: dict[str, int]
    files: dict[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {"data": str(self.data), "counts": self.counts, "files": self.files, "notes": list(self.notes)}


def prepare(
    name: str,
    root: str | Path | None = None,
    out: str | Path = "",
    *,
    download: bool = False,
    mirror: str | None = None,
    copy: bool = False,
    workers: int | None = None,
    quiet: bool = False,
) -> Prepared:
    """Make a dataset of a download, with a data.yaml for training.

    Images and masks of class values become links in `out/images` and `out/masks`; the data.yaml maps the values to
    classes. Colour masks are converted. Nothing is written into `root`. An interrupted run is taken up where it ended
    by the same call; existing files are then kept.

    Args:
        name: an entry of the catalog, such as `cityscapes`.
        root: the unpacked download; with `download` where it goes, by default `out/download`.
        out: the folder to make: a new or empty one, or one that the same call made.
        download: load the dataset first, unless an earlier call did. The SHA-256 of what was loaded is in the notes and
            in `root/download.json`.
        mirror: the address of a folder with the same files, to load them from there.
        copy: copy files instead of linking them.
        workers: threads; None for one per core, at most 8.
        quiet: show no progress.

    Raises:
        ConfigError: there is no such entry, it is not loaded by a program, `workers` is below 1, or neither `root` nor
            `download` is given.
        DataError: `root` has not the published layout, files are missing or broken, masks hold other values than
            the published ones, or what was loaded is not what was published.
        InputError: `out` is in use for something else, lies in `root`, or cannot be written; or there is no network.
    """
    known = entry(name)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, found {workers}", fix="leave it out")
    if not out:
        raise ConfigError("no folder to make is given", fix="name it: out=DIR")
    target = Path(out)
    folder = _folder(known, root, target, download, mirror)
    mark = {"dataset": known.name, "root": str(folder.resolve())}
    loaded: tuple[str, ...] = ()
    if download:
        claim(target, mark, folder)
        loaded = obtain(known, folder, mirror=mirror, show=not quiet)
    found = find(known, folder)
    claim(target, mark, folder)
    refuse_strangers(target, {path for pair in found.pairs for path in targets(target, pair)})
    files, strays = Tasks(known, target, copy).run(found.pairs, workers or min(8, os.cpu_count() or 1), quiet)
    counts = dict(Counter(pair.split for pair in found.pairs))
    data = _write_yaml(target, known, counts)
    return Prepared(data, counts, files, (*loaded, *found.notes, *_notes(files, strays, copy)))


def _folder(known: Entry, root: str | Path | None, out: Path, download: bool, mirror: str | None) -> Path:
    """Return the folder that holds the download, or will."""
    if download:
        loadable(known, mirror)
        return out / DOWNLOAD if root is None else Path(root)
    if mirror is not None:
        raise ConfigError("it is for a download", where="mirror", fix="leave it out")
    if root is None:
        by_hand = f"bridgeseg data prepare {known.name} --root FOLDER --out DIR"
        loaded = f"bridgeseg data prepare {known.name} --download --out DIR, or {by_hand}"
        fix = loaded if known.archives else by_hand
        raise ConfigError("no folder with the unpacked download is given", fix=fix)
    return Path(root)


class Tasks:
    """What is to be done for each pair: its image placed, its mask placed or converted."""

    def __init__(self, known: Entry, out: Path, copy: bool) -> None:
        self.known, self.out, self.copy = known, out, copy
        self.classes = known.class_set()

    def run(self, pairs: Sequence[Pair], workers: int, quiet: bool) -> tuple[dict[str, int], list[colours.Strays]]:
        """Do it for all pairs; return how many files were treated in which way, and pixels of no class."""
        files: Counter[str] = Counter()
        strays = []
        with ThreadPoolExecutor(workers) as pool:
            futures: list[Future[tuple[str, str, colours.Strays | None]]] = [pool.submit(self._do, p) for p in pairs]
            try:
                done: Iterable[Future[Any]] = futures if quiet else track(futures, self.known.title)
                for future in done:
                    image, mask, stray = future.result()
                    files.update((image, mask))
                    strays += [stray] if stray is not None else []
            finally:
                pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, nothing new is begun
        ways = (LINKED, HARD_LINKED, COPIED, CONVERTED, KEPT)
        return {way: files[way] for way in ways if files[way]}, strays

    def _do(self, pair: Pair) -> tuple[str, str, colours.Strays | None]:
        # Real paths, so that a link does not break when the folder it was made from is reached in another way.
        image, mask = (path.resolve() for path in (pair.image, pair.mask))
        image_out, mask_out = targets(self.out, pair)
        way = place(image, image_out, self.copy)
        if self.known.masks == "ids":
            return way, place(mask, mask_out, self.copy), None
        if mask_out.is_file() and mask_out.stat().st_mtime_ns >= mask.stat().st_mtime_ns:
            return way, KEPT, None
        return way, CONVERTED, colours.convert(mask, mask_out, self.classes, self.known.unlabelled)


def targets(out: Path, pair: Pair) -> tuple[Path, Path]:
    """Return where the image and the mask of a pair go."""
    image = out / "images" / pair.split / f"{pair.key}{pair.image.suffix}"
    return image, out / "masks" / pair.split / f"{pair.key}.png"


def _write_yaml(out: Path, known: Entry, counts: dict[str, int]) -> Path:
    """Write the data.yaml, once it is sure that it loads and that its masks are what they should be."""
    text = yamltext.text(known, tuple(counts))
    data = out / "data.yaml"

    def make(part: Path) -> None:
        part.write_text(text, encoding="utf-8")
        _check(DataSpec.load(part), known, counts)

    try:
        write(data, make)
    except OSError as error:
        fix = "free some space, or choose another `out`"
        raise InputError(f"cannot be written: {shown(error)}", where=data, fix=fix) from error
    return data


def _check(spec: DataSpec, known: Entry, counts: dict[str, int]) -> None:
    for split in counts:
        samples = spec.samples(split)
        for sample in samples[:: max(1, -(-len(samples) // PROBES))]:
            try:
                read_mask(sample.mask, spec)
            except DataError as error:
                message = f"this mask is not as {known.title} has them: {error.message}"
                fix = f"the masks must be those of the download, unchanged: {known.download}"
                raise DataError(message, where=sample.mask.resolve(), fix=fix) from error


def _notes(files: dict[str, int], strays: Sequence[colours.Strays], copy: bool) -> list[str]:
    notes = []
    unlinked = [f"{files[way]:,} files were {way}" for way in (HARD_LINKED, COPIED) if way in files]
    if unlinked and not copy:
        notes.append(f"symbolic links are not possible here: {', '.join(unlinked)}")
    if strays:
        pixels = sum(stray.pixels for stray in strays)
        shades = list(dict.fromkeys(colour for stray in strays for colour in stray.colours))[:5]
        notes.append(
            f"{pixels:,} pixels of {len(strays)} masks have colours of no class ({', '.join(shades)}) and are ignored: "
            + ", ".join(stray.mask.name for stray in strays[:3])
        )
    return notes
