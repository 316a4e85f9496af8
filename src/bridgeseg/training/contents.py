"""What a run was trained on: the SHA-256 of every image and mask, and what has changed since."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridgeseg.data.joining import Joined, Member
from bridgeseg.data.places import locate
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError
from bridgeseg.files import digest, write
from bridgeseg.hardware import usable_cores
from bridgeseg.report.progress import ProgressBar
from bridgeseg.settings.train import TrainConfig

CONTENTS = "data.sha256"
"""In the run folder, as `sha256sum` writes it: names are relative to the root of the dataset."""


def contents(spec: DataSpec, config: TrainConfig, *, quiet: bool = False) -> dict[str, str]:
    """Read the splits that a run uses; return file (relative to the dataset's root, `/` between its parts) -> SHA-256.

    Raises:
        DataError: a split or a file of it cannot be read.
    """
    splits = dict.fromkeys([*config.train_splits, *([] if config.val_split is None else [config.val_split])])
    files = {file for split in splits for sample in spec.samples(split) for file in (sample.image, sample.mask)}
    files |= {locate(spec.root, spec.labelled_file)} if spec.labelled_file else set()
    named = {Path(os.path.relpath(file, spec.root)).as_posix(): file for file in files}
    found: dict[str, str] = {}
    with (
        ProgressBar("reading the data", len(named), show=not quiet) as bar,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):
        for name, value in zip(named, pool.map(_digest, named.values()), strict=True):
            found[name] = value
            bar.advance()
    return dict(sorted(found.items()))


def contents_file(joined: Joined, member: Member) -> str:
    """Return the name of the file in the run folder: `data.sha256`, or `data-camvid.sha256` of one of several."""
    stem, dot, kind = CONTENTS.partition(".")
    return f"{stem}-{member.name}{dot}{kind}".replace("/", "_") if joined.several else CONTENTS


def write_contents(out: Path, found: dict[str, str], name: str = CONTENTS) -> None:
    """Write `data.sha256`, or a file of another name, into a run folder.

    Raises:
        InputError: it cannot be written.
    """
    write(out / name, "".join(f"{value}  {name}\n" for name, value in found.items()).encode(errors="surrogateescape"))


def refuse_other_contents(
    out: Path, spec: DataSpec, config: TrainConfig, name: str = CONTENTS, *, quiet: bool = False
) -> None:
    """Refuse to continue a run on images or masks that are not those that it was started with.

    Runs of versions that wrote no `data.sha256` are not checked.

    Raises:
        DataError: files were changed, added or removed; the text says how many and names the first.
    """
    try:
        lines = (out / name).read_bytes().decode(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return
    known = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    found = contents(spec, config, quiet=quiet)
    changes = {
        "changed": [name for name in known if name in found and found[name] != known[name]],
        "missing": [name for name in known if name not in found],
        "new": [name for name in found if name not in known],
    }
    told = [
        f"{len(names)} {'file is' if len(names) == 1 else 'files are'} {what} (such as {names[0]})"
        for what, names in changes.items()
        if names
    ]
    if told:
        raise DataError(
            f"the images and masks are not those that this run was started with: {', '.join(told)}",
            where=spec.path,
            fix="undo the change, or start a new run with another `out`",
        )


def _digest(file: Path) -> str:
    try:
        return digest(file)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(
            f"cannot be read: {reason}", where=file, fix="put it back, or remove it from the split"
        ) from error
