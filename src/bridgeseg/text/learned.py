"""Learned prompts: context vectors in front of the class names, trained through a frozen text encoder.

DenseCLIP (arXiv 2112.01518, section 3.3; its CLIPTextContextEncoder), after CoOp: the embedded sentence of class k is
[SOT, v_1 ... v_M, tokens of the name, EOT], where v are parameters shared by all classes (or one set per class).
Positional embeddings are the first rows of the model's, and the result is read at the EOT token, which stands M places
later than without contexts. Only the contexts are trained; gradients flow through the frozen transformer to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize as unit

from bridgeseg.errors import ConfigError
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.encoders.open_clip import OpenClipEncoder, TextTower, tokenize

LENGTH = 8
"""M in DenseCLIP."""


class LearnedPrompts(nn.Module):
    """Class embeddings (K, D) as a function of learned context vectors.

    The state dict holds `contexts` alone: the text encoder is frozen and comes from its own file.

    Args:
        tower: a CLIP-like text tower, see `bridgeseg.text.encoders.open_clip.load_tower`.
        phrases: K phrases, one per class, of any length that the model's context leaves.
        length: M, the number of context vectors; by default 8, or the tokens of `init`.
        per_class: give each class its own contexts instead of shared ones.
        init: start from the token embeddings of this phrase ("a photo of a") instead of N(0, 1) truncated at 2.

    Raises:
        ConfigError: a phrase does not fit, `length` and `init` disagree, or a text tower of another build.
    """

    def __init__(
        self,
        tower: TextTower,
        phrases: Sequence[str],
        *,
        length: int | None = None,
        per_class: bool = False,
        init: str | None = None,
    ) -> None:
        super().__init__()
        text = _text_part(tower.model)
        start = _start(tower)
        started = None if init is None else _embedded_tokens(tower, text, init, start)
        count = len(started) if started is not None else LENGTH if length is None else length
        if count < 1 or (length is not None and length != count):
            found = f"{count} tokens in {init!r}" if init is not None else "none"
            raise ConfigError(f"{length} context vectors wanted, {found}", where="prompt", fix="give one of the two")
        self.tower = _Tower(text)
        ids, ends = self._ids(tower, phrases, count)
        # The embedded names never change, so the table of the whole vocabulary need not be kept.
        embedded = text.token_embedding(ids).detach()
        self.register_buffer("before", embedded[:, :start].clone(), persistent=False)
        self.register_buffer("after", embedded[:, start:].clone(), persistent=False)
        self.register_buffer("ends", ends + count, persistent=False)
        self.contexts = nn.Parameter(torch.empty(len(phrases) if per_class else 1, count, embedded.shape[-1]))
        with torch.no_grad():
            if started is None:
                nn.init.trunc_normal_(self.contexts)
            else:
                self.contexts.copy_(started)

    def _ids(self, tower: TextTower, phrases: Sequence[str], count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids (K, L) of the phrases and the positions (K,) where they are read, both without contexts."""
        room = tower.context_length - count
        if room < 3:
            raise ConfigError(
                f"{count} context vectors leave no room for class names in a context of {tower.context_length} tokens",
                where="prompt",
                fix="use fewer context vectors",
            )
        ids = tokenize(tower.tokenizer, phrases, room)
        ends = self.tower.ends(ids)
        # Causal attention never looks beyond the last token that is read, so the padding can go (13 tokens instead
        # of 77 make a step several times cheaper); a tower that looks both ways needs it as it was trained.
        return (ids, ends) if self.tower.attn_mask is None else (ids[:, : int(ends.max()) + 1], ends)

    @classmethod
    def load(cls, encoder: str, phrases: Sequence[str], **options: Any) -> LearnedPrompts:
        """Load the encoder `open_clip:...` and build on it; `options` are the constructor's keyword arguments.

        Raises:
            InputError: not an open_clip encoder, or it cannot be loaded (see `load_tower` of that encoder).
        """
        source = open_encoder(encoder)
        if not isinstance(source, OpenClipEncoder):
            raise ConfigError(
                "learned prompts need a text encoder to learn through",
                where=encoder,
                fix="name one of open_clip's: open_clip:MODEL/WEIGHTS",
            )
        return cls(source.tower(), phrases, **options)

    def forward(self, *, normalize: bool = False) -> torch.Tensor:
        """Return the projected class embeddings (K, D) float32; of unit length if `normalize`."""
        before: torch.Tensor = self.get_buffer("before")
        after: torch.Tensor = self.get_buffer("after")
        # CLIP stays in float32 in training, whatever the rest of the network runs in
        with torch.autocast(before.device.type, enabled=False):
            contexts = self.contexts.float().expand(len(before), -1, -1)
            vectors = self.tower(torch.cat([before, contexts, after], dim=1), self.get_buffer("ends"))
        return unit(vectors, dim=-1) if normalize else vectors

    def frozen(self, *, normalize: bool = False) -> torch.Tensor:
        """Return the class embeddings (K, D) as they are now, without gradient: what a checkpoint keeps."""
        with torch.no_grad():
            return self.forward(normalize=normalize)

    def train(self, mode: bool = True) -> LearnedPrompts:
        """Switch the mode; the frozen tower stays in eval mode."""
        super().train(mode)
        self.tower.eval()
        return self


