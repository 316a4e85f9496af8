"""Settings of what a step of a training sees of the names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from bridgeseg.settings.fields import NETWORK, setting


class VocabularyConfig(BaseModel):
    """Other names in every step, for networks that are to be asked for names they were not trained with."""

    model_config = ConfigDict(extra="forbid")

    drop_names: Annotated[
        float,
        setting(
            "probability with which a step leaves a name out; pixels of that name are ignored in this step",
            NETWORK,
            ge=0,
            lt=1,
        ),
    ] = 0.0
    distractors: Annotated[
        int,
        setting(
            "names of the text encoder's bank that a step adds at random; they compete, but are on none of the images",
            NETWORK,
            ge=0,
            le=1000,
        ),
    ] = 0
    never: Annotated[
        tuple[str, ...],
        setting(
            "names of the bank that are never distractors, in addition to those of the data and names close to them",
            NETWORK,
        ),
    ] = ()
    phrases: Annotated[
        Literal["mean", "random"],
        setting(
            "the vector of a name: the `mean` over its phrases and templates, or in every step one at `random`", NETWORK
        ),
    ] = "mean"
