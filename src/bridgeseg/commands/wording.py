"""Messages of the library in words of the command line.

Library code writes a setting as in Python, between backticks: `max_size`, `max_size=1024`, `overlay=False`, or as the
place of an error. Here it becomes the option of the command that runs: `--max-size`, `--max-size 1024`, `--no-overlay`.
A setting of a training without an option becomes `--set KEY=VALUE`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bridgeseg.errors import BridgeSegError

if TYPE_CHECKING:
    from bridgeseg.settings.fields import Setting

_MARKED = re.compile(r"`([a-z][a-z0-9_.]*)(?:([=:]) ?([^`]*))?`")


class Running:
    """The settings of the command that runs, by their names and keys."""

    settings: dict[str, Setting] = {}  # noqa: RUF012


def use(settings: Iterable[Setting]) -> None:
    """Word messages for a command with these settings from now on."""
    Running.settings = {}
    for setting in settings:
        for name in (setting.key, setting.name):
            Running.settings.setdefault(name, setting)


def worded(error: BridgeSegError) -> str:
    """Return the text of an error for the command that runs."""
    where, keys = error.where, frozenset[str]()
    if isinstance(where, str) and where in Running.settings:
        where = _option(Running.settings[where], None)
    elif str(where).endswith((".yaml", ".yml")):
        from bridgeseg.data.declaration import KEYS

        keys = frozenset(KEYS)
    fix = None if error.fix is None else as_options(error.fix, keys)
    return str(BridgeSegError(as_options(error.message, keys), where=where, fix=fix))


def as_options(text: str, keys: Collection[str] = ()) -> str:
    """Replace the settings that a text names by options of the command that runs.

    Args:
        text: of the library.
        keys: of the data.yaml that the text is about, some of which are called as settings are: `names` and
            `names: [...]` are then the key, `names=...` the setting.
    """

    def replaced(match: re.Match[str]) -> str:
        setting = Running.settings.get(match[1])
        if setting is None or (match[1] in keys and match[2] != "="):
            return match[0]
        return _option(setting, match[3])

    return _MARKED.sub(replaced, text)


def _option(setting: Setting, value: str | None) -> str:
    if setting.option is None:
        return f"`{setting.key}`" if value is None else f"--set {shlex.quote(f'{setting.key}={_plain(value)}')}"
    on, _, off = setting.option.split()[0].partition("/")
    if value is None or value in ("True", "true"):
        return on
    if value in ("False", "false") and off:
        return off
    return f"{on} {shlex.quote(_plain(value))}"


def _plain(value: str) -> str:
    """Return a value as the command line takes it: without quotes, `none` for None."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in value[1:-1]
    text = value[1:-1] if quoted else value
    return {"None": "none", "True": "true", "False": "false"}.get(text, text)
