"""What the configuration of a model folder or a repository may say, before any of it reaches a constructor.

Such a configuration is written by a stranger. It may set numbers and switches of a model; it may not choose code, name
files or repositories beside its own, or ask for more memory than its weights take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bridgeseg.errors import ModelFileError
from bridgeseg.wording import shown

MODEL_KEYS = frozenset(
    [
        "embed_dim",
        "vision_cfg",
        "text_cfg",
        "multimodal_cfg",
        "quick_gelu",
        "custom_text",
        "init_logit_scale",
        "init_logit_bias",
        "nonscalar_logit_scale",
    ]
)
TOKENIZER_KEYS = frozenset({"clean", "strip_sep_token", "language", "reduction_mask"})
"""Arguments of open_clip's tokenizers that choose neither code nor files."""
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
TIMM_NAME = re.compile(r"[\w-]+(\.[\w-]+)?")
LIMITS = {"layers": 512, "vocab_size": 2**21, "context_length": 2**16, "image_size": 2**12}
LARGEST = 2**14
"""Of all other numbers: widths, heads, patches."""
LARGEST_ID = LIMITS["vocab_size"]
"""Of what names a token: `eos_id`, `pad_id`, ..."""
FIX = "do not use this model, or correct the file if it is yours"


def check_open_clip(config: Any, where: str | Path) -> None:
    """Check the `model_cfg` of an `open_clip_config.json`.

    Raises:
        ModelFileError: it holds a key that is not known to be harmless, names something outside its own folder or
            repository, or a number beyond all models.
    """
    text, vision = (config.get(key) if isinstance(config, dict) else None for key in ("text_cfg", "vision_cfg"))
    if not (isinstance(text, dict) and isinstance(vision, dict)):
        raise ModelFileError("describes no open_clip model: no `text_cfg` and `vision_cfg`", where=where, fix=FIX)
    if strange := sorted(map(str, set(config) - MODEL_KEYS)):
        _refuse(f"the key {shown(strange[0])}", where)
    options = text.get("tokenizer_kwargs") or {}
    if not isinstance(options, Mapping) or (strange := sorted(map(str, set(options) - TOKENIZER_KEYS))):
        _refuse(f"`tokenizer_kwargs` with {shown(strange[0] if isinstance(options, Mapping) else options)}", where)
    for key in ("hf_model_name", "hf_tokenizer_name"):
        name = text.get(key) or "none"
        if not (isinstance(name, str) and HUB_NAME.fullmatch(name)) or Path(name).is_dir():
            _refuse(f"`{key}` {shown(name)}, which is no name on the hub", where)
    name = vision.get("timm_model_name")
    if name and not (isinstance(name, str) and TIMM_NAME.fullmatch(name)):
        _refuse(f"`timm_model_name` {shown(name)}, which is none of timm's own", where)
    for key, number in _numbers(config):
        if number > LIMITS.get(key, LARGEST_ID if key.endswith("_id") else LARGEST):
            _refuse(f"`{key}` of {number}, beyond all models", where)


def check_transformers(files: Mapping[str, Path | None]) -> None:
    """Check `config.json` and `adapter_config.json` of a Hugging Face model; code in such folders is not run anyway.

    Args:
        files: name -> the file, None where the model has none.

    Raises:
        ModelFileError: it is an adapter of another model, or asks for a kernel, which is code, from a repository.
    """
    adapter, config = files.get("adapter_config.json"), files.get("config.json")
    if adapter is not None:
        _refuse("an adapter for a model elsewhere", adapter, fix="merge it into its model and save that")
    if config is None:
        return
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"cannot be read: {shown(error)}", where=config, fix=FIX) from error
    for key, value in _entries(values):
        if "attn_implementation" in key and "/" in str(value):
            _refuse(f"`{key}` {shown(value)}, code of another repository", config)


def _refuse(found: str, where: str | Path, fix: str = FIX) -> None:
    raise ModelFileError(f"asks for {found}; this is not taken from a model's files", where=where, fix=fix)


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    for key, found in _entries(value):
        if isinstance(found, int | float) and not isinstance(found, bool):
            yield key, found


def _entries(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value, groups and lists too, with the key that it stands under."""
    yield key, value
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _entries(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner, key)
