"""What a model card says, in Markdown: the facts of a network, the classes, the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.report.tables import Table


def facts(provenance: Mapping[str, Any]) -> str:
    """Return a list of where a network comes from, and of the data that it was trained on."""
    lines = [
        f"- {key}: {value}"
        for key, value in provenance.items()
        if not isinstance(value, dict | list) or key == "image_size"
    ]
    data = provenance.get("data")
    for one in data if isinstance(data, list) else [data]:
        if isinstance(one, dict):
            lines.append(f"- data: {one.get('file')}, SHA-256 {one.get('sha256')}")
    return "\n".join(lines) + "\n"


def scores(provenance: Mapping[str, Any]) -> str:
    """Return what a network scored, as a sentence; nothing if it does not say."""
    found = provenance.get("scores") or {}
    if not found:
        return ""
    named = (("mIoU", "miou"), ("mean accuracy", "macc"), ("overall accuracy", "aacc"))
    told = ", ".join(f"{name} {_number(found.get(key))}" for name, key in named)
    return f"Scores on `{found.get('split')}`: {told}.\n"


def classes(known: ClassSet, provenance: Mapping[str, Any]) -> str:
    """Return a table of ids and names, and of the IoU of each class where it is known."""
    iou = (provenance.get("scores") or {}).get("iou") or {}
    rows = [[str(index), name, *([_number(iou.get(name))] if iou else [])] for index, name in enumerate(known.names)]
    return Table(["id", "class", *(["IoU"] if iou else [])], rows, names=2).markdown()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
