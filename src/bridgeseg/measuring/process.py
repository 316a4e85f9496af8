"""Starts the processes that files are measured in, asks them, and ends them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bridgeseg.errors import BridgeSegError, ModelFileError

SMALLER = "use smaller `sizes` or a smaller `batch`"


@dataclass(frozen=True)
class Setting:
    """One way to run a file: runtime, threads (0: one per core), height, width, images of a batch."""

    runtime: str
    threads: int
    height: int
    width: int
    batch: int


class Child:
    """A fresh process that has just given its first result.

    Args:
        model: the .onnx file.
        setting: how it is run.

    Attributes:
        start_s: seconds from starting the process to its first result: Python, imports, loading, one image.

    Raises:
        ModelFileError: the file cannot be run so, or the process died.
    """

    def __init__(self, model: Path, setting: Setting) -> None:
        numbers = (setting.threads, setting.height, setting.width, setting.batch)
        command = [sys.executable, "-m", "bridgeseg.measuring.child", str(model), setting.runtime, *map(str, numbers)]
        self._model, self._errors = model, tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        start = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=_environment()
        )
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        self.start_s = time.perf_counter() - start

    def ask(self, word: str) -> Any:
        """Return the answer to `latency`, `memory` or `throughput`.

        Raises:
            ModelFileError: the process died.
        """
        with suppress(OSError):  # it died; reading says why
            print(word, file=self._process.stdin, flush=True)
        return next(iter(self._read().values()))

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):  # what was said to a process that had died cannot be flushed
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            message = f"the process that measures it ended with exit code {code}: {''.join(last)}"
            raise ModelFileError(message, where=self._model, fix=f"if memory ran out, {SMALLER}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            fix = f"if memory ran out, {SMALLER}" if answer["network"] else answer["fix"]
            raise ModelFileError(answer["error"], where=self._model, fix=fix)
        return answer

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except (OSError, BridgeSegError):
            if error is None:
                raise


def _environment() -> dict[str, str]:
    """Return this process's environment, with its folders of packages: a child must find the same bridgeseg."""
    folders = os.pathsep.join(str(Path(place)) for place in sys.path if place)
    return {**os.environ, "PYTHONPATH": folders}
