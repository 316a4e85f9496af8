"""Text towers of open_clip: any of its models, with weights by tag, from a file, or from a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bridgeseg.errors import ConfigError, InputError, ModelFileError, nearest
from bridgeseg.extend import register_encoder
from bridgeseg.hub.access import hub_access, reason
from bridgeseg.text.foreign import check_open_clip
from bridgeseg.text.hub import cached, commit, tag_cached, unavailable
from bridgeseg.text.store import fingerprint

BATCH = 64
FOLDER, HUB = "local-dir:", "hf-hub:"
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".npz")

Tokenizer = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class TextTower:
    """An open_clip model without its image tower, frozen, float32, in eval mode.

    Attributes:
        model: has `encode_text(ids (N, L)) -> (N, D)`.
        tokenizer: maps a list of texts to ids (N, context_length) int64.
        context_length: tokens per text, special ones included.
    """

    model: Any
    tokenizer: Tokenizer
    context_length: int


@register_encoder("open_clip")
class OpenClipEncoder:
    """Encode sentences with the text tower of an open_clip model; the model is loaded when first used.

    Args:
        name: `MODEL/TAG`, `MODEL/FILE`, `local-dir:FOLDER` or `hf-hub:OWNER/NAME`.

    Raises:
        ConfigError: the weights are not named.
    """

    uses_templates = True

    def __init__(self, name: str) -> None:
        if not name.startswith((FOLDER, HUB)) and not all(name.partition("/")):
            model = name.rstrip("/")
            raise ConfigError(
                f"weights are missing after the model {model!r}",
                where=f"open_clip:{name}",
                fix=f"write open_clip:ViT-B-16/openai, or open_clip:{model}/FILE with a weights file",
            )
        self.name = name
        self._tower: TextTower | None = None

    def tower(self) -> TextTower:
        """Load the text tower, which learned prompts are trained through; errors are those of `load_tower`."""
        if self._tower is None:
            self._tower = load_tower(self.name)
        return self._tower

    def here(self) -> bool:
        """Say whether it needs no network: files are named, or the weights are in a cache."""
        if self.name.startswith(HUB):
            return cached(self.name.removeprefix(HUB))
        model, _, tag = self.name.partition("/")
        return local_source(self.name) is not None or tag_cached(model, tag)

    def identity(self) -> dict[str, Any]:
        """Return what the vectors depend on, JSON-ready; the model is not loaded for it."""
        file = local_source(self.name)
        files = fingerprint(file) if file is not None else []
        of_hub = {"commit": commit(self.name.removeprefix(HUB))} if self.name.startswith(HUB) else {}
        found = {"encoder": f"open_clip:{self.name}", "open_clip": version("open_clip_torch"), "files": files}
        return found | of_hub

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the projected embeddings of N sentences, (N, D) float32, unit length.

        Raises:
            InputError: the model or its weights cannot be fetched, or a sentence is longer than the model's context.
        """
        tower = self.tower()
        ids = tokenize(tower.tokenizer, texts, tower.context_length)
        batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        with torch.no_grad():
            return torch.cat([tower.model.encode_text(batch, normalize=True).float() for batch in batches])


def local_source(name: str) -> Path | None:
    """Return the file or folder that an encoder name points to; None when it names a tag or a hub model.

    Raises:
        ModelFileError: it looks like a path, and nothing is there.
    """
    if name.startswith(HUB):
        return None
    model, _, weights = name.partition("/")
    path = Path(name.removeprefix(FOLDER) if name.startswith(FOLDER) else weights).expanduser()
    if name.startswith(FOLDER):
        if not path.is_dir():
            raise ModelFileError(
                "no such folder", where=path, fix="give a folder with open_clip_config.json and weights"
            )
        return path
    if path.suffix not in WEIGHTS and "/" not in weights and "\\" not in weights:
        return None  # a tag, even if a file in the current folder happens to bear its name
    if not path.is_file():
        raise ModelFileError(
            f"no such weights file for {model}",
            where=path,
            fix=f"check the path; an absolute one gives two slashes: open_clip:{model}//folder/file.safetensors",
        )
    return path


