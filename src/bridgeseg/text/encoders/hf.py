"""Any Hugging Face text model as text encoder: dual encoders (CLIP, SigLIP, ...) and sentence encoders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.extend import register_encoder
from bridgeseg.files import below
from bridgeseg.hub.access import hub_access, reason
from bridgeseg.text.foreign import check_transformers
from bridgeseg.text.hub import cached, commit, packaged, unavailable
from bridgeseg.text.store import fingerprint

BATCH = 64
POOLINGS = ("mean", "cls", "max", "lasttoken")
CONFIGS = ("config.json", "adapter_config.json")
MODULES = ("Transformer", "Pooling", "Normalize")


@register_encoder("hf")
class HuggingFaceEncoder:
    """Encode sentences with a Hugging Face model; the model is loaded when first used, and runs no code of its own.

    A model with `get_text_features` (CLIP, SigLIP, ...) gives its projected text embedding. Any other model is
    pooled over its last hidden states as sentence-transformers does: by `1_Pooling/config.json` when the model has
    one, else by the mean over the tokens that the attention mask keeps.

    Args:
        name: a folder, or a name on the hub; one that an installed package holds (`hub.PACKAGES`) is taken from there.
    """

    uses_templates = True

    def __init__(self, name: str) -> None:
        self.name = name
        folder = Path(name).expanduser()
        self.folder = folder if folder.is_dir() else packaged(name)
        if self.folder is None and not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name):
            raise ModelFileError("no such folder", where=name, fix="give a model folder, or a hub name like OWNER/NAME")
        self._loaded: tuple[Any, Any, tuple[str, ...]] | None = None

    def here(self) -> bool:
        """Say whether it needs no network: it is a folder, or in the cache of the hub."""
        return self.folder is not None or cached(self.name)

    def identity(self) -> dict[str, Any]:
        """Return what the vectors depend on, JSON-ready; the model is not loaded for it."""
        found = {"encoder": f"hf:{self.name}", "transformers": version("transformers")}
        if self.folder is None:
            return found | {"files": [], "commit": commit(self.name)}
        return found | {"files": fingerprint(self.folder)}

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the embeddings of N sentences, (N, D) float32, unit length.

        Raises:
            InputError: the model cannot be fetched or used, or a sentence is longer than its context.
        """
        if self._loaded is None:
            self._loaded = self._load()
        model, tokenizer, poolings = self._loaded
        rows = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        with torch.no_grad():
            return torch.cat([normalize(_encode(model, tokenizer, poolings, row).float(), dim=-1) for row in rows])

    def _load(self) -> tuple[Any, Any, tuple[str, ...]]:
        from transformers import AutoModel, AutoTokenizer

        source = str(self.folder or self.name)
        with hub_access(needed=self.folder is None), _quiet_transformers():
            try:
                tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
                # what is not in the cache of the hub is not known to be absent
                check_transformers({name: self._side_file(name) for name in CONFIGS[: 2 if self.folder else 1]})
                model, report = AutoModel.from_pretrained(source, trust_remote_code=False, output_loading_info=True)
                poolings = () if _is_dual(model) else _poolings(self._side_file)
            except InputError:
                raise
            except Exception as error:  # safetensors, the hub and transformers each have errors of their own
                if self.folder is None:
                    raise unavailable(f"hf:{self.name}", error) from error
                raise ModelFileError(
                    f"not a usable Hugging Face text model: {reason(error)}",
                    where=self.folder,
                    fix="a folder written by save_pretrained holds config.json, the tokenizer and model.safetensors",
                ) from error
        # Transformers fills missing weights with random ones; only a pooler that is not used here may be missing.
        missing = [key for key in report["missing_keys"] if "pooler" not in key]
        if missing:
            raise ModelFileError(
                f"weights are missing: {sorted(missing)[:5]}", where=source, fix="get the complete model"
            )
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model.float().eval().requires_grad_(False), tokenizer, poolings

    def _side_file(self, file: str) -> Path | None:
        """Return a file of the model, None when the model has no such file."""
        if self.folder is not None:
            path = below(self.folder, file)
            return path if path.is_file() else None
        from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        known = try_to_load_from_cache(self.name, file)
        if known is _CACHED_NO_EXIST:
            return None
        try:
            return Path(hf_hub_download(self.name, file))
        except LocalEntryNotFoundError as error:
            cause = f"whether it has {file}, which says how its tokens are pooled, is not known here"
            raise unavailable(f"hf:{self.name}", cause) from error
        except EntryNotFoundError:
            return None


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _poolings(side_file: Any) -> tuple[str, ...]:
    """Read how the model's authors pool its tokens; more than one way means: concatenated."""
    listing = side_file("modules.json")
    modules = json.loads(listing.read_text(encoding="utf-8")) if listing else []
    kinds = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
    unknown = sorted(set(kinds) - set(MODULES))
    if unknown:
        raise ConfigError(
            f"this model ends in {', '.join(unknown)}, which is not supported (supported: {', '.join(MODULES)})",
            where=listing,
            fix="encode the phrases with sentence-transformers and give the vectors as a .safetensors file",
        )
    config = side_file(f"{kinds.get('Pooling', '1_Pooling')}/config.json")
    if config is None:
        return ("mean",)
    values = json.loads(config.read_text(encoding="utf-8"))
    chosen = values.get("pooling_mode")
    if chosen is None:
        chosen = [
            key.removeprefix("pooling_mode_") for key, on in values.items() if key.startswith("pooling_mode_") and on
        ]
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    renamed = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
    poolings = tuple(renamed.get(name, name) for name in names)
    if not poolings or set(poolings) - set(POOLINGS):
        raise ConfigError(
            f"pooling {list(poolings)} is not supported (supported: {', '.join(POOLINGS)})",
            where=config,
            fix="encode the phrases with sentence-transformers and give the vectors as a .safetensors file",
        )
    return poolings


