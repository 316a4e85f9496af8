"""Settings of `info`."""

from __future__ import annotations

from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings
from bridgeseg.settings.load import MODEL, RUNTIME


class Info(CommandSettings):
    """What is to be described."""

    model: Annotated[Any, MODEL] = None
    runtime: Annotated[str | None, RUNTIME] = None
