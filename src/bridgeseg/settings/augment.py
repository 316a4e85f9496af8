"""How much to augment: ranges and probabilities, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridgeseg.errors import ConfigError, nearest

Range = tuple[float, float]


class AugmentConfig(BaseModel):
    """Training augmentation; unknown keys are refused. The defaults are MMSegmentation's, hue as in SSD.

    Attributes:
        crop_size: (height, width) of the training crop, pixels.
        scale: range of the random scale factor (of the native size), drawn uniformly.
        cat_max_ratio: a crop is drawn again while one class has this share of its labelled pixels or more; 1.0 sets no
            limit.
        tries: crops drawn before the last one is taken as it is.
        flip: probability of a horizontal flip.
        photometric: probability of each of the four colour changes.
        brightness: largest shift of all channels, in grey levels of 0..255.
        contrast: range of the contrast factor.
        saturation: range of the saturation factor.
        hue: largest hue rotation, degrees.
        rare_class_prob: probability of a crop around a pixel of a rare class; needs class weights.
        pad_colour: RGB colour of padding, 0..255 (ImageNet's mean).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_size: tuple[int, int] = (512, 512)
    scale: Range = (0.5, 2.0)
    cat_max_ratio: float = Field(default=0.75, gt=0.0, le=1.0)
    tries: int = Field(default=10, ge=1, le=1000)
    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    photometric: float = Field(default=0.5, ge=0.0, le=1.0)
    brightness: float = Field(default=32.0, ge=0.0, le=255.0)
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.5, 1.5)
    hue: float = Field(default=18.0, ge=0.0, le=180.0)
    rare_class_prob: float = Field(default=0.0, ge=0.0, le=1.0)
    pad_colour: tuple[int, int, int] = (124, 116, 104)

    @model_validator(mode="after")
    def _ranges(self) -> AugmentConfig:
        for key, least in (("scale", 0.01), ("contrast", 0.0), ("saturation", 0.0)):
            low, high = getattr(self, key)
            if not least <= low <= high <= 100.0:
                raise ValueError(f"`{key}` must be two rising numbers of {least} to 100, found ({low}, {high})")
        if min(self.crop_size) < 1 or max(self.crop_size) > 16384:
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