def _is_dual(model: Any) -> bool:
    return hasattr(model, "get_text_features")


def _encode(model: Any, tokenizer: Any, poolings: tuple[str, ...], texts: Sequence[str]) -> torch.Tensor:
    dual = _is_dual(model)
    text_config = getattr(model.config, "text_config", model.config) if dual else model.config
    limit = min(tokenizer.model_max_length, getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    masked = not dual or "attention_mask" in tokenizer.model_input_names
    # Dual encoders whose tokenizer gives no mask (SigLIP) were trained on texts padded to the full context.
    ids = tokenizer(
        list(texts),
        padding="longest" if masked else "max_length",
        max_length=None if masked else limit,
        return_attention_mask=masked,
        return_tensors="pt",
    )
    if ids["input_ids"].shape[1] > limit:
        longest = max(texts, key=lambda text: len(tokenizer(text)["input_ids"]))
        raise ConfigError(
            f"{longest!r} has more than the {limit} tokens of the text encoder's context",
            where="prompts",
            fix="shorten the phrase or the template",
        )
    if dual:
        features = model.get_text_features(**ids)
        return features if isinstance(features, torch.Tensor) else features.pooler_output
    states = model(**ids).last_hidden_state
    return torch.cat([_pool(states, ids["attention_mask"], mode) for mode in poolings], dim=-1)


def _pool(states: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """Pool hidden states (N, L, D) with a mask (N, L) of ones and zeros to (N, D)."""
    kept = mask.unsqueeze(-1).to(states.dtype)
    if mode == "mean":
        return (states * kept).sum(dim=1) / kept.sum(dim=1)
    if mode == "max":
        return states.masked_fill(kept == 0, float("-inf")).amax(dim=1)
    places = torch.arange(mask.shape[1], device=mask.device) * mask
    place = mask.argmax(dim=1) if mode == "cls" else places.argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), place]
