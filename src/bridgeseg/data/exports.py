"""Which labelling tool's export a folder is, told by its files; and what to do with one that has no data.yaml."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridgeseg.data.finding import some
from bridgeseg.errors import DataError

PROBED_FILES, PROBED_BYTES = 400, 65_536
"""Files of a folder that are looked at, and how much of each."""
TELLING = (".json", ".xml", ".txt", ".csv", ".png")
"""Endings of files that can tell a form."""

TITLES = {
    "supervisely": "Supervisely's project",
    "roboflow": "Roboflow's semantic masks",
    "voc": "Pascal VOC, or CVAT's segmentation mask",
    "cvat": "CVAT XML",
    "label-studio": "Label Studio JSON",
    "label-studio-brush": "Label Studio's brush masks",
    "labelme": "Labelme JSON",
    "cityscapes": "Cityscapes' polygons",
    "coco": "COCO JSON",
    "yolo": "YOLO labels",
}
"""Form of an export -> what messages call it; of the forms that a folder looks like, the first is believed."""

_NUMBER, _SHARE = r"[-+]?\d*\.?\d+([eE][-+]?\d+)?", r"([01]?\.\d+|[01])([eE]-\d+)?"
_YOLO = re.compile(rf"\d{{1,5}}(( {_NUMBER}){{6,}}|( {_SHARE}){{4}})\s*(\n|$)")
"""A line of a polygon, or of a box: a class, and shares of width and height."""
_PLAIN = (
    "put images below images/, PNG masks of class ids with the same names below masks/, and write a data.yaml with "
    "`train: images` and `names: [...]`"
)


def no_yaml(folder: Path) -> DataError:
    """Describe a folder that has no data.yaml."""
    try:
        files = list(itertools.islice(_files(folder), 50 * PROBED_FILES))
        forms = forms_of(files)
    except OSError:
        files, forms = [], []
    message = "there is no file data.yaml in this folder"
    others = sorted(file.name for file in files if file.parent == folder and file.suffix.lower() in (".yaml", ".yml"))
    if others:
        return DataError(f"{message}, but {some(others)}", where=folder, fix=f"name it: `data={folder / others[0]}`")
    if not forms:
        return DataError(message, where=folder, fix=f"name the file if it is elsewhere; else {_PLAIN}")
    made = f"make a dataset of it: bridgeseg data import {folder} --out DIR"
    return DataError(f"{message}; it seems to be an export of {TITLES[forms[0]]}", where=folder, fix=made)


def forms_of(files: Iterable[Path]) -> list[str]:
    """Return the forms that an export looks like, the likeliest first.

    Args:
        files: all of it.

    Raises:
        OSError: a file cannot be read.
    """
    telling = (file for file in files if file.suffix.lower() in TELLING)
    counts = Counter(filter(None, map(form_of, itertools.islice(telling, PROBED_FILES))))
    return [form for form in TITLES if counts[form]]


def has_boxes(labels: Path) -> bool:
    """Return whether the .txt files of a folder of labels hold boxes: on every line a class and four numbers."""
    box = re.compile(rf"\d+([ \t]+{_NUMBER}){{4}}")
    found = False
    for file in itertools.islice(labels.rglob("*.txt"), PROBED_FILES):
        with file.open("rb") as opened:
            head = opened.read(PROBED_BYTES)
        lines = head.decode("utf-8", errors="replace").splitlines()
        lines = lines[:-1] if len(head) == PROBED_BYTES else lines  # the last one may be cut
        for line in filter(None, map(str.strip, lines)):
            if not box.fullmatch(line):
                return False
            found = True
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Give the files of a folder, of its folders and of theirs."""
    for pattern in ("*", "*/*", "*/*/*", "*/*/*/*"):
        yield from (path for path in sorted(folder.glob(pattern)) if path.is_file())


def form_of(file: Path) -> str | None:
    """Return the form that a file tells, None if it tells none.

    Raises:
        OSError: it cannot be read.
    """
    name, suffix = file.name, file.suffix.lower()
    if name == "_classes.csv":
        return "roboflow"
    if "SegmentationClass" in file.parts[:-1] and suffix == ".png":
        return "voc"
    if suffix == ".png":
        return "label-studio-brush" if re.fullmatch(r"task-\d+-annotation-\d+-by-.*\.png", name) else None
    if suffix not in (".json", ".xml", ".txt"):
        return None
    with file.open("rb") as opened:
        head = opened.read(PROBED_BYTES).decode("utf-8", errors="replace")
    if suffix == ".xml":
        return "cvat" if "<annotations" in head and ("<image" in head or "<track" in head or "<meta>" in head) else None
    if suffix == ".txt":
        return "yolo" if _YOLO.match(head) else None
    keys = set(re.findall(r'"(\w+)"\s*:', head))
    if name == "meta.json" and "classes" in keys:
        return "supervisely" if {"title", "shape"} & keys else None
    if "shapes" in keys and {"imagePath", "imageData", "shape_type"} & keys:
        return "labelme"
    if "imgHeight" in keys and "objects" in keys:
        return "cityscapes"
    if head.lstrip().startswith("["):
        return "label-studio" if {"annotations", "data"} <= keys or {"completions", "data"} <= keys else None
    return "coco" if {"images", "annotations"} <= keys or {"images", "categories"} <= keys or _late(head) else None


def _late(head: str) -> bool:
    """Return whether this is the head of a JSON of COCO whose first list is longer than what was read."""
    return re.match(r'\s*\{\s*"(info|licenses|images|annotations|categories)"\s*:', head) is not None and any(
        key in head for key in ('"file_name"', '"category_id"', '"segmentation"', '"supercategory"')
    )
