"""bridgeseg: language-guided lightweight semantic segmentation.

>>> import bridgeseg
>>> model = bridgeseg.load()  # doctest: +SKIP
>>> model.predict("street.jpg").areas()  # doctest: +SKIP
{'road': 0.31, 'sky': 0.22, ...}

Everything below is imported on first use, so that `import bridgeseg` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "load": "bridgeseg.api",
    "predict": "bridgeseg.api",
    "train": "bridgeseg.api",
    "build": "bridgeseg.api",
    "save": "bridgeseg.training.network",
    "evaluate": "bridgeseg.api",
    "gallery": "bridgeseg.api",
    "export": "bridgeseg.api",
    "quantize": "bridgeseg.api",
    "benchmark": "bridgeseg.api",
    "check": "bridgeseg.api",
    "label": "bridgeseg.api",
    "import_data": "bridgeseg.api",
    "compare": "bridgeseg.api",
    "push": "bridgeseg.api",
    "prepare": "bridgeseg.catalog",
    "Model": "bridgeseg.runtime.model",
    "Result": "bridgeseg.runtime.result",
    "Record": "bridgeseg.runtime.saving",
    "Failure": "bridgeseg.reading.sources",
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
    "build",
    "check",
    "compare",
    "evaluate",
    "export",
    "gallery",
    "import_data",
    "label",
    "load",
    "predict",
    "prepare",
    "push",
    "quantize",
    "save",
    "train",
]

if TYPE_CHECKING:
    from bridgeseg.api import (
        benchmark,
        build,
        check,
        compare,
        evaluate,
        export,
        gallery,
        import_data,
        label,
        load,
        predict,
        push,
        quantize,
        train,
    )
    from bridgeseg.catalog import prepare
    from bridgeseg.classes import ClassSet
    from bridgeseg.errors import BridgeSegError, InputError
    from bridgeseg.reading.sources import Failure
    from bridgeseg.runtime.model import Model
    from bridgeseg.runtime.result import Result
    from bridgeseg.runtime.saving import Record
    from bridgeseg.training.network import save


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
