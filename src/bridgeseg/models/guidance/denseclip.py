"""DenseCLIP's context-aware prompting: the image adjusts the class embeddings, their score map joins the features.

Source: Rao et al., "DenseCLIP" (arXiv 2112.01518), sections 3.2 and 3.3. Dense and global visual embeddings are
CLIP's own. For backbones that CLIP did not train, they come from a randomly initialised attention pool on the last
stage, as its authors answered for ResNet-18 and Swin.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import Settings, register_method
from bridgeseg.models.base import Guidance, Guided, Parts, Site, Visual

TEMPERATURE = 0.07


@register_method(
    "denseclip",
    about="context-aware prompting: the image adjusts the class embeddings, their score map joins (DenseCLIP)",
    unit_length=False,
    aux_at="pixels",
    reads_pool=True,
)
def denseclip(settings: Settings, site: Site) -> Parts:
    """Build it on the last stage, or on the backbone's own embedding of the images."""
    backbone, text_dim = site.backbone, site.text_dim
    if backbone.embed_dim is None:
        return Parts(ContextAwarePrompting(backbone.channels[3], text_dim, site.classes))
    if backbone.embed_dim != text_dim:
        raise ConfigError(
            f"the image encoder {backbone.name!r} embeds in {backbone.embed_dim} dimensions, the text encoder in "
            f"{text_dim}; method `denseclip` needs both in one space",
            fix="take the text encoder of the same CLIP model, or a backbone of timm",
        )
    return Parts(ContextAwarePrompting(backbone.channels[3], text_dim, site.classes, backbone.level, own_pool=True))


class AttentionPool(nn.Module):
    """CLIP's attention pool with every token as a query (arXiv 2103.00020, section 2.4).

    Args:
        channels: width of the feature map.
        dim: width D of the result.
        grid: side of the square grid that positions are learned on; resized to the feature map, bicubic.
    """

    def __init__(self, channels: int, dim: int, grid: int = 8) -> None:
        super().__init__()
        self.grid = grid
        self.global_position = nn.Parameter(torch.randn(1, channels) * channels**-0.5)
        self.positions = nn.Parameter(torch.randn(1, channels, grid, grid) * channels**-0.5)
        heads = max(h for h in range(1, max(1, channels // 32) + 1) if channels % h == 0)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.project = nn.Linear(channels, dim)

    def forward(self, features: Tensor) -> Visual:
        """features (B, C, h, w) -> pooled (B, 1, D) and dense embeddings (B, D, h, w)."""
        positions = F.interpolate(self.positions, size=features.shape[-2:], mode="bicubic")
        dense = (features + positions).flatten(2).transpose(1, 2)
        mean = features.flatten(2).mean(dim=2) + self.global_position
        tokens = torch.cat([mean[:, None], dense], dim=1)
        mixed: Tensor = self.project(self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return Visual(mixed[:, :1], mixed[:, 1:].transpose(1, 2).reshape(mixed.shape[0], -1, *features.shape[-2:]), 3)


class ContextDecoder(nn.Module):
    """Three pre-norm transformer decoder layers in which the class embeddings read the image.

    Args:
        dim: width D of text and memory.
        width: width inside (256 in the source).
        layers, heads, dropout: 3, 4 and 0.1 in the source; the feed-forward ratio is 4.
    """

    def __init__(self, dim: int, width: int = 256, layers: int = 3, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.memory_in = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width), nn.LayerNorm(width))
        self.text_in = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))

    def forward(self, text: Tensor, visual: Tensor) -> Tensor:
        """text (B, K, D), visual (B, 1 + h*w, D) -> what to add to the text, (B, K, D)."""
        memory, tokens = self.memory_in(visual), self.text_in(text)
        for layer in self.layers:
            tokens = layer(tokens, memory)
        added: Tensor = self.out(tokens)
        return added


class ContextAwarePrompting(Guidance):
    """Visual embeddings, context decoder and score map; the score map joins the features that it lies on.

    Args:
        channels: width of the last stage.
        text_dim: width D of the class embeddings.
        classes: number of classes K: that many channels join the features, so the decoder fixes their number and order.
        level: index in STRIDES of the features it lies on: the last ones, but for CLIP's ViT (16).
        own_pool: whether the backbone gives CLIP's visual embeddings itself.
    """

    def __init__(self, channels: int, text_dim: int, classes: int, level: int = 3, own_pool: bool = False) -> None:
        super().__init__()
        self.level, self.token_dim = level, text_dim
        self.added = (0, 0, 0, classes) if level == 3 else (0, 0, classes, 0)
        self.reads_visual = own_pool
        self.pool = None if own_pool else AttentionPool(channels, text_dim)
        self.decoder = ContextDecoder(text_dim)
        self.gamma = nn.Parameter(torch.full((text_dim,), 1e-4))
        self.folded = False

    def forward(self, features: list[Tensor], class_embeddings: Tensor, visual: Visual | None = None) -> Guided:
        """Features at strides 4 to 32, class embeddings (K, D) -> K channels more on one of them, tokens, score map."""
        if visual is None:
            if self.pool is None:
                raise ValueError("built for a backbone with visual embeddings of its own, and called without them")
            visual = self.pool(features[-1])
        text = class_embeddings.expand(features[0].shape[0], -1, -1)
        memory = torch.cat([visual.pooled, visual.dense.flatten(2).transpose(1, 2)], dim=1)
        text = text + self.gamma * self.decoder(text, memory)
        cosine = F.normalize(text, dim=-1) @ F.normalize(visual.dense, dim=1).flatten(2)
        score_map = cosine.reshape(*cosine.shape[:2], *visual.dense.shape[-2:])
        joined = torch.cat([features[self.level], score_map], dim=1)
        features = [*features[: self.level], joined, *features[self.level + 1 :]]
        return Guided(features, text, None if self.folded else score_map / TEMPERATURE)

    def fold(self, class_embeddings: Tensor, keep_tokens: bool = True) -> Tensor:
        """Only the score map's second use goes: the text meets the image at its own width."""
        self.folded = True
        return class_embeddings
