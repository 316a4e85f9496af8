"""How much to augment: ranges and probabilities, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.settings.fields import AUGMENTATION, setting

Range = tuple[float, float]


class AugmentConfig(BaseModel):
    """Training augmentation; unknown keys are refused. The defaults are MMSegmentation's, hue as in SSD."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_size: Annotated[
        tuple[int, int] | None,
        setting(
            "height and width of training crops; `auto` takes them, and `scale`, from the sizes of the training images",
            AUGMENTATION,
            "--crop",
            metavar="HxW|auto",
            read="crop",
            python="tuple[int, int] | str | None",
        ),
    ] = (512, 512)
    scale: Annotated[Range, setting("range of the random scale of the native size, drawn uniformly", AUGMENTATION)] = (
        0.5,
        2.0,
    )
    cat_max_ratio: Annotated[
        float,
        setting(
            "draw a crop again while one class has this share of its labelled pixels; 1 for no limit",
            AUGMENTATION,
            gt=0,
            le=1,
        ),
    ] = 0.75
    tries: Annotated[int, setting("crops drawn before the last one is taken as it is", AUGMENTATION, ge=1, le=1000)] = (
        10
    )
    rare_class_prob: Annotated[
        float, setting("share of crops around a pixel of a rare class", AUGMENTATION, ge=0, le=1)
    ] = 0.0
    flip: Annotated[float, setting("probability of a horizontal flip", AUGMENTATION, ge=0, le=1)] = 0.5
    rotate: Annotated[
        float, setting("largest rotation of a crop, in degrees, to either side", AUGMENTATION, ge=0, le=180)
    ] = 0.0
    class_mix: Annotated[
        float,
        setting(
            "probability that half of the classes of another image of the dataset are pasted into a crop",
            AUGMENTATION,
            ge=0,
            le=1,
        ),
    ] = 0.0
    copy_paste: Annotated[
        float,
        setting(
            "probability that a rare class is pasted into a crop, from another image of the dataset that has it",
            AUGMENTATION,
            ge=0,
            le=1,
        ),
    ] = 0.0
    photometric: Annotated[
        float, setting("probability of each of the four colour changes", AUGMENTATION, ge=0, le=1)
    ] = 0.5
    brightness: Annotated[
        float, setting("largest shift of all channels, in grey levels of 0..255", AUGMENTATION, ge=0, le=255)
    ] = 32.0
    contrast: Annotated[Range, setting("range of the contrast factor", AUGMENTATION)] = (0.5, 1.5)
    saturation: Annotated[Range, setting("range of the saturation factor", AUGMENTATION)] = (0.5, 1.5)
    hue: Annotated[float, setting("largest hue rotation, in degrees", AUGMENTATION, ge=0, le=180)] = 18.0
    pad_colour: Annotated[
        tuple[int, int, int], setting("RGB where a crop is larger than the image (ImageNet's mean)", AUGMENTATION)
    ] = (124, 116, 104)

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of crops, where they are settled (see `training.crop`)."""
        if self.crop_size is None:
            raise ValueError("the crops of this run are not settled yet")
        return self.crop_size

    @field_validator("crop_size", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @model_validator(mode="after")
    def _ranges(self) -> AugmentConfig:
        for key, least in (("scale", 0.01), ("contrast", 0.0), ("saturation", 0.0)):
            low, high = getattr(self, key)
            if not least <= low <= high <= 100.0:
                raise ValueError(f"`{key}` must be two rising numbers of {least} to 100, found ({low}, {high})")
        if self.crop_size is not None and not 1 <= min(self.crop_size) <= max(self.crop_size) <= 16384:
            raise ValueError(f"`crop_size` must be (height, width) of 1 to 16384 pixels, found {self.crop_size}")
        if not all(0 <= channel <= 255 for channel in self.pad_colour):
            raise ValueError(f"`pad_colour` must be three numbers of 0..255, found {self.pad_colour}")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> AugmentConfig:
        """Return the configuration of a mapping.

        Raises:
            ConfigError: an unknown key or a value that is not allowed, in plain words.
        """
        for key in values:
            if key not in cls.model_fields:
                message = f"unknown augmentation key {key!r}; {nearest(str(key), cls.model_fields)}"
                raise ConfigError(message, fix="rename or remove it")
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            text = f"augmentation key {place!r}: {message}, found {first['input']!r}" if place else message
            raise ConfigError(text, fix="correct it, or leave it out for its default") from error
