"""How long a training is, and how often it is validated; part of the settings of every run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bridgeseg.settings.fields import TRAINING, nothing, setting
from bridgeseg.settings.values import set_values

EPOCHS = 50
"""Passes over the training images where no length is given, unless `min_steps` asks for more."""
MIN_STEPS = 4000
"""Steps that a run has at least where no length is given: few images want many passes."""
VALIDATIONS = 50
"""Validations of a run, at most, unless their period is given."""
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")


def minutes(value: Any) -> float:
    """Read a length of time: `1h30m`, `45m`, `90s`, or a number of minutes.

    >>> minutes("1h30m"), minutes("90s"), minutes("45"), minutes(20)
    (90.0, 1.5, 45.0, 20.0)

    Raises:
        ValueError: anything else, or nothing above 0.
    """
    text = "".join(str(value).lower().split())
    found = DURATION.fullmatch(text)
    if isinstance(value, bool) or not text:
        raise ValueError
    if found is None:
        number = float(text)
    else:
        number = sum(float(part or 0) * scale for part, scale in zip(found.groups(), (60, 1, 1 / 60), strict=True))
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with settings of a training on top; a length in epochs replaces one in steps, and the reverse.

    Raises:
        ConfigError: see `set_values`.
    """
    lengths = ("epochs", "steps")
    given = any(settings.get(key) not in (None, "none") for key in lengths)
    return set_values({key: value for key, value in values.items() if not given or key not in lengths}, settings)


class LengthConfig(BaseModel):
    """Epochs, steps and time of a run."""

    epochs: Annotated[
        int | None,
        setting(
            f"passes over the training images; if neither this nor `steps` is given, {EPOCHS}, or more if that makes "
            "fewer than `min_steps` steps",
            TRAINING,
            "--epochs",
            ge=1,
        ),
    ] = None
    steps: Annotated[
        int | None,
        setting(
            "instead of `epochs`: steps of the optimiser in the whole run, rounded up to epochs of equal length",
            TRAINING,
            "--steps",
            ge=1,
        ),
    ] = None
    min_steps: Annotated[
        int,
        setting(
            "least number of steps of a run if neither `epochs` nor `steps` is given; 0 for no limit", TRAINING, ge=0
        ),
    ] = MIN_STEPS
    epoch_steps: Annotated[
        int | None,
        setting(
            "steps of the optimiser in an epoch, which may be several passes or part of one; by default one pass if "
            f"`epochs` is given, else as many as give at most {EPOCHS} epochs",
            TRAINING,
            ge=1,
        ),
    ] = None
    val_every: Annotated[
        int | None,
        setting(
            f"epochs between validations, or `auto` for at most {VALIDATIONS} validations; the last epoch is always "
            "validated",
            TRAINING,
            ge=1,
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        setting(
            "time that the training may take, as `1h30m`, `45m`, `90s` or in minutes; the schedule is fitted to it",
            TRAINING,
            "--time-limit",
            metavar="TIME",
            read="duration",
            python="float | str | None",
        ),
    ] = None
    early_stop: Annotated[
        int | None,
        setting(
            "end after this many validations in a row without a better mIoU",
            TRAINING,
            "--early-stop",
            ge=1,
        ),
    ] = None

    @property
    def whole(self) -> int:
        """The epochs of a run whose length is settled (see `training.length`)."""
        if self.epochs is None:
            raise ValueError("the length of this run is not settled yet")
        return self.epochs

    @field_validator("val_every", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    _not_given = field_validator("epochs", "steps", "epoch_steps", "early_stop", mode="before")(nothing)

    @field_validator("time_limit", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        try:
            return None if value in (None, "none") else minutes(value)
        except ValueError:
            raise PydanticCustomError("duration", "must be a time such as 1h30m, 45m or 90s, or minutes") from None

    @model_validator(mode="after")
    def _one_length(self) -> LengthConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"`epochs` and `steps` are both given, {self.epochs} and {self.steps}; leave one out")
        return self