def _text_part(model: Any) -> Any:
    """Return the object that carries the parts of the text tower, checked to be one that `_Tower` can run."""
    text = getattr(model, "text", model)  # CLIP carries them itself, CustomTextCLIP under `text`
    parts = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection", "attn_mask")
    fitting = all(hasattr(text, part) for part in parts)
    special = getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False)
    if not fitting or special or _pooling(text) not in ("argmax", "eos", "last"):
        raise ConfigError(
            "learned prompts need a CLIP-like text tower: causal or full attention, read at one token",
            where="text encoder",
            fix="choose a model like ViT-B-16, RN50, MobileCLIP-S1 or ViT-B-16-SigLIP",
        )
    return text


def _pooling(text: Any) -> str:
    return str(getattr(text, "text_pool_type", None) or getattr(text, "pool_type", None))


class _Tower(nn.Module):
    """The parts of an open_clip text tower, run on embedded tokens instead of ids; never trained, never saved."""

    attn_mask: torch.Tensor | None

    def __init__(self, text: Any) -> None:
        super().__init__()
        self.transformer: nn.Module = text.transformer
        self.ln_final: nn.Module = text.ln_final
        self.positional_embedding: nn.Parameter = text.positional_embedding
        self.text_projection: nn.Module | nn.Parameter | None = text.text_projection
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self.pooling = _pooling(text)
        self.eos_id: int | None = getattr(text, "text_eos_id", getattr(text, "eos_id", None))
        self.requires_grad_(False).eval()
        hooks: Any = self
        hooks.register_state_dict_post_hook(_leave_out)
        hooks.register_load_state_dict_pre_hook(_keep)

    def ends(self, ids: torch.Tensor) -> torch.Tensor:
        """Return where each text of ids (N, L) is read: (N,) positions."""
        if self.pooling == "last":
            return torch.full((len(ids),), ids.shape[1] - 1)
        return ids.argmax(dim=1) if self.pooling == "argmax" else ids.eq(self.eos_id or 0).int().argmax(dim=1)

    def forward(self, tokens: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Run embedded tokens (K, L, C) and read them at `ends` (K,): (K, D)."""
        length = tokens.shape[1]
        mask = None if self.attn_mask is None else self.attn_mask[:length, :length]
        states = self.ln_final(self.transformer(tokens + self.positional_embedding[:length], attn_mask=mask))
        pooled: torch.Tensor = states[torch.arange(len(states), device=states.device), ends]
        if isinstance(self.text_projection, nn.Module):
            pooled = self.text_projection(pooled)
        elif self.text_projection is not None:
            pooled = pooled @ self.text_projection
        return pooled


def _leave_out(_tower: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        del state[key]


def _keep(tower: nn.Module, state: dict[str, Any], prefix: str, *_rest: Any) -> None:
    # what `_leave_out` left out is not missing when it is loaded: the tower keeps what it has
    for name, parameter in tower.named_parameters():
        state.setdefault(prefix + name, parameter.detach())


def _start(tower: TextTower) -> int:
    """Count the special tokens in front of a text: what two different words have in common at their beginning."""
    first, second = tokenize(tower.tokenizer, ["a", "road"], tower.context_length)
    return int((first != second).int().argmax())


def _embedded_tokens(tower: TextTower, text: Any, phrase: str, start: int) -> torch.Tensor:
    """Return the token embeddings (M, C) of a phrase, without special tokens and padding."""
    ids, empty = tokenize(tower.tokenizer, [phrase, ""], tower.context_length)
    # What follows a phrase is what follows no phrase at all, so it can be told where the phrase ends.
    own, tail = ids[start:].tolist(), empty[start:].tolist()
    count = next(n for n in range(len(own) + 1) if own[n:] == tail[: len(own) - n])
    embedded: torch.Tensor = text.token_embedding(ids[start : start + count]).detach()
    return embedded
