"""Settings of the losses."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LossConfig(BaseModel):
    """What is minimised: cross-entropy, and what helps rare classes.

    Attributes:
        class_weights: weight the cross-entropy by class frequency, 1 / ln(1.02 + share) (ENet, arXiv 1606.02147, 5.1).
        ohem: average over the hardest pixels only, this share of them (0 = all); online hard example mining.
        dice: weight of the soft Dice loss (V-Net, arXiv 1606.04797), mean over the classes present.
        lovasz: weight of the Lovasz-softmax loss (arXiv 1705.08790), mean over the classes present.
        label_smoothing: of the cross-entropy.
        aux: weight of the cross-entropy on the score map of a guided network (DenseCLIP: 0.4).
        aux_at: where it is taken: "pixels", on the score map upsampled to the mask, as DenseCLIP does, or "cells", on
            the score map as it is, with the shares of the classes in every cell as soft labels: 256 times less work at
            stride 16; "auto" is pixels for `denseclip` and cells for `bridge`.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    class_weights: bool = False
    ohem: float = Field(default=0.0, ge=0, lt=1)
    dice: float = Field(default=0.0, ge=0)
    lovasz: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    aux: float = Field(default=0.4, ge=0)
    aux_at: Literal["auto", "pixels", "cells"] = "auto"
