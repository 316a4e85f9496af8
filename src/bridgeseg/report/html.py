"""Reports as one HTML page each: nothing is loaded from elsewhere, and no name becomes part of the markup."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bridgeseg.files import write


def render(template: str, **values: Any) -> str:
    """Fill in a template of `report/templates`.

    Every value is escaped, also by a template whose name does not end in .html. A page extends `base.html`, which has
    the blocks `title`, `style` and `body`; `macros.html` has `table(table)` for a `tables.Table` and
    `figure(address, caption)` for an image. The filter `pretty` writes a value as JSON.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return _environment().get_template(template).render(**values)


def write_page(path: str | Path, template: str, **values: Any) -> None:
    """Write a page whole or not at all; what is not Unicode in the names of files is written as escapes.

    Raises:
        InputError: the file cannot be written.
    """
    write(path, render(template, **values).encode(errors="backslashreplace"))


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Return an image as an address that holds it.

    >>> data_url(b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def pretty(value: Any) -> str:
    """Return a value as indented JSON, for people to read."""
    return json.dumps(value, indent=1, ensure_ascii=False)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=_loader(), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters["pretty"] = pretty
    return made


def _loader() -> PackageLoader:
    return PackageLoader("bridgeseg.report")
