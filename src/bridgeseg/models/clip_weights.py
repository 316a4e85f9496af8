"""Image encoders of open_clip, without their text encoders: built from a model's name, filled from a tag or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

from bridgeseg.errors import ConfigError, ModelFileError, nearest
from bridgeseg.hub.access import hub_access, reason
from bridgeseg.models.backbone import read_state
from bridgeseg.models.base import STRIDES

PREFIX = "open_clip:"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
ALLOWED = "a ResNet such as open_clip:RN50, or a vision transformer such as open_clip:ViT-B-16-quickgelu"
TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
"""The text encoder that open_clip insists on building: as small as can be, and thrown away."""


def create_tower(name: str, weights: str | None) -> Any:
    """Build the image encoder of an open_clip model, in float32.

    Args:
        name: `open_clip:MODEL`.
        weights: None (random), an open_clip tag, or a file with the state dict of the whole model or its image encoder.

    Returns:
        open_clip's ModifiedResNet or VisionTransformer.

    Raises:
        ConfigError: no such model or tag, or its image encoder is of another kind.
        ModelFileError: the weights cannot be fetched or read, or belong to another model.
    """
    model = name.removeprefix(PREFIX)
    if model not in open_clip.list_models():
        raise ConfigError(
            f"open_clip has no model {model!r}; {nearest(model, filter(_usable, open_clip.list_models()))}",
            where=f"backbone {name}",
        )
    config = open_clip.get_model_config(model)
    vision = open_clip.CLIPVisionCfg(**config["vision_cfg"])
    _refuse_other_kinds(name, vision)
    quick_gelu = bool(config.get("quick_gelu", False))
    file = None if weights is None else _weights_file(model, weights, quick_gelu or _is_resnet(vision))
    clip = open_clip.CLIP(config["embed_dim"], vision_cfg=config["vision_cfg"], text_cfg=TEXT, quick_gelu=quick_gelu)
    if file is not None:
        _load(clip.visual, file, model)
    return clip.visual


def _is_resnet(vision: Any) -> bool:
    return isinstance(vision.layers, (list, tuple))


def _usable(model: str) -> bool:
    try:
        _refuse_other_kinds(model, open_clip.CLIPVisionCfg(**open_clip.get_model_config(model)["vision_cfg"]))
    except ConfigError:
        return False
    return True


def _refuse_other_kinds(name: str, vision: Any) -> None:
    found, fix = None, f"choose {ALLOWED}"
    if vision.timm_model_name:
        found = f"is timm's {vision.timm_model_name}"
        fix += f"; or the timm backbone {vision.timm_model_name} itself, if it has features at several strides"
    elif not _is_resnet(vision):
        if vision.patch_size not in STRIDES:
            found = f"has patches of {vision.patch_size} pixels, not of {', '.join(map(str, STRIDES[:-1]))} or 32"
        elif vision.attentional_pool or vision.pool_type != "tok":
            found = "has a pool that gives the single positions no embedding"
    if found:
        raise ConfigError(f"the image encoder {found}", where=f"backbone {name}", fix=fix)


def _weights_file(model: str, weights: str, takes_quick_gelu: bool) -> Path:
    tag = open_clip.get_pretrained_cfg(model, weights)
    if tag:
        return _fetched(model, weights, tag, takes_quick_gelu)
    if Path(weights).suffix not in SUFFIXES and "/" not in weights and "\\" not in weights:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(
            f"{model} has no weights called {weights!r}; {nearest(weights, tags) if tags else 'open_clip has none'}",
            where=f"backbone {PREFIX}{model}",
            fix=f"{'name one of them, or' if tags else 'give'} a weights file ({', '.join(SUFFIXES)})",
        )
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ModelFileError(
            f"no such weights file for {model}", where=path, fix="check the path, or name a tag: openai"
        )
    return path


def _fetched(model: str, weights: str, tag: dict[str, Any], takes_quick_gelu: bool) -> Path:
    if tag.get("quick_gelu", False) and not takes_quick_gelu:
        # Not merely switched on: a checkpoint is rebuilt from the model's name alone.
        raise ConfigError(
            f"the weights {weights!r} were trained with QuickGELU, which {model} does not use",
            where=f"backbone {PREFIX}{model}",
            fix=f"choose the backbone {PREFIX}{model}-quickgelu",
        )
    try:
        with hub_access(needed=True):
            return Path(open_clip.download_pretrained(tag))
    except Exception as error:  # the clients of hub and web have errors of their own
        raise ModelFileError(
            f"the weights {weights!r} are not on this machine and could not be downloaded ({reason(error)})",
            where=f"backbone {PREFIX}{model}",
            fix="connect to the network; or give a file with the state dict of this model or its image encoder "
            "(.safetensors or .pt): `backbone_weights=FILE`; or `none` for random ones",
        ) from error


def _load(tower: Any, file: Path, model: str) -> None:
    given, expected = _visual(read_state(file)), tower.state_dict()
    absent = [key for key in expected if key not in given and not key.endswith("num_batches_tracked")]
    wrong = [key for key in expected if key in given and given[key].shape != expected[key].shape]
    foreign = [key for key in given if key not in expected]
    if absent or wrong or foreign:
        raise ModelFileError(
            f"does not hold the image encoder of {model}: {len(absent)} of {len(expected)} tensors are missing, "
            f"{len(wrong)} have another shape, {len(foreign)} are unknown (first: {(absent + wrong + foreign)[0]})",
            where=file,
            fix="give a state dict of this very model or of its image encoder, with open_clip's parameter names",
        )
    tower.load_state_dict(given, strict=False)  # only batch norms' counters may be missing


def _visual(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pick the image encoder from the state dict of a whole model or of the encoder alone, also as DDP saves it."""
    for prefix in ("module.visual.", "visual.", "module."):
        inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if inner:
            return inner
    return state
