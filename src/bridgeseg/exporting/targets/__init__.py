"""What an exported network is converted to for runtimes that read no .onnx file: one file each, registered by name.

    @register_target("mine")
    class Mine(Target): ...

in a module that a package names under `mine` in the entry-point group `bridgeseg.targets` is all that
`export --to mine` needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridgeseg.registry import Registry, modules

Run = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""An image (1, H, W, 3) uint8 RGB -> class ids (1, H, W)."""
Kind = TypeVar("Kind", bound="type[Target]")


class Target(ABC):
    """A converter and, where it can be had on this machine, what runs what it makes.

    Attributes:
        title: what messages call the runtime.
        packages: what has to be importable, besides onnx.
        extra: the extra of bridgeseg that installs them; None if they have to be installed by their own names.
        layout: `nhwc` or `nchw`: how the plain file that is converted takes its image.
        input: `uint8` or `float`: in which numbers.
        output: `classes`, or `logits` where the runtime knows no ArgMax.
    """

    title: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str | None] = None
    layout: ClassVar[Literal["nhwc", "nchw"]] = "nhwc"
    input: ClassVar[Literal["uint8", "float"]] = "uint8"
    output: ClassVar[Literal["classes", "logits"]] = "classes"

    @abstractmethod
    def convert(self, plain: Path, folder: Path) -> None:
        """Write what the runtime reads.

        Args:
            plain: a plain file of one size and one output, as the attributes say.
            folder: empty; everything in it is kept.
        """

    def open(self, folder: Path) -> Run | None:
        """Load what `convert` wrote into a folder; None where this machine cannot run it."""
        return None


def image_shape(plain: Any) -> list[int]:
    """Return the shape of the only images that a plain file of one size takes, an `onnx.ModelProto`."""
    return [side.dim_value for side in plain.graph.input[0].type.tensor_type.shape.dim]


TARGETS: Registry[type[Target]] = Registry("target", "bridgeseg.targets", modules("bridgeseg.exporting.targets"))


def register_target(name: str) -> Callable[[Kind], Kind]:
    """Return a decorator that registers a subclass of `Target` under the name that `export --to` takes.

    Raises:
        ConfigError: the name is taken.
    """
    return TARGETS.register(name)
