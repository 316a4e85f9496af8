"""The two-way bridge: class embeddings and image features draw each other closer.

Source: Jin & Yang, "CLIP for Lightweight Semantic Segmentation" (arXiv 2310.07394) fixes the idea: a CNN branch over
the pixels and a transformer branch over the class embeddings, in parallel, with a bridge between them in both
directions. The block follows Chen et al., "Mobile-Former" (arXiv 2108.05895), with class embeddings instead of
learnable tokens. Where the module sits, its width and its depth are our own choice.

                    class tokens (B, K, d)                pixels (B, d, h, w)
                          |  <---- pixels to tokens ---------- |        a class looks at the whole image
                    transformer                          inverted residual
                          |  ---- tokens to pixels ----------> |        a pixel looks at all classes
                          v                                    v

No layer knows K: the same weights serve any number of classes in any order, and a permutation of the classes permutes
the tokens and the score map and changes nothing else.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import Settings, register_method
from bridgeseg.models.base import STRIDES, Guidance, Guided, Parts, Site, Visual
from bridgeseg.models.text_space import TextIn, TextSpace
from bridgeseg.settings.fields import NETWORK, setting
from bridgeseg.settings.model import MOST, MOST_BLOCKS


class BridgeConfig(Settings):
    """Size of the two-way bridge (see `TwoWayBridge`)."""

    dim: Annotated[int, setting("width of the bridge, a multiple of `heads`", NETWORK, ge=8, le=MOST)] = 64
    depth: Annotated[int, setting("its blocks", NETWORK, ge=1, le=MOST_BLOCKS)] = 1
    heads: Annotated[int, setting("its attention heads", NETWORK, ge=1, le=MOST)] = 4
    expand: Annotated[int, setting("widening of its inverted residual", NETWORK, ge=1, le=MOST_BLOCKS)] = 2
    stride: Annotated[Literal[16, 32], setting("of the finest features that it reads, 16 or 32", NETWORK)] = 16


@register_method(
    "bridge",
    about="two-way bridge between pixels and class embeddings (Jin & Yang)",
    settings=BridgeConfig,
    head="pixel-text",
    labelled_head="text",
)
def bridge(settings: BridgeConfig, site: Site) -> Parts:
    """Build the bridge on the coarse features of the backbone."""
    read = site.backbone.channels[STRIDES.index(settings.stride) :]
    size = settings.model_dump(exclude={"stride"})
    return Parts(TwoWayBridge(read, site.text, **size))


class PixelsToTokens(nn.Module):
    """Light cross-attention: class tokens query the pixels; no projection on the pixel side, which makes it cheap."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """tokens (B, K, d) or, before they have seen an image, (1, K, d), pixels (B, d, h, w) -> tokens (B, K, d)."""
        batch, (_, count, dim) = pixels.shape[0], tokens.shape
        flat = pixels.reshape(batch, self.heads, dim // self.heads, -1)  # (B, heads, d/heads, h*w)
        query = self.query(tokens).reshape(-1, count, self.heads, dim // self.heads).transpose(1, 2)
        attention = (query * self.scale @ flat).softmax(dim=-1)  # over the pixels
        seen = (attention @ flat.transpose(-1, -2)).transpose(1, 2).reshape(batch, count, dim)
        looked: Tensor = self.norm(tokens + self.out(seen))
        return looked


class TokenTransformer(nn.Module):
    """Self-attention over the class tokens and a feed-forward network (ratio 2, GELU); residual, then norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.ffn_norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, K, d) -> tokens (B, K, d)."""
        batch, count, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = (query @ key.transpose(-1, -2) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        mixed = (attention @ value).transpose(1, 2).reshape(batch, count, dim)
        tokens = self.norm(tokens + self.out(mixed))
        fed: Tensor = self.ffn_norm(tokens + self.ffn(tokens))
        return fed


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depthwise, 1x1 project, each with batch norm; residual. The CNN branch of the bridge."""

    def __init__(self, dim: int, expand: int) -> None:
        super().__init__()
        hidden = dim * expand
        self.layers = nn.Sequential(
            nn.Conv2d(dim, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, d, h, w) -> pixels (B, d, h, w)."""
        residual: Tensor = self.layers(pixels)
        return pixels + residual


class TokensToPixels(nn.Module):
    """Light cross-attention: pixels query the class tokens; key and value projections sit on the token side only."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.key = nn.Linear(dim, dim, bias=False)  # softmax over the classes would not see a bias
        self.value = nn.Linear(dim, dim)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """pixels (B, d, h, w), tokens (B, K, d) -> pixels (B, d, h, w)."""
        batch, count, dim = tokens.shape
        flat = pixels.reshape(batch, self.heads, dim // self.heads, -1)
        key = self.key(tokens).reshape(batch, count, self.heads, -1).transpose(1, 2) * self.scale
        value = self.value(tokens).reshape(batch, count, self.heads, -1).permute(0, 2, 3, 1)
        attention = (key @ flat).softmax(dim=-2)  # (B, heads, K, h*w), over the classes
        read: Tensor = (value @ attention).reshape(pixels.shape)
        return pixels + read


class BridgeBlock(nn.Module):
    """One crossing in each direction: pixels -> tokens, both branches, tokens -> pixels."""

    def __init__(self, dim: int, heads: int, expand: int) -> None:
        super().__init__()
        self.pixels_to_tokens = PixelsToTokens(dim, heads)
        self.transformer = TokenTransformer(dim, heads)
        self.cnn = InvertedResidual(dim, expand)
        self.tokens_to_pixels = TokensToPixels(dim, heads)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """pixels (B, d, h, w), tokens (B, K, d) -> the same, fused."""
        tokens = self.transformer(self.pixels_to_tokens(tokens, pixels))
        return self.tokens_to_pixels(self.cnn(pixels), tokens), tokens


class TwoWayBridge(Guidance):
    """Fuse coarse features of a backbone with class embeddings; the fused pixels join the finest of these features.

    Args:
        channels: widths of the features it reads, finest first; the coarser ones are brought to the finest and added.
        text: the space of the class embeddings, or their width D.
        dim: width d inside (ours: 64); divisible by `heads`.
        depth: number of blocks N (ours: 1).
        heads: attention heads (ours: 4).
        expand: widening of the inverted residual (ours: 2).

    Raises:
        ConfigError: `dim` is not divisible by `heads`.
    """

    gives_words = True

    def __init__(
        self,
        channels: list[int],
        text: TextSpace | int,
        dim: int = 64,
        depth: int = 1,
        heads: int = 4,
        expand: int = 2,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(
                f"bridge dim {dim} is not divisible by {heads} heads", fix=f"use dim {max(1, dim // heads) * heads}"
            )
        self.token_dim = dim
        self.level = 4 - len(channels)  # index in STRIDES of the finest features that it reads
        self.added = (0, 0, dim, 0) if self.level == 2 else (0, 0, 0, dim)
        self.pixel_in = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, 1, bias=False), nn.BatchNorm2d(dim)) for width in channels
        )
        space = TextSpace(text) if isinstance(text, int) else text
        self.token_in: nn.Module = TextIn(space, dim)
        self.blocks = nn.ModuleList(BridgeBlock(dim, heads, expand) for _ in range(depth))
        self.last_look: PixelsToTokens | None = PixelsToTokens(dim, heads)
        self.log_scale: nn.Parameter | None = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(self, features: list[Tensor], class_embeddings: Tensor, visual: Visual | None = None) -> Guided:
        """Features at all four strides, embeddings (K, D) -> d channels more at its own, tokens, score map."""
        words = self.token_in(class_embeddings)[None]  # the same for all images until they have looked at one
        pixels, tokens = self.fuse(features[self.level :], words)
        joined = torch.cat([features[self.level], pixels], dim=1)
        read = [*features[: self.level], joined, *features[self.level + 1 :]]
        return Guided(read, tokens, self._score(pixels, tokens), words)

    def fuse(self, features: list[Tensor], tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Features it reads, finest first, class tokens (1, K, d) -> fused pixels (B, d, h, w), tokens (B, K, d)."""
        pixels = self.pixel_in[0](features[0])
        for project, coarse in zip(list(self.pixel_in)[1:], features[1:], strict=True):
            factor = features[0].shape[-1] // coarse.shape[-1]
            pixels = pixels + F.interpolate(project(coarse), scale_factor=float(factor), mode="nearest")
        for block in self.blocks:
            pixels, tokens = block(pixels, tokens)
        if self.last_look is not None:
            tokens = self.last_look(tokens, pixels)
        return pixels, tokens

    def fold(self, class_embeddings: Tensor, keep_tokens: bool = True) -> Tensor:
        """Replace the text projection by the tokens it gives, (K, D) -> (K, d), and drop what only training needs.

        Args:
            class_embeddings: what `forward` was called with; call it with the returned tokens from now on.
            keep_tokens: whether the tokens of the output are used; if not, the last look at the pixels goes too.
        """
        with torch.no_grad():
            tokens: Tensor = self.token_in(class_embeddings)
        self.token_in = nn.Identity()
        self.log_scale = None  # and with it the score map
        if not keep_tokens:
            self.last_look = None
        return tokens

    def temperatures(self) -> list[nn.Parameter]:
        """Return the temperature of the score map."""
        return [] if self.log_scale is None else [self.log_scale]

    def _score(self, pixels: Tensor, tokens: Tensor) -> Tensor | None:
        if self.log_scale is None:
            return None
        cosine = F.normalize(tokens, dim=-1) @ F.normalize(pixels.flatten(2), dim=1)
        scaled = cosine * self.log_scale.exp().clamp(max=100.0)
        return scaled.reshape(*scaled.shape[:2], *pixels.shape[-2:])
