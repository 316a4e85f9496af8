"""bridgeseg: language-guided lightweight semantic segmentation.

>>> import bridgeseg
>>> model = bridgeseg.load()  # doctest: +SKIP
>>> model.predict("street.jpg").areas()  # doctest: +SKIP
{'road': 0.31, 'sky': 0.22, ...}

Everything below is imported on first use, so that `import bridgeseg` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load": "bridgeseg.api",
    "predict": "bridgeseg.api",
    "train": "bridgeseg.api",
    "evaluate": "bridgeseg.api",
    "export": "bridgeseg.api",
    "quantize": "bridgeseg.api",
    "benchmark": "bridgeseg.api",
    "check": "bridgeseg.api",
    "compare": "bridgeseg.api",
    "prepare": "bridgeseg.catalog",
    "Model": "bridgeseg.inference.model",
    "Result": "bridgeseg.inference.result",
    "Record": "bridgeseg.inference.writer",
    "Failure": "bridgeseg.inference.sources",
    "ClassSet": "bridgeseg.classes",
    "BridgeSegError": "bridgeseg.errors",
    "InputError": "bridgeseg.errors",
}

__all__ = [
    "BridgeSegError",
    "ClassSet",
    "Failure",
    "InputError",
    "Model",
    "Record",
    "Result",
    "__version__",
    "benchmark",
    "check",
    "compare",
    "evaluate",
    "export",
    "load",
    "predict",
    "prepare",
    "quantize",
    "train",
]

if TYPE_CHECKING:
    from bridgeseg.api import benchmark, evaluate, export, load, predict, quantize, train
    from bridgeseg.classes import ClassSet
    from bridgeseg.errors import BridgeSegError, InputError
    from bridgeseg.inference.model import Model
    from bridgeseg.inference.result import Result
    from bridgeseg.inference.sources import Failure
    from bridgeseg.inference.writer import Record


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallableRoom(ModuleType):
    """A subpackage such as `bridgeseg.export`, which can be called as the function of that name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(import_module("bridgeseg.api"), self.__name__.rpartition(".")[2])(*arguments, **options)


class _Package(ModuleType):
    """This package. Importing `bridgeseg.export.onnx` puts the subpackage in the place of the function `export`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("benchmark", "export") and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
