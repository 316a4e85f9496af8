"""Label Studio's JSON: polygons, brush strokes, rectangles, ellipses; coordinates are percents of width and height."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bridgeseg.importing import rle
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import Spool, dicts, elements, number, size_of, text
from bridgeseg.importing.model import Bitmap, Item, Shape, Stroke, Thing, Unusable, box, ellipse, outline, points
from bridgeseg.importing.source import Source, stamp
from bridgeseg.wording import shown

LABELS = {
    "polygonlabels": "polygon", "brushlabels": "brush", "rectanglelabels": "rectangle", "ellipselabels": "ellipse",
    "keypointlabels": "keypoint",
}  # fmt: skip
"""Key of the labels of a result -> its kind; `labels` has those of kinds without labels of their own."""
AREAS = (*LABELS.values(), "vector")


def read(source: Source) -> Reading:
    """Read the JSON files of Label Studio that an export has: once for the classes, while the tasks go to the disk.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    spool, names, count = Spool(), set[str](), 0
    for path in source.of(".json"):
        known = 0
        for _, task in elements(path):
            if isinstance(task, dict) and isinstance(task.get("data"), dict):
                known += 1
                spool.add(str(count), task)
                count += 1
                names |= {name for result in dicts(_annotation(task)[0]) for name in _called(result)}
        if not known:
            source.ledger.leave("not-recognised", source.name(path), "no tasks")
    spool.ready()
    if not count:
        raise unread(source, "label-studio", "tasks with data and annotations (export as JSON, not as JSON-MIN)")
    return Reading(sorted(names), _items(source, spool, count), count, "background")


def _annotation(task: dict[str, Any]) -> tuple[list[Any] | None, int]:
    """Return the results of the annotation that counts, None if there is none, and how many others there are.

    The one that is marked as the truth counts, else the last that was not skipped. Predictions never do.
    """
    given = [one for one in dicts(task.get("annotations") or task.get("completions")) if not one.get("was_cancelled")]
    if not given:
        return None, 0
    truth = [one for one in given if one.get("ground_truth")]
    result = (truth or given)[-1].get("result")
    return result if isinstance(result, list) else [], len(given) - 1


def _called(result: dict[str, Any]) -> list[str]:
    value = result.get("value")
    if not isinstance(value, dict):
        return []
    given: list[Any] = next((value[key] for key in (*LABELS, "labels") if isinstance(value.get(key), list)), [])
    return [name for name in map(text, given) if name]


def _items(source: Source, spool: Spool, count: int) -> Iterator[Item]:
    try:
        for place in range(count):
            (written,) = spool.texts(str(place))
            task = json.loads(written)
            name = _image(task["data"])
            if not name:
                source.ledger.leave("no-image", f"task {shown(task.get('id'))}", "its data names no image")
                continue
            results, others = _annotation(task)
            if others:
                source.ledger.leave("several", name, f"{others} other annotations of this image")
            size, things = _things(source, name, dicts(results))
            image = source.image(name)
            split, key = source.placed(name, image)
            known = stamp(written)
            yield Item(name, image, size, things, split, key, known, labelled=results is not None)
    finally:
        spool.close()


def _image(data: dict[str, Any]) -> str:
    """Return what a task calls its image: the value of `image`, else the first that looks like a name of one."""
    given = [data[key] for key in ("image", "img", "url") if key in data] + list(data.values())
    return next((value for value in given if isinstance(value, str) and value.strip()), "")


def _things(source: Source, name: str, results: list[dict[str, Any]]) -> tuple[tuple[int, int] | None, list[Thing]]:
    size, things = None, []
    labels: dict[str, list[str]] = {}
    for result in results:  # a shape and its label may be two results with one id
        labels.setdefault(text(result.get("id")), []).extend(_called(result))
    for result in results:
        value, kind = result.get("value"), str(result.get("type", "")).lower()
        kind = LABELS.get(kind, kind)
        if kind not in AREAS or not isinstance(value, dict):
            if kind not in ("labels", "choices", "textarea", "rating"):
                source.ledger.leave("bad-shape", name, f"a result of kind {shown(kind)}")
            continue
        own = size_of(result.get("original_height"), result.get("original_width"))
        called = _called(result) or labels.get(text(result.get("id")), [])
        size = size or own
        if own is None or own != size:
            source.ledger.leave("bad-shape", name, f"{kind}: it has no size, or another one than the rest")
        elif not called:
            source.ledger.leave("no-class", name, kind)
        else:
            if len(called) > 1:
                source.ledger.leave("several", name, f"{kind}: {', '.join(called[1:])}, beside {called[0]}")
            try:
                things.append(Thing(called[0], _shape(kind, value, own)))
            except Unusable as error:
                source.ledger.leave("bad-shape", name, f"{called[0]}: {error}")
    return size, things


def _shape(kind: str, value: dict[str, Any], size: tuple[int, int]) -> Shape:
    down, across = size[0] / 100, size[1] / 100
    if kind == "brush":
        return Bitmap(0, 0, rle.label_studio(value.get("rle"), *size))
    if kind == "polygon":
        return outline(value.get("points"), scale=(across, down))
    wanted = {"rectangle": ("x", "y", "width", "height"), "ellipse": ("x", "y", "radiusX", "radiusY")}
    found = [number(value.get(key)) for key in wanted.get(kind, ("x", "y"))]
    numbers = [one for one in found if one is not None]
    if len(numbers) < len(found):
        raise Unusable("a number of it is missing")
    scaled = [one * factor for one, factor in zip(numbers, (across, down) * 2, strict=False)]
    turn = number(value.get("rotation")) or 0.0
    if kind == "rectangle":
        return box(scaled[0], scaled[1], scaled[2], scaled[3], turn)
    if kind == "ellipse":
        return ellipse(scaled[0], scaled[1], scaled[2], scaled[3], turn)
    if kind == "keypoint":
        return Stroke(points(scaled), apart=True)
    raise Unusable(f"shapes of kind {kind!r} are not known")
