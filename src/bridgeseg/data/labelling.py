"""The keys of a data.yaml about what is labelled, and which names are one or part of another: one function per key."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridgeseg.data.fields import text_path
from bridgeseg.data.places import inside_root, locate
from bridgeseg.errors import DataError, nearest
from bridgeseg.images import SUFFIXES
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

REST = ("ignore", "other")
"""What pixels of names that are not labelled may be: unknown, or none of the labelled names."""
COLUMNS = ("image", "labelled")
"""Header of the file of `labelled_file`."""
MAX_FILE_BYTES = 64_000_000


def labelled(data: Mapping[Any, Any], names: Sequence[str], path: Path) -> tuple[str, ...] | None:
    """Return the names that are labelled wherever they occur, in the order of `names`; None if the key is not given."""
    given = data.get("labelled")
    if given is None:
        return None
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not listed or not all(isinstance(name, str | int) for name in listed):
        message = f"`labelled` must list names of `names`, found {shown(given)}"
        raise DataError(
            message, where=path, fix="write `labelled: [person]`, or leave it out if all names are labelled"
        )
    return _own(listed, names, "labelled", path)


def unlabelled(data: Mapping[Any, Any], path: Path) -> str:
    """Return what pixels of the other names are: `ignore` (the default) or `other`."""
    given = data.get("unlabelled")
    if given is None:
        return REST[0]
    if given not in REST:
        raise DataError(
            f"`unlabelled` is {shown(given)}; allowed: {', '.join(REST)}",
            where=path,
            fix="write `unlabelled: ignore` if anything may be there, `unlabelled: other` if no labelled name is",
        )
    if data.get("labelled") is None and data.get("labelled_file") is None:
        raise DataError(
            "`unlabelled` says what the rest is, and nothing says what is labelled",
            where=path,
            fix="add `labelled: [person]` with the names that are labelled, or remove `unlabelled`",
        )
    return str(given)


def labelled_images(
    data: Mapping[Any, Any], names: Sequence[str], root: Path, path: Path
) -> dict[str, tuple[str, ...]]:
    """Return image (relative to the root, `/` between its parts) -> names it was labelled for, from `labelled_file`.

    The file is CSV with the header `image,labelled`; several names have `;` between them. A path counts from the root,
    or is absolute, and must not lead outside.
    """
    given = data.get("labelled_file")
    if given is None:
        return {}
    file = inside_root(root, locate(root, text_path(given, "labelled_file", path)))
    rows = _rows(file)
    _, header = next(rows, (1, []))
    if tuple(header) != COLUMNS:
        message = f"the first line must be `{','.join(COLUMNS)}`, found {shown(','.join(header))}"
        raise DataError(message, where=file, fix="below it a line for each image: images/train/1.jpg,car;person")
    found: dict[str, tuple[str, ...]] = {}
    for number, row in rows:
        if not any(row):
            continue
        if len(row) != len(COLUMNS):
            message = f"line {number} has {len(row)} cells, not two: {shown(','.join(row))}"
            raise DataError(message, where=file, fix="put `;` between names: images/train/1.jpg,car;person")
        image = _image(row[0], root, number, file)
        if image in found:
            raise DataError(f"line {number} lists {shown(image)} again", where=file, fix="list every image once")
        listed = [name.strip() for name in row[1].split(";") if name.strip()]
        found[image] = _own(listed, names, f"labelled_file` (line {number}) `labelled", path)
    return found


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line that each row begins in, and its cells."""
    rows, number = csv.reader(io.StringIO(read_text(file, MAX_FILE_BYTES), newline=""), strict=True), 1
    try:
        for row in rows:
            yield number, [cell.strip() for cell in row]
            number = rows.line_num + 1
    except csv.Error as error:
        message = f"line {number} cannot be read as CSV: {shown(error)}"
        fix = "leave quotes out: images/train/1.jpg,car;person"
        raise DataError(message, where=file, fix=fix) from error


def _image(text: str, root: Path, number: int, file: Path) -> str:
    """Return the path of an image from the root, without `..`, as the samples of a dataset have it."""
    fix = f"write its path from {root}: images/train/1.jpg"
    try:
        path = inside_root(root, locate(root, text_path(text, COLUMNS[0], file)))
        is_file = path.is_file()
    except (DataError, OSError) as error:
        message = f"line {number}: {error.message if isinstance(error, DataError) else shown(error)}"
        raise DataError(message, where=file, fix=fix) from error
    image = path.relative_to(root)
    if not is_file or "images" not in image.parent.parts or image.suffix.lower() not in SUFFIXES:
        message = f"line {number} names {shown(text)}, which is no image of the dataset"
        raise DataError(message, where=file, fix=fix)
    return image.as_posix()


def same(data: Mapping[Any, Any], path: Path) -> tuple[tuple[str, ...], ...]:
    """Return groups of names, of this dataset or others, that are one."""
    given = data.get("same")
    if given is None:
        return ()
    groups = [given] if isinstance(given, list) and given and all(isinstance(name, str) for name in given) else given
    if not isinstance(groups, list) or not all(_is_names(group) and len(set(group)) > 1 for group in groups):
        message = f"`same` must list groups of two names or more, found {shown(given)}"
        raise DataError(message, where=path, fix="write `same: [[pedestrian, person]]`")
    return tuple(tuple(name.strip() for name in group) for group in groups)


def parts(data: Mapping[Any, Any], path: Path) -> dict[str, tuple[str, ...]]:
    """Return coarse name -> names, of this dataset or others, that are its parts."""
    given = data.get("parts")
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) and _is_names(given[key]) for key in given):
        message = f"`parts` must map a name to a list of its parts, found {shown(given)}"
        raise DataError(message, where=path, fix="write `parts: {vehicle: [car, bus, truck]}`")
    return {whole.strip(): tuple(name.strip() for name in listed) for whole, listed in given.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name.strip() for name in value)


def _own(listed: Sequence[Any], names: Sequence[str], key: str, path: Path) -> tuple[str, ...]:
    """Return names of the dataset in its order; refuse others."""
    chosen = {name.strip() if isinstance(name, str) else name for name in listed}
    for name in chosen:
        if name not in names:
            message = f"`{key}` names {shown(name)}, which is no class; {nearest(str(name), names)}"
            raise DataError(message, where=path, fix="correct the name, or add it to `names`")
    return tuple(name for name in names if name in chosen)
