"""Names of which no two are the same."""

from __future__ import annotations

from collections.abc import Callable


class Unique:
    """Gives every name once: the second `street` becomes `street-2`.

    Upper and lower case count as the same: on some file systems they are. Of a million names the hashes are kept; two
    of the same cost no more than a "-2".

    Args:
        refused: says which names cannot be given at all.
    """

    def __init__(self, refused: Callable[[str], bool] = lambda _: False) -> None:
        self._refused = refused
        self._taken: set[int] = set()

    def __call__(self, first: str) -> str:
        """Return a name, with a number behind it if it was given before."""
        chosen, number = first, 1
        while hash(chosen.casefold()) in self._taken or self._refused(chosen):
            number += 1
            chosen = f"{first}-{number}"
        self._taken.add(hash(chosen.casefold()))
        return chosen
