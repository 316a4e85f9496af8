"""What can go wrong, where, and what to do about it.

Every error a user can cause is an `InputError`: the command line prints its text without a traceback and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class BridgeSegError(Exception):
    """Base of all errors raised on purpose.

    A setting is written as in Python, between backticks: `max_size`, `max_size=1024`; alone it can be the place of the
    error. The command line replaces it by the option of the command that runs (see `commands.wording`), so no option
    is named below `commands/`, but for whole commands that can be pasted: `bridgeseg export --model ...`.

    Args:
        message: what was found and what was expected, in one sentence.
        where: the file, key or argument that the message is about.
        fix: what the user can do, a command where there is one.
    """

    def __init__(self, message: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.message, self.where, self.fix = message, where, fix
        text = f"{where}: {message}" if where is not None else message
        super().__init__(f"{text}\n  fix: {fix}" if fix else text)


class InputError(BridgeSegError):
    """The user's input cannot be used (exit code 2)."""


class ConfigError(InputError):
    """A configuration value, key or command-line argument is not allowed."""


class DataError(InputError):
    """A dataset, an image or a mask cannot be used."""


class ModelFileError(InputError):
    """An .onnx file, a checkpoint or a weights file cannot be used."""


class NetworkError(InputError):
    """A runtime could not run a network on an image, for want of memory for one."""


class MissingDependencyError(InputError):
    """An optional dependency is needed for this and is not installed."""


MORE_MEMORY = "let the process have more memory (ulimit -v unlimited, a larger container), or end other programs"
OUT_OF_MEMORY = (
    "bad_alloc", "can't start new thread", "annot allocate memory", "nable to allocate", "failed to map segment",
)  # fmt: skip
"""What libraries say in place of a MemoryError."""


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is for want of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def advising(fix: str) -> Iterator[None]:
    """Give a failure of the network the fix that the code within can offer: what a user can change there.

    Raises:
        NetworkError: the code within raised one.
    """
    try:
        yield
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where, fix=f"if memory ran out, {fix}") from error


def nearest(value: str, allowed: Iterable[str]) -> str:
    """Describe what is allowed, the nearest spelling first: `did you mean 'bridge'? (allowed: ...)`."""
    options = list(allowed)
    # the time that matching takes grows with the product of the lengths
    plain = {option.lower(): option for option in reversed(options[:1000])}
    match = difflib.get_close_matches(value[:100].lower(), plain, n=1, cutoff=0.6)
    listing = ", ".join(option[:100] for option in options[:30]) + (", ..." if len(options) > 30 else "")
    return f"did you mean {plain[match[0]]!r}? (allowed: {listing})" if match else f"allowed: {listing}"
