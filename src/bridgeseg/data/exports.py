"""A folder without a data.yaml -> what was looked for, and which tool's export it seems to be."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from bridgeseg.data.finding import some
from bridgeseg.errors import DataError

PROBED_FILES, PROBED_BYTES = 400, 65_536
"""Files of a folder that are looked at, and how much of each."""

_PLAIN = (
    "put images below images/, PNG masks of class ids with the same names below masks/, and write a data.yaml with "
)
_PLAIN += "`train: images` and `names: [...]`"
_POLYGONS = (
    f"it holds polygons, which are not read: export masks (PNG) from the tool, or draw the polygons; then {_PLAIN}"
)
_TOOLS = {
    "Roboflow's semantic masks": "_classes.csv tells the ids of the *_mask.png files: move these apart from the "
    f"images; then {_PLAIN} and `mask_suffix: _mask`",
    "COCO JSON": _POLYGONS,
    "Labelme JSON": _POLYGONS,
    "Label Studio JSON": f"export it again as PNG masks; then {_PLAIN}",
    "CVAT XML": f"export it again as `Segmentation mask`; then {_PLAIN} and `label_map` of the colours",
    "YOLO polygons": _POLYGONS,
    "Pascal VOC": f"SegmentationClass/ holds the masks and JPEGImages/ the images; {_PLAIN}",
}


def no_yaml(folder: Path) -> DataError:
    """Describe a folder that has no data.yaml."""
    try:
        files = list(itertools.islice(_files(folder), PROBED_FILES))
        tool = next((tool for tool in map(_tool, files) if tool is not None), None)
    except OSError:
        files, tool = [], None
    message = "there is no file data.yaml in this folder"
    others = sorted(file.name for file in files if file.parent == folder and file.suffix.lower() in (".yaml", ".yml"))
    if others:
        return DataError(f"{message}, but {some(others)}", where=folder, fix=f"name it: `data={folder / others[0]}`")
    if tool is None:
        return DataError(message, where=folder, fix=f"name the file if it is elsewhere; else {_PLAIN}")
    return DataError(f"{message}; it seems to be an export of {tool}", where=folder, fix=_TOOLS[tool])


def _files(folder: Path) -> Iterator[Path]:
    """Give the files of a folder, of its folders and of theirs."""
    for pattern in ("*", "*/*", "*/*/*"):
        yield from (path for path in sorted(folder.glob(pattern)) if path.is_file())


def _tool(file: Path) -> str | None:
    if file.name == "_classes.csv":
        return "Roboflow's semantic masks"
    if file.parent.name == "SegmentationClass":
        return "Pascal VOC"
    if file.suffix.lower() not in (".json", ".xml", ".txt"):
        return None
    with file.open("rb") as opened:
        head = opened.read(PROBED_BYTES).decode("utf-8", errors="replace")
    if file.suffix.lower() == ".xml":
        return "CVAT XML" if "<annotations>" in head and "<meta>" in head else None
    if file.suffix.lower() == ".txt":
        return "YOLO polygons" if re.match(r"\d+( [01]?\.?\d+([eE]-\d+)?){6,}\s*(\n|$)", head) else None
    keys = set(re.findall(r'"(\w+)"\s*:', head))
    if {"shapes", "imagePath"} <= keys:
        return "Labelme JSON"
    if {"images", "annotations"} <= keys or {"images", "categories"} <= keys:
        return "COCO JSON"
    listed = head.lstrip().startswith("[")
    return "Label Studio JSON" if listed and {"annotations", "data"} <= keys else None
