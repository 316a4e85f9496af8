"""The values of a data.yaml, one function per key: raw YAML in, checked value or DataError out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bridgeseg.classes import ClassSet, Colour, colour_of, default_palette, is_unicode
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.pixels import Reading
from bridgeseg.wording import shown
from bridgeseg.yamlfile import kind

MAX_MASK_VALUE = 65535
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def names(data: Mapping[Any, Any], path: Path) -> list[str]:
    """Return the K class names, from a list or from a mapping id -> name with the ids 0..K-1."""
    given = data.get("names")
    if isinstance(given, Mapping):
        given = {
            int(key) if isinstance(key, str) and re.fullmatch("[0-9]{1,5}", key) else key: name
            for key, name in given.items()
        }
        if any(type(key) is not int for key in given) or set(given) != set(range(len(given))):
            raise DataError(
                f"the ids of `names` must be 0 to {len(given) - 1} without gaps, found {shown(list(given))}",
                where=path,
                fix="number the classes from 0; other values of masks are mapped by `label_map`",
            )
        given = [given[index] for index in range(len(given))]
    if not isinstance(given, list) or not given:
        raise DataError(
            f"`names` must list the classes, found {shown(given) if given else kind(given)}",
            where=path,
            fix="write `names: [sky, road]` or `names: {0: sky, 1: road}`",
        )
    if len(given) > MAX_MASK_VALUE:
        raise DataError(
            f"{len(given)} classes; a mask can tell {MAX_MASK_VALUE} apart", where=path, fix="merge classes"
        )
    listed = [_name(index, name, path) for index, name in enumerate(given)]
    twice = [name for name, count in Counter(listed).items() if count > 1]
    if twice:
        raise DataError(f"class names repeat: {shown(twice)}", where=path, fix="give every class its own name")
    return listed


def check_count(data: Mapping[Any, Any], names: Sequence[str], path: Path) -> None:
    """Refuse an `nc` that is not the number of names."""
    count = data.get("nc")
    if count is not None and count != len(names):
        raise DataError(f"`nc` is {shown(count)} but `names` has {len(names)} classes", where=path, fix="remove `nc`")


def _name(index: int, given: Any, path: Path) -> str:
    if type(given) is int:
        return shown(given)
    if not isinstance(given, str):
        message = f"the name of class {index} is read as {kind(given)} ({shown(given)})"
        raise DataError(message, where=path, fix='put the name in quotes, e.g. "no"')
    if not given.strip():
        raise DataError(f"the name of class {index} is empty", where=path, fix="name it")
    return given.strip()


def class_set(names: Sequence[str], data: Mapping[Any, Any], path: Path) -> ClassSet:
    """Return names, prompts and palette as a checked `ClassSet`."""
    index = {name: number for number, name in enumerate(names)}
    try:
        return ClassSet.build(names, _prompts(data, index, path), _palette(data, index, path))
    except DataError as error:
        if error.where is not None:
            raise
        raise DataError(error.message, where=path, fix=error.fix) from error


def _prompts(data: Mapping[Any, Any], index: Mapping[str, int], path: Path) -> dict[str, list[str]]:
    given = data.get("prompts") or {}
    if not isinstance(given, Mapping):
        message = f"`prompts` must map classes to phrases, found {kind(given)}"
        raise DataError(message, where=path, fix="write `prompts: {person: [pedestrian]}`")
    names = list(index)
    result = {}
    for key, phrases in given.items():
        listed = [phrases] if isinstance(phrases, str) else phrases
        if not isinstance(listed, list) or not listed or not all(isinstance(t, str) and t.strip() for t in listed):
            message = f"`prompts` of {shown(key)} must be a phrase or a list of phrases, found {shown(phrases)}"
            raise DataError(message, where=path, fix='write texts in quotes, e.g. ["a person"]')
        name = names[class_id(key, index, "prompts", path)]
        if name in result:
            raise _twice("prompts", name, path)
        result[name] = listed
    return result


def _palette(data: Mapping[Any, Any], index: Mapping[str, int], path: Path) -> list[Colour] | None:
    given = data.get("palette")
    if given is None:
        return None
    if isinstance(given, Mapping):
        colours = list(default_palette(len(index)))
        places = [class_id(key, index, "palette", path) for key in given]
        for place, value in zip(places, given.values(), strict=True):
            if places.count(place) > 1:
                raise _twice("palette", list(index)[place], path)
            colours[place] = _colour(value, path)
        return colours
    if not isinstance(given, list):
        message = f"`palette` must list {len(index)} colours or map classes to colours, found {kind(given)}"
        raise DataError(message, where=path, fix="write `palette: {road: [128, 64, 128]}`")
    return [_colour(value, path) for value in given]


def _twice(key: str, name: str, path: Path) -> DataError:
    message = f"`{key}` lists class {shown(name)} twice, by its name and by its id"
    return DataError(message, where=path, fix="leave one of the two out")


def _colour(value: Any, path: Path) -> Colour:
    if isinstance(value, str) and _COLOUR.fullmatch(value):
        return colour_of(int(value[1:], 16))
    if isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value):
        return value[0], value[1], value[2]
    message = f"a colour is three numbers of 0..255 or '#rrggbb', found {shown(value)}"
    raise DataError(message, where=path, fix='write [128, 64, 128] or "#804080"')


def class_id(value: Any, index: Mapping[str, int], key: str, path: Path) -> int:
    """Return the id of a class given by name or id; `key` is the key of the file that refers to it."""
    if isinstance(value, str):
        if value.strip() in index:
            return index[value.strip()]
        message = f"`{key}` names {shown(value)}, which is no class; {nearest(value, index)}"
        raise DataError(message, where=path, fix="correct the name")
    if type(value) is int and 0 <= value < len(index):
        return value
    message = f"`{key}` refers to class {shown(value)}; allowed: a name, or an id of 0..{len(index) - 1}"
    raise DataError(message, where=path, fix="correct it")


def label_maps(
    data: Mapping[Any, Any], classes: ClassSet, path: Path
) -> tuple[dict[int, int] | None, dict[int, int] | None]:
    """Return (mask value -> class id, colour 0xRRGGBB -> class id); at most one of the two is not None.

    Keys of `label_map` are all mask values 0..65535 (and -1, to be ignored) or all colours '#rrggbb'; values are a
    class (name or id), or null or the ignore index for ignore. A mask must hold no value that is not listed, except the
    ignore index. `label_mapping` is Ultralytics' key: `ignore_label` means ignore too, and class ids not listed keep
    their meaning.
    """
    keys = [key for key in ("label_map", "label_mapping") if data.get(key) is not None]
    if len(keys) == 2:
        raise DataError("both `label_map` and `label_mapping` are given", where=path, fix="keep `label_map`")
    if not keys:
        return None, None
    key, table = keys[0], data[keys[0]]
    if not isinstance(table, Mapping) or not table:
        message = f"`{key}` must map mask values to classes, found {shown(table)}"
        raise DataError(message, where=path, fix=f"write `{key}: {{7: 0, 8: null}}`")
    index = {name: number for number, name in enumerate(classes.names)}
    ignored: tuple[Any, ...] = (None, classes.ignore_index, *(["ignore_label"] if key == "label_mapping" else []))

    def target(value: Any) -> int:
        return classes.ignore_index if value in ignored else class_id(value, index, key, path)

    if all(isinstance(value, str) and _COLOUR.fullmatch(value) for value in table):
        colours = {int(colour[1:], 16): target(value) for colour, value in table.items()}
        if len(colours) < len(table):
            raise DataError(f"`{key}` lists a colour twice", where=path, fix="write every colour once, in lower case")
        return None, colours
    _check_mask_values(table, ignored, key, path)
    mapped = {value: target(wanted) for value, wanted in table.items()}
    unchanged = {value: value for value in range(len(classes))} if key == "label_mapping" else {}
    return unchanged | mapped, None


def _check_mask_values(table: Mapping[Any, Any], ignored: Sequence[Any], key: str, path: Path) -> None:
    # -1 is "ignore" to GDAL, to PyTorch and, as the value of licence plates, to Cityscapes.
    for value, target in table.items():
        lowest = -1 if target in ignored else 0
        if type(value) is not int or not lowest <= value <= MAX_MASK_VALUE:
            raise DataError(
                f"`{key}` has the mask value {shown(value)}; allowed: all numbers of 0..{MAX_MASK_VALUE} (and -1 for "
                "null), or all colours '#rrggbb'",
                where=path,
                fix='write {7: road} or {"#804080": road}',
            )


def locations(given: Any, split: str, path: Path) -> tuple[str, ...]:
    """Return the folders and .txt files of a split, as written."""
    listed = given if isinstance(given, list) else [given]
    if not listed:
        raise DataError(f"`{split}` is an empty list", where=path, fix=f"write `{split}: images/{split}`")
    return tuple(text_path(place, split, path) for place in listed)


def masks_dir(data: Mapping[Any, Any], path: Path) -> str:
    """Return the folder name (or relative path) that replaces `images`; `masks` if the key is not given."""
    given = data.get("masks_dir")
    value = "masks" if given is None else text_path(given, "masks_dir", path)
    parts = PurePosixPath(value.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ".." in parts:
        message = f"`masks_dir` must be a folder name inside the dataset, found {shown(value)}"
        raise DataError(message, where=path, fix="write `masks_dir: masks`")
    return "/".join(parts)


def mask_suffix(data: Mapping[Any, Any], path: Path) -> str:
    """Return what the name of a mask has behind the name of its image (`a.jpg`, `a_mask.png`: `_mask`)."""
    given = data.get("mask_suffix")
    if given is None:
        return ""
    if not isinstance(given, str) or not given or set("/\\\0") & set(given) or not is_unicode(given):
        message = f"`mask_suffix` must be the end of a file's name, found {shown(given)}"
        raise DataError(message, where=path, fix="write `mask_suffix: _mask` if the mask of a.jpg is a_mask.png")
    return given


def reading(data: Mapping[Any, Any], path: Path) -> Reading:
    """Return how images are read, by the keys `image_range` and `bands`."""
    values = {key: data.get(key) for key in ("image_range", "bands")}
    for key, value in values.items():
        parts = value if isinstance(value, list) else [value]
        if value is not None and not (parts and all(type(part) in (int, float) for part in parts)):
            fix = "write `image_range: 4095` or `image_range: [100, 4095]`, and `bands: [0, 1, 2]`"
            raise DataError(f"`{key}` must be numbers, found {shown(value)}", where=path, fix=fix)
    try:
        return Reading.of(**values)
    except ConfigError as error:
        fix = "write `image_range: 4095` or `image_range: [100, 4095]`, and `bands: [0, 1, 2]`"
        raise DataError(f"`{error.where}`: {error.message}", where=path, fix=fix) from error


def val_share(data: Mapping[Any, Any], splits: Mapping[str, Any], path: Path) -> float:
    """Return the share of the training images that are for validation, 0 for none."""
    given = data.get("val_share")
    if given is None:
        return 0.0
    if type(given) not in (int, float) or not 0 < given < 1:
        message = f"`val_share` must be a number above 0 and below 1, found {shown(given)}"
        raise DataError(message, where=path, fix="write `val_share: 0.1`")
    if "train" not in splits or "val" in splits:
        message = (
            "`val_share` takes the split val from train, and here is a val already"
            if "val" in splits
            else ("`val_share` takes the split val from train, and there is no train")
        )
        raise DataError(message, where=path, fix="remove `val_share`")
    return float(given)


def text_path(value: Any, key: str, path: Path) -> str:
    """Return a path written in a file; refuse other types, empty text and characters that no file system takes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value or not is_unicode(value):
        raise DataError(f"`{key}` must be a path, found {shown(value)}", where=path, fix="write it in quotes")
    return value
