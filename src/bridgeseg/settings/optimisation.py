"""How a training learns: rates, averaging, losses, augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, field_validator

from bridgeseg.settings.augment import AugmentConfig
from bridgeseg.settings.fields import OPTIMISATION, setting
from bridgeseg.settings.loss import LossConfig

CROP = (256, 320)
"""Height and width of training crops unless others are chosen."""


class OptimisationConfig(BaseModel):
    """Rates, averaging, losses and augmentation."""

    lr: Annotated[
        float, setting("peak learning rate of AdamW, of all but the backbone", OPTIMISATION, "--lr", gt=0)
    ] = 3e-3
    backbone_lr: Annotated[float, setting("factor on `lr` for the backbone", OPTIMISATION, ge=0)] = 0.083
    weight_decay: Annotated[float, setting("AdamW's; none on norms, biases and temperatures", OPTIMISATION, ge=0)] = (
        0.01
    )
    warmup: Annotated[float, setting("share of the run in which the rate rises", OPTIMISATION, ge=0, lt=1)] = 0.05
    power: Annotated[
        float, setting("afterwards the rate falls as (1 - progress) to this power", OPTIMISATION, gt=0)
    ] = 0.9
    clip: Annotated[float, setting("gradients are scaled down to this norm; 0 for never", OPTIMISATION, ge=0)] = 1.0
    ema: Annotated[
        float,
        setting(
            "decay of the averaged weights that are validated and kept; 0, or `--no-ema`, for none",
            OPTIMISATION,
            "--ema",
            ge=0,
            lt=1,
        ),
    ] = 0.99
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig(crop_size=CROP)

    @field_validator("augment", mode="before")
    @classmethod
    def _crop(cls, value: Any) -> Any:
        """Keep this class's crop where another augmentation setting is changed."""
        return {"crop_size": CROP, **value} if isinstance(value, Mapping) else value
