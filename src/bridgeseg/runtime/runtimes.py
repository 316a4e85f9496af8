"""What runs a network: one interface, what opens files and folders by a runtime's name, and how a package adds one.

    @register_runtime("mine")
    class MyRuntime(FileRuntime): ...

in a module that the package names under `mine` in the entry-point group `bridgeseg.runtimes` is all that
`--runtime mine` needs.
"""

from __future__ import annotations

import os
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, MissingDependencyError, ModelFileError, NetworkError, nearest
from bridgeseg.hardware import usable_cores
from bridgeseg.registry import Registry
from bridgeseg.runtime.open_file import INPUT, own_vectors
from bridgeseg.runtime.taking import Signature, Taking
from bridgeseg.vocabulary.asked import Names
from bridgeseg.vocabulary.embeddings import Vectors

Ids = NDArray[np.uint8] | NDArray[np.uint16]
Greys = NDArray[np.uint8]
"""Confidence: 0 to 255 for probabilities of 0 to 1."""
CONFIDENCE = "confidence"
"""Name of the output of a file."""


class Runtime(Protocol):
    """Runs a network on a batch of images of one size."""

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes)."""

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32."""


class FileRuntime(ABC):
    """An .onnx file and what runs it, on the CPU.

    Args:
        path: the file.
        threads: number of CPU threads; None for one per core that this process may use.

    Attributes:
        path: the file.
        metadata: the file's own key-value strings.
        producer: the program that wrote the file, if the runtime tells.
        inputs: name -> (type, shape) as the file declares them; a free side has a name or None.
        outputs: the same for its outputs.
        class_embeddings: (K, D), what its second input gets beside every batch; None if it has none.

    Raises:
        ModelFileError: there is no such file, or the runtime cannot load it.
        ConfigError: less than one thread.
    """

    name: ClassVar[str]
    """What messages call the runtime."""
    metadata: dict[str, str]
    producer: str
    inputs: dict[str, Signature]
    outputs: dict[str, Signature]

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = Path(path)
        check_threads(threads)
        _check_file(self.path)
        self._open(threads)
        self.class_embeddings: Vectors | None = own_vectors(self.inputs, self.metadata, self.path)

    @property
    def size(self) -> tuple[int, int] | None:
        """The (height, width) of the only images that the file takes; None for any."""
        return self._taking.size

    @cached_property
    def _taking(self) -> Taking:
        return Taking.of(self.inputs) or Taking()

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W), uint8 (uint16 above 256 classes).

        Raises:
            InputError: the images are not of the size that the file takes, or the runtime cannot run the network on
                them, for want of memory for one.
        """
        ids: Ids = self._checked_run(("classes",), images)[0]
        return ids

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32.

        Raises:
            ModelFileError: the file was exported without logits.
            NetworkError: the runtime cannot run the network on this image.
        """
        if "logits" not in self.outputs:
            fix = "export it again with them: bridgeseg export --model RUN --out FILE.onnx --logits"
            raise ModelFileError("this file gives class ids only, no logits", where=self.path, fix=fix)
        logits: NDArray[np.float32] = self._checked_run(("logits",), images)[0]
        return logits

    @property
    def confident(self) -> bool:
        """Whether the file says how sure the network is."""
        return CONFIDENCE in self.outputs

    def with_confidence(self, output: str, images: NDArray[np.uint8], /) -> tuple[Any, Greys]:
        """Return `classes` or `logits` of images as the methods of these names do, and confidence (B, H, W) uint8.

        Raises:
            ModelFileError: the file was exported without one of the two.
            InputError: the runtime cannot run the network on these images.
        """
        for name in (output, CONFIDENCE):
            if name not in self.outputs:
                fix = f"export it again with it: bridgeseg export --model RUN --out FILE.onnx --{name}"
                raise ModelFileError(f"this file has no output `{name}`", where=self.path, fix=fix)
        found, confidence = self._checked_run((output, CONFIDENCE), images)
        return found, confidence

    @abstractmethod
    def _open(self, threads: int | None) -> None:
        """Load the file and fill the attributes."""

    @abstractmethod
    def _run(self, output: str, images: NDArray[np.uint8]) -> Any:
        """Return one output of images as the file takes them, and of `class_embeddings` if it takes those."""

    def _fed(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the inputs of one run by their names."""
        own = {} if self.class_embeddings is None else {INPUT: self.class_embeddings}
        return {"image": images} | own

    def _run_all(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        """Return several outputs; a runtime that gives them in one pass says so here."""
        return [self._run(output, images) for output in outputs]

    def _checked_run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> list[Any]:
        batches = list(self._taking.batches(images))
        try:
            several = len(outputs) > 1
            found = [self._run_all(outputs, one) if several else [self._run(outputs[0], one)] for one in batches]
            return found[0] if len(found) == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]
        except Exception as error:  # the runtimes' exceptions share no base class
            size = "x".join(str(side) for side in images.shape[:3])
            raise NetworkError(
                f"{self.name} failed on a batch of {size} (images x height x width): {reason(error)}",
                where=self.path,
                fix="if memory ran out, give it smaller images, or fewer at a time",
            ) from error


class FolderRuntime(ABC):
    """A checkpoint or run folder and what runs its network.

    Attributes:
        path: the checkpoint folder.
        class_set: names, prompts and colours of its classes.
        provenance: training facts.
        takes_names: whether it can be opened with other names than its own.
    """

    path: Path | None
    class_set: ClassSet
    provenance: dict[str, Any]
    takes_names: bool = False

    @abstractmethod
    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        """As of `Runtime`."""

    @abstractmethod
    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """As of `Runtime`."""


Kind = TypeVar("Kind", bound=Callable[..., Any])
FILES, FOLDERS = "onnxruntime", "torch"
"""What runs a file by default, and what runs a folder."""
EXTRAS = {"openvino": "openvino", "torch": "train"}
"""Name of a runtime -> the extra that installs what it needs."""
RUNTIMES: Registry[Any] = Registry(
    "runtime",
    "bridgeseg.runtimes",
    {
        FILES: "bridgeseg.runtime.onnx_runtime",
        "openvino": "bridgeseg.runtime.openvino_runtime",
        FOLDERS: "bridgeseg.runtime.torch_runtime",
    },
)


def register_runtime(name: str) -> Callable[[Kind], Kind]:
    """Return a decorator that registers a subclass of `FileRuntime` under the name that `--runtime` takes.

    Raises:
        ConfigError: the name is taken.
    """
    return RUNTIMES.register(name)


def file_runtimes() -> list[str]:
    """Return the names of what runs .onnx files, the default first; nothing is imported."""
    return [name for name in RUNTIMES.names() if name != FOLDERS]


def open_runtime(path: str | Path, threads: int | None = None, runtime: str = FILES) -> FileRuntime:
    """Open an .onnx file in the runtime of a name.

    Raises:
        ConfigError: no such runtime, or less than one thread.
        MissingDependencyError: its package is not installed.
        ModelFileError: there is no such file, or the runtime cannot load it.
    """
    if runtime not in file_runtimes():
        message = f"no runtime {runtime!r} for .onnx files; {nearest(runtime, file_runtimes())}"
        raise ConfigError(message, where="runtime", fix=f"`runtime={FILES!r}`")
    opened: FileRuntime = _find(runtime)(path, threads)
    return opened


def open_folder(
    path: str | Path,
    threads: int | None = None,
    *,
    compile: bool = False,
    names: Names | None = None,
    embeddings: str | Path | None = None,
) -> FolderRuntime:
    """Open a checkpoint or run folder in PyTorch.

    Args:
        path: the folder.
        threads: number of CPU threads; None for PyTorch's own choice.
        compile: let `torch.compile` translate the network, see `torch_runtime.TorchRuntime`.
        names, embeddings: other names for its classes, and a file with their vectors; see `renaming.renamed`.

    Raises:
        MissingDependencyError: PyTorch, or another package of the train extra, is not installed.
        ModelFileError: it is no checkpoint, or cannot be used.
        ConfigError: less than one thread, or names that it cannot take.
    """
    check_threads(threads)
    wanted = {"names": names, "embeddings": embeddings}  # not every runtime of a package knows of them
    given = {key: value for key, value in wanted.items() if value is not None}
    opened: FolderRuntime = _find(FOLDERS)(path, threads, compile=compile, **given)
    return opened


def _find(name: str) -> Any:
    try:
        return RUNTIMES.get(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "bridgeseg"):
            raise
        message = f"the runtime {name!r} needs the package {missing!r}, which is not installed"
        fix = f"pip install 'bridgeseg[{EXTRAS[name]}]'" if name in EXTRAS else f"pip install {missing}"
        raise MissingDependencyError(message, fix=fix) from error


def default_threads() -> int:
    """Return the cores this process may use if they are fewer than the machine's, else 0: the runtime's own choice."""
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or 1) else 0


def check_threads(threads: int | None) -> None:
    """Check a number of threads.

    Raises:
        ConfigError: less than one, or no whole number.
    """
    if threads is not None and (not isinstance(threads, Integral) or threads < 1):
        raise ConfigError(f"at least one thread is needed, found {threads!r}", where="threads", fix="`threads=2`")


def _check_file(path: Path) -> None:
    if path.is_dir():
        fix = f"export it first: bridgeseg export --model {shlex.quote(str(path))} --out FILE.onnx"
        raise ModelFileError("this is a folder, not an .onnx file", where=path, fix=fix)
    if not path.exists():
        raise ModelFileError("there is no such model file", where=path, fix="check the spelling and the folder")
    if not path.is_file():
        raise ModelFileError("this is no regular file", where=path, fix="copy the model into a file first")
    if path.stat().st_size == 0:
        raise ModelFileError("the file is empty", where=path, fix="copy or export it again")


def reason(error: Exception) -> str:
    """Return what a runtime says without its codes and without the lines that say where in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("Exception from ", "Check '")))
