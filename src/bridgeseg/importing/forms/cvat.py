"""CVAT's own XML, `CVAT for images 1.1` and `CVAT for video 1.1`, read as it streams by: its size does not matter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers import expat

from bridgeseg.classes import colour_of
from bridgeseg.errors import DataError
from bridgeseg.importing import rle
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import Spool, size_of
from bridgeseg.importing.model import Bitmap, Item, Outline, Shape, Stroke, Thing, Unusable, box, ellipse, points
from bridgeseg.importing.source import Source, stamp
from bridgeseg.wording import shown

SHAPES = ("polygon", "polyline", "points", "box", "ellipse", "mask", "cuboid", "skeleton", "tag")
MOST_TEXT = 1_000_000
DEEPEST = 100


def read(source: Source) -> Reading:
    """Read the XML files of CVAT that an export has.

    Raises:
        DataError: there are none, or one is not well-formed, or has a DTD.
    """
    spool, names, images = Spool(), dict[str, None](), dict[str, dict[str, str]]()
    palette: dict[str, tuple[int, int, int]] = {}
    for path in source.of(".xml"):
        parsed = _Document(path, spool)
        if not parsed.images and not parsed.frames:
            source.ledger.leave("not-recognised", source.name(path), "no images of CVAT")
            continue
        for facts in parsed.images.values():
            facts["file"] = source.name(path)
        names |= parsed.names
        palette |= parsed.colours
        images |= parsed.images
        images |= {f"{path}\n{frame}": facts for frame, facts in parsed.video().items()}
    spool.ready()
    if not images:
        raise unread(source, "cvat", "XML file with images")
    return Reading(list(names), _items(source, images, spool), len(images), "background", palette)


class _Document:
    """One XML file: its classes and images; the shapes go to the spool."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self.path, self.spool = path, spool
        self.names: dict[str, None] = {}
        self.colours: dict[str, tuple[int, int, int]] = {}
        self.images: dict[str, dict[str, str]] = {}
        self.frames: set[int] = set()
        self.size: dict[str, str] = {}
        self._open: list[str] = []
        self._text: list[str] = []
        self._image, self._track, self._label = "", "", ""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            with path.open("rb") as file:
                parser.ParseFile(file)
        except expat.ExpatError as error:
            message = f"not well-formed XML: {shown(error)}"
            raise DataError(message, where=path, fix="export or download it again") from error
        except OSError as error:
            raise DataError(f"cannot be read: {shown(error)}", where=path, fix="check its permissions") from error

    def video(self) -> dict[str, dict[str, str]]:
        """Return the frames of a video as images, by the names under which CVAT saves them."""
        return {
            str(frame): {"name": f"frame_{frame:06d}", "spooled": f"{self.path}\n{frame}", **self.size}
            for frame in sorted(self.frames)
        }

    def _doctype(self, *_: Any) -> None:
        raise DataError("the XML has a DTD, which CVAT never writes", where=self.path, fix="export it again")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        if len(self._open) > DEEPEST:
            raise DataError("the XML is nested too deeply", where=self.path, fix="export it again")
        self._open.append(tag)
        self._text = []
        if tag == "image":
            self._image = f"{self.path}\n{len(self.images)}"
            self.images[self._image] = {**given, "spooled": self._image}
        elif tag == "track":
            self._track = given.get("label", "")
        elif tag in SHAPES and (self._image or self._track):
            label = given.get("label", "") or self._track
            if label:
                self.names.setdefault(label)
            if self._image:
                self.spool.add(self._image, {**given, "kind": tag, "label": label})
            elif given.get("outside") != "1" and given.get("frame", "").isdigit():
                self.frames.add(int(given["frame"]))
                self.spool.add(f"{self.path}\n{given['frame']}", {**given, "kind": tag, "label": label})

    def _characters(self, data: str) -> None:
        if sum(map(len, self._text)) < MOST_TEXT:
            self._text.append(data)

    def _end(self, tag: str) -> None:
        inner, value = self._open[-2:-1], "".join(self._text).strip()
        if tag == "image":
            self._image = ""
        elif tag == "track":
            self._track = ""
        elif inner == ["label"] and tag == "name":
            self._label = value
            self.names.setdefault(value)
        elif inner == ["label"] and tag == "color" and len(value) == 7:
            with suppress(ValueError):
                self.colours[self._label] = colour_of(int(value[1:], 16))
        elif inner == ["original_size"] and tag in ("width", "height"):
            self.size[tag] = value
        self._open.pop()


def _items(source: Source, images: dict[str, dict[str, str]], spool: Spool) -> Iterator[Item]:
    try:
        for facts in images.values():
            name, found = facts.get("name", ""), spool.texts(facts["spooled"])
            things = []
            for one in map(json.loads, found):
                kind = f"{one['label']} ({one['kind']})"
                try:
                    things.append(Thing(one["label"], _shape(one), int(one.get("z_order", "0"))))
                except (Unusable, ValueError, KeyError) as error:
                    source.ledger.leave("bad-shape", name, f"{kind}: {error}")
            size = size_of(*(_whole(facts.get(side)) for side in ("height", "width")))
            image = source.image(name) or source.image(f"{name}.png") or source.image(f"{name}.jpg")
            split, key = source.placed(name, image, facts.get("subset", ""), facts.get("file", ""))
            yield Item(name, image, size, things, split, key, stamp(*found), labelled=bool(found))
    finally:
        spool.close()


def _shape(one: dict[str, Any]) -> Shape:
    kind = one["kind"]
    if kind == "mask":
        sides = size_of(_whole(one.get("height")), _whole(one.get("width")))
        if sides is None:
            raise Unusable("it has no size")
        counts = [int(part) for part in one.get("rle", "").split(",")]
        return Bitmap(int(one["left"]), int(one["top"]), rle.rows(counts, *sides))
    if kind == "box":
        left, top, right, bottom = (float(one[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
        turn = float(one.get("rotation", 0))
        return box(left, top, right - left, bottom - top, turn, about_middle=True)
    if kind == "ellipse":
        x, y, across, down = (float(one[key]) for key in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, across, down, float(one.get("rotation", 0)))
    if kind not in ("polygon", "polyline", "points"):
        raise Unusable("it has no outline")
    corners = points([pair.split(",") for pair in one.get("points", "").split(";")])
    if kind == "polygon":
        if len(corners) < 3:
            raise Unusable("a polygon has three points or more")
        return Outline((corners,))
    return Stroke(corners, apart=kind == "points")


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 8 else None
