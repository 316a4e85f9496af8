"""Values and names as messages show them: short, on one line, without control codes; and names as they are typed."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r'\s*(?:"([^"]*)"\s*(?=,|$)|([^,]*))(?:,|$)')


def split_names(text: str) -> list[str]:
    """Read names with commas between; one that holds commas is in double quotes.

    >>> split_names('road, "wall, painted"')
    ['road', 'wall, painted']
    """
    found = (match[2] if match[1] is None else match[1] for match in _PART.finditer(text))
    return [name for part in found if (name := part.strip())]


def join_names(names: Iterable[str]) -> str:
    """Write names as `split_names` reads them.

    >>> join_names(["road", "wall, painted"])
    'road, "wall, painted"'
    """
    return ", ".join(f'"{name}"' if "," in name else name for name in names)


def shown(value: object, limit: int = 120) -> str:
    """Return a short one-line description of any value, for messages.

    >>> shown([1, 2, 3])
    '[1, 2, 3]'
    """
    try:
        text = (str(value) or type(value).__name__) if isinstance(value, BaseException) else repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"a huge {type(value).__name__}"
    return shortened(text, limit)


def shortened(text: str, limit: int = 200) -> str:
    """Return a text on one line, cut to `limit` characters and then marked with `...`, control codes escaped."""
    text = printable(" ".join(text[: 4 * limit].split()))
    return text if len(text) <= limit else text[:limit] + "..."


def printable(value: object) -> str:
    """Escape what would break a line or a terminal: a file name may hold line breaks, control codes, broken Unicode."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in str(value))