def load_tower(name: str) -> TextTower:
    """Load the text tower that `name` (see `OpenClipEncoder`) describes.

    Weights are read without running code: safetensors, or PyTorch files with `weights_only=True`.

    Raises:
        ConfigError: unknown model or tag.
        ModelFileError: the weights cannot be fetched, or do not belong to the model.
    """
    import open_clip

    source = local_source(name)
    schema = name.startswith((FOLDER, HUB))
    model_name = name if schema else name.partition("/")[0]
    text_config = {} if schema else _text_config(model_name)
    hub_parts = any(key in text_config for key in ("hf_tokenizer_name", "hf_model_name"))
    with hub_access(needed=source is None or hub_parts):
        options: dict[str, Any] = {} if schema else _weights(name, source)
        try:
            if schema:
                text_config = _checked_config(name)
            # require_pretrained: open_clip would go on with random weights when a folder or the hub lacks them
            model = open_clip.create_model(model_name, require_pretrained=True, precision="fp32", **options)
        except InputError:
            raise
        except Exception as error:  # pickle, safetensors, torch and open_clip each have errors of their own
            raise _unusable(name, source, error) from error
        try:
            # an argument of transformers' tokenizers alone: code in a model's files is not run, and nobody is asked
            safe = {"trust_remote_code": False} if text_config.get("hf_tokenizer_name") else {}
            tokenizer = open_clip.get_tokenizer(model_name, **safe)
        except Exception as error:
            raise unavailable(
                f"open_clip:{name}",
                f"its tokenizer, which open_clip:{FOLDER}FOLDER takes from a folder: {reason(error)}",
            ) from error
    del model.visual
    model.requires_grad_(False).eval()
    return TextTower(model, tokenizer, int(tokenizer.context_length))


def _checked_config(name: str) -> dict[str, Any]:
    """Return the `text_cfg` of a model of a folder or of the hub, once all of its configuration is checked."""
    import open_clip
    from transformers import AutoConfig

    config = open_clip.get_model_config(name)
    check_open_clip(config, name)
    text = dict(config["text_cfg"])
    if text.get("hf_model_name"):
        AutoConfig.from_pretrained(text["hf_model_name"], trust_remote_code=False)  # refuses code, and asks nobody
    return text


def _text_config(model: str) -> dict[str, Any]:
    import open_clip

    config = open_clip.get_model_config(model)
    if config is None:
        allowed = open_clip.list_models()
        raise ConfigError(f"open_clip has no model {model!r}; {nearest(model, allowed)}", where="text encoder")
    return dict(config["text_cfg"])


def _weights(name: str, source: Path | None) -> dict[str, Any]:
    """Return the arguments of `create_model` for the weights and the activation that they were trained with."""
    import open_clip

    if source is not None:
        return {"pretrained": str(source)}
    model, _, tag = name.partition("/")
    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(
            f"{model} has no weights called {tag!r}; {nearest(tag, tags)}",
            where=f"open_clip:{name}",
            fix=f"name one of them, or a weights file: open_clip:{model}/FILE (.safetensors or .pt)",
        )
    # A tag knows whether its weights want QuickGELU (OpenAI's do); open_clip only warns when the model name does not.
    quick = bool(config.get("quick_gelu", False))
    try:
        file = open_clip.download_pretrained(config)
    except Exception as error:
        exact = f"{model}-quickgelu" if quick and f"{model}-quickgelu" in open_clip.list_models() else model
        raise unavailable(f"open_clip:{name}", error, model=exact) from error
    return {"pretrained": file, "force_quick_gelu": quick}


def _unusable(name: str, source: Path | None, error: Exception) -> Exception:
    if source is None:
        return unavailable(f"open_clip:{name}", error)
    return ModelFileError(
        f"these weights cannot be loaded: {reason(error)}",
        where=source,
        fix="give a .safetensors file, or a .pt file with a plain state dict, of the very model that is named before "
        "the slash; TorchScript archives (OpenAI's original .pt files) carry code and are not read",
    )


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> torch.Tensor:
    """Return the ids (N, context_length) of N texts; unlike the tokenizers of open_clip it cuts nothing off.

    Raises:
        ConfigError: a text has more tokens than fit.
    """
    ids = tokenizer(list(texts), context_length=context_length)
    # With one place more, a text that fits is only padded by one; one that was cut changes its last token.
    # (Tokenizers of mode "clips" end every row with a class token, so this cannot be told for them.)
    if getattr(tokenizer, "tokenizer_mode", "") != "clips":
        longer = tokenizer(list(texts), context_length=context_length + 1)[:, :-1]
        cut = [text for text, same in zip(texts, (ids == longer).all(dim=1).tolist(), strict=True) if not same]
        if cut:
            raise ConfigError(
                f"{cut[0]!r} does not fit into the {context_length} tokens that the text encoder leaves for it",
                where="prompts",
                fix="shorten the phrase or the template",
            )
    return ids
