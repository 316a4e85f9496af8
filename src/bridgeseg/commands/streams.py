"""What the command line says beside its results: warnings as lines, and output that cannot be written as an error."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bridgeseg.commands.shared import DebugSwitch
from bridgeseg.commands.wording import as_options
from bridgeseg.errors import BridgeSegError
from bridgeseg.wording import shortened

NOISY = (
    "torch", "torchvision", "lightning", "pytorch_lightning", "lightning_fabric", "timm", "open_clip", "transformers",
    "huggingface_hub", "onnx", "onnxscript", "onnxruntime", "onnx_ir", "openvino", "PIL", "matplotlib", "tensorboard",
    "ray", "pyarrow", "google", "av",
)  # fmt: skip
"""Packages whose warnings are for programmers; with --debug they are shown too."""


class OutputError(BridgeSegError):
    """Standard output cannot be written."""


@contextmanager
def said() -> Iterator[None]:
    """Show warnings as lines on stderr, each once, and errors of standard output as `OutputError`."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = as_options(shortened(str(message), 1000))
        if text not in seen:
            seen.add(text)
            print(f"warning: {text}", file=sys.stderr)

    real = sys.stdout
    with warnings.catch_warnings():
        warnings.showwarning = show
        for name in () if DebugSwitch.on else NOISY:
            warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
        if real is not None:
            sys.stdout = _Output(real)
        try:
            yield
            if real is not None:
                sys.stdout.flush()
        finally:
            sys.stdout = real


class _Output:
    """Standard output whose failures have a type of their own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._failing():
            return int(self._stream.write(text))

    def flush(self) -> None:
        with self._failing():
            self._stream.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = "its reader is gone" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
            self._give_up()
            raise OutputError(f"standard output cannot be written: {reason}") from error

    def _give_up(self) -> None:
        """Let what is still buffered go nowhere; Python would complain of it once more when it ends."""
        with suppress(OSError, ValueError, AttributeError):
            if sys.__stdout__ is not None and self._stream is sys.__stdout__:
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
