"""JSON files of strangers: whole where they belong to one image, else one element after the other in bounded memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from bridgeseg.errors import DataError
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

MOST_BYTES = 256_000_000
"""Of a file that is read whole: Labelme's may hold the image."""
MOST_ELEMENT = 64_000_000
"""Characters of one element of a long list."""
CHUNK = 1_000_000


def read(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        DataError: unreadable, larger than `MOST_BYTES`, not JSON, or no object.
    """
    text = read_text(path, MOST_BYTES)
    value = _guarded(path, lambda: _DECODER.decode(text))
    if not isinstance(value, dict):
        raise DataError("holds no JSON object", where=path, fix="export it again")
    return value


def elements(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (key, element) for the elements of lists that a file's object has, and (key, value) for its other values.

    Of a file that is a list, the key is empty. Only one element at a time is in memory.

    Raises:
        DataError: unreadable, not JSON, neither an object nor a list, or one element of more than `MOST_ELEMENT`
            characters.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            scan = _Scan(file, path)
            first = scan.mark()
            if first == "[":
                yield from (("", value) for value in scan.listed())
                return
            if first != "{":
                raise DataError("holds neither a JSON object nor a list", where=path, fix="export it again")
            scan.skip()
            while scan.mark() != "}":
                key = scan.value()
                scan.expect(":")
                values: Iterable[Any] = scan.listed() if scan.mark() == "[" else [scan.value()]
                for value in values:
                    yield str(key), value
                if scan.mark() != "}":
                    scan.expect(",")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix="check the file") from error


class Spool:
    """JSON values by the name of an image, on the disk: what belongs to an image is scattered over some exports."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)  # a file of its own that goes with the connection
        self._base.execute("create table spooled (name text, value text)")
        self._base.execute("begin")

    def add(self, name: str, value: Any) -> None:
        """Keep a value."""
        self._base.execute("insert into spooled values (?, ?)", (name, json.dumps(value)))

    def ready(self) -> None:
        """Let values be looked up; none is added any more."""
        self._base.execute("commit")
        self._base.execute("create index by_name on spooled (name)")

    def texts(self, name: str) -> list[str]:
        """Return the values of a name as they are written, in the order in which they came."""
        found = self._base.execute("select value from spooled where name = ? order by rowid", (name,))
        return [text for (text,) in found]

    def close(self) -> None:
        """Give the disk space back."""
        self._base.close()


def number(value: Any) -> float | None:
    """Return a finite number of JSON as such; None for anything else."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if fine else None


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """Return (height, width) if both are whole numbers that an image can have; None if not."""
    sides = [int(side) for side in (height, width) if (number(side) or 0) >= 1]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list of JSON; nothing if it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return a name that JSON holds; empty if it is none."""
    return " ".join(value.split())[:500] if isinstance(value, str) else ""


class _Scan:
    """Reads one value after the other from an open file."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.place, self.ended = "", 0, False

    def mark(self) -> str:
        """Return the next character that is no blank, and stay before it."""
        while True:
            while self.place < len(self.text):
                if not self.text[self.place].isspace():
                    return self.text[self.place]
                self.place += 1
            if not self._more():
                raise DataError("the JSON ends too early", where=self.path, fix="export or download it again")

    def skip(self) -> None:
        self.place += 1

    def expect(self, mark: str) -> None:
        if self.mark() != mark:
            message = f"not valid JSON: found {shown(self.text[self.place])} where {mark!r} belongs"
            raise DataError(message, where=self.path, fix="export or download it again")
        self.skip()

    def listed(self) -> Iterator[Any]:
        self.skip()
        while self.mark() != "]":
            yield self.value()
            if self.mark() != "]":
                self.expect(",")
        self.skip()

    def value(self) -> Any:
        self.mark()
        while True:
            try:
                value, end = _guarded(self.path, lambda: _DECODER.raw_decode(self.text, self.place), broken=True)
            except json.JSONDecodeError as error:
                if not self._more():
                    message, fix = f"not valid JSON: {error.msg}", "export or download it again"
                    raise DataError(message, where=self.path, fix=fix) from error
                continue
            if end < len(self.text) or not self._more():  # a number may go on
                self.place = end
                return value

    def _more(self) -> bool:
        rest = len(self.text) - self.place
        if rest > MOST_ELEMENT:
            message = f"one element has more than {MOST_ELEMENT:,} characters"
            raise DataError(message, where=self.path, fix="is this really an export?")
        added = self.file.read(max(CHUNK, rest))  # twice as much each time: a long element is not read anew each time
        self.text, self.place = self.text[self.place :] + added, 0
        return bool(added)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _guarded(path: Path, decode: Callable[[], Any], *, broken: bool = False) -> Any:
    try:
        return decode()
    except json.JSONDecodeError as error:
        if broken:
            raise
        raise DataError(f"not valid JSON: {shown(error)}", where=path, fix="export or download it again") from error
    except RecursionError as error:
        raise DataError("the JSON is nested too deeply", where=path, fix="export it again") from error
    except ValueError as error:
        raise DataError(f"a value cannot be read: {shown(error)}", where=path, fix="export it again") from error
