"""Settings of the losses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from bridgeseg.extend import LOSSES
from bridgeseg.settings.fields import LOSS, setting
from bridgeseg.settings.values import refuse_unknown

DICE = 0.5
"""Weight of the Dice loss where every label is one name."""


class LossConfig(BaseModel):
    """What is minimised: cross-entropy, and what helps rare classes.

    A loss that a package of its own brings has its weight, or its group of settings, under its name.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    class_weights: Annotated[
        bool,
        setting(
            "weigh classes by 1 / ln(1.02 + share of pixels) (ENet, arXiv 1606.02147, 5.1)",
            LOSS,
            "--class-weights/--no-class-weights",
        ),
    ] = False
    ohem: Annotated[float, setting("share of the hardest pixels that count; 0 for all", LOSS, "--ohem", ge=0, lt=1)] = (
        0.0
    )
    dice: Annotated[
        float | None,
        setting(
            "weight of the soft Dice loss (V-Net, arXiv 1606.04797); by default 0.5, and 0 where a label may mean a "
            "group of names, as with partial labels and several datasets",
            LOSS,
            "--dice",
            ge=0,
        ),
    ] = None
    lovasz: Annotated[
        float, setting("weight of the Lovasz-softmax loss (arXiv 1705.08790)", LOSS, "--lovasz", ge=0)
    ] = 0.0
    label_smoothing: Annotated[float, setting("of the cross-entropy", LOSS, ge=0, lt=1)] = 0.0
    aux: Annotated[
        float,
        setting(
            "weight of the cross-entropy on the score map of a guided network (DenseCLIP: 0.4)", LOSS, "--aux", ge=0
        ),
    ] = 0.4
    aux_at: Annotated[
        Literal["auto", "pixels", "cells"],
        setting(
            "where that cross-entropy is taken: `pixels` of the mask, as DenseCLIP does, or `cells` of the score map, "
            "much cheaper; `auto` depends on the method",
            LOSS,
        ),
    ] = "auto"

    deep: Annotated[
        float,
        setting(
            "deep supervision: weight of the mean cross-entropy of linear classifiers on the features at strides 8, 16 "
            "and 32, which only training has; 0 for none",
            LOSS,
            ge=0,
        ),
    ] = 0.0
    balance: Annotated[
        float,
        setting(
            "if `names` holds some that no dataset labels: weight of a term that keeps them from taking all pixels "
            "without a label where others may have labelled names (Gomes et al., NIPS 2010)",
            LOSS,
            ge=0,
        ),
    ] = 0.3
    partial: Annotated[
        Literal["softmax", "sigmoid"],
        setting(
            "what a label means: `softmax`, exactly one of the names of the step is true; or `sigmoid`, each labelled "
            "name is true or false by itself (UniSeg)",
            LOSS,
        ),
    ] = "softmax"

    teacher: Annotated[
        float,
        setting(
            "if the names of `init` are kept: weight of the cross-entropy against its network, on unlabelled pixels",
            LOSS,
            ge=0,
        ),
    ] = 1.0

    def terms(self, *, groups: bool = False) -> dict[str, Any]:
        """Return weights, or groups of settings, by the names of the losses that are added to the cross-entropy.

        Args:
            groups: a label may mean a group of names.
        """
        own = {name: getattr(self, name) for name in type(self).model_fields if name in LOSSES}
        if self.dice is None:
            own["dice"] = 0.0 if groups else DICE
        return own | dict(self.model_extra or {})

    @model_validator(mode="after")
    def _known(self) -> LossConfig:
        if self.model_extra:
            refuse_unknown(self, LOSSES.names())
        return self
