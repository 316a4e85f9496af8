"""Anything that gives class ids or logits -> a `Model`, so that all is scored the way it is predicted."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.runtimes import Ids


class PredictsClasses(Protocol):
    """A network that gives class ids: enough for the whole-image mode."""

    def classes(self, images: NDArray[np.uint8], /) -> NDArray[np.integer[Any]]:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W)."""


class PredictsLogits(Protocol):
    """A network that gives logits: enough for every mode."""

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32."""


Predictor = PredictsClasses | PredictsLogits
"""Either or both; every `bridgeseg.runtime.runtimes.Runtime` is one."""


def as_model(predictor: Model | Predictor, classes: ClassSet) -> Model:
    """Return a `Model` that predicts as the predictor does; its class ids must be those of `classes`."""
    return predictor if isinstance(predictor, Model) else Model(_Completed(predictor), classes, {})


class _Completed:
    """A runtime that adds what a predictor lacks: ids are the argmax of logits."""

    def __init__(self, predictor: Predictor) -> None:
        self._classes: Any = getattr(predictor, "classes", None)
        self._logits: Any = getattr(predictor, "logits", None)

    def classes(self, images: NDArray[np.uint8], /) -> Ids:
        if self._classes is not None:
            ids: Ids = np.asarray(self._classes(images))
            return ids
        logits = self._logits(images)
        return np.asarray(logits.argmax(axis=1).astype(np.uint8 if logits.shape[1] <= 256 else np.uint16))

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        if self._logits is None:
            raise ModelFileError(
                "this model gives class ids only; sliding windows, scales and flips average its logits",
                fix="export it with logits (`bridgeseg export --logits`), or use `mode=whole` without `scales` and "
                "`flip`",
            )
        logits: NDArray[np.float32] = self._logits(images)
        return logits
