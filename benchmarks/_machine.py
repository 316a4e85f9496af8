"""What every script here needs: machine, spreads, tables and JSON from the package, and how a script ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bridgeseg.errors import InputError
from bridgeseg.hardware import describe
from bridgeseg.measuring.machine import quartiles, show, take_turns, write_json

__all__ = ["describe", "quartiles", "run", "show", "take_turns", "write_json"]


def run(main: Callable[[], None]) -> None:
    """Run a script; the user's mistakes end it with a line and not with a traceback."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
