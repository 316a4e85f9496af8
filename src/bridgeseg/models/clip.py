"""CLIP's own image encoders, those of open_clip, as backbones: features at strides 4, 8, 16 and 32."""

from __future__ import annotations

import math
from typing import Any

import open_clip
import torch
from open_clip.model import ModifiedResNet
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.models.base import STRIDES, Backbone, Visual
from bridgeseg.models.clip_weights import create_tower


class CLIPBackbone(Backbone):
    """An image encoder of open_clip that gives its features.

    Only the image encoder is kept. `forward` leaves its pool unused; a network that never calls `features` should
    `drop_pool()`.

    Args:
        name: `open_clip:MODEL`, a model whose image encoder is CLIP's ResNet, or a vision transformer with patches of
            4, 8, 16 or 32 pixels and a class token.
        weights: None (random), an open_clip tag such as "openai" (fetched by open_clip), or a file: .safetensors, or
            PyTorch's format, read without executing code, with the state dict of the whole model or its image encoder.

    Its own embedding lies on the last features of ResNets, on those of the patches' stride of transformers.

    Raises:
        ConfigError: no such model or tag, its image encoder is of another kind, or the weights want another activation.
        ModelFileError: the weights cannot be fetched or read, or belong to another model.
    """

    def __init__(self, name: str, weights: str | None = None) -> None:
        super().__init__()
        self.name = name
        tower = create_tower(name, weights)
        self.body = _ResNet(tower) if isinstance(tower, ModifiedResNet) else _Transformer(tower)
        self.channels = self.body.channels
        self.level = self.body.level
        self.embed_dim = tower.output_dim
        self.mean = open_clip.OPENAI_DATASET_MEAN
        self.std = open_clip.OPENAI_DATASET_STD
        self._has_pool = True

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) normalised, H and W multiples of 32 -> [(B, C_i, H/s_i, W/s_i)], finest first."""
        features: list[Tensor] = self.body(images)[0]
        return features

    def features(self, images: Tensor) -> tuple[list[Tensor], Visual]:
        """Return the features, as `forward` gives them, and CLIP's own embedding of the images, in one pass."""
        if not self._has_pool:
            raise RuntimeError("features() needs the pool, which drop_pool() has removed")
        features, last = self.body(images)
        pooled, dense = self.body.embed(last, features[self.level].shape[-2:])
        return features, Visual(pooled, dense, self.level)

    def drop_pool(self) -> None:
        """Remove, in place and for good, the parameters that only `features` reads."""
        self.body.drop_pool()
        self._has_pool = False


class _ResNet(nn.Module):
    """CLIP's ResNet; its four stages are the features, its attention pool embeds."""

    level = 3

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower: Any = tower
        self.channels = [stage[-1].conv3.out_channels for stage in self._stages()]

    def _stages(self) -> list[Any]:
        return [self.tower.layer1, self.tower.layer2, self.tower.layer3, self.tower.layer4]

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The features, and what `embed` reads."""
        features, maps = [], self.tower.stem(images)
        for stage in self._stages():
            maps = stage(maps)
            features.append(maps)
        return features, maps

    def embed(self, maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """CLIP's attention pool, with every position a query and not the mean alone (DenseCLIP, Rao et al. 2022)."""
        pool = self.tower.attnpool
        side = math.isqrt(len(pool.positional_embedding) - 1)
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + _positions(pool.positional_embedding, (side, side), size).to(tokens.dtype)
        batch, length, _ = tokens.shape
        query, key, value = (
            project(tokens).reshape(batch, length, pool.num_heads, -1).transpose(1, 2)
            for project in (pool.q_proj, pool.k_proj, pool.v_proj)
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return _pooled_and_dense(pool.c_proj(mixed), size)

    def drop_pool(self) -> None:
        self.tower.attnpool = None


class _Transformer(nn.Module):
    """CLIP's vision transformer; maps from four depths, resampled, are the features, its last tokens embed.

    Depths and resampling are DenseCLIP's: after 1/3, 1/2, 2/3 and all of the blocks; a norm over the map, then
    transposed convolutions up to the finer strides, a maximum pool down to the coarser ones.
    """

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower: Any = tower
        width, patch = tower.conv1.out_channels, tower.conv1.stride[0]
        depth = len(tower.transformer.resblocks)
        self.depths = [max(1, part) - 1 for part in (depth // 3, depth // 2, 2 * depth // 3, depth)]
        self.channels = [width] * len(STRIDES)
        self.level = STRIDES.index(patch)
        self.pyramid = nn.ModuleList(_resample(width, patch, stride) for stride in STRIDES)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The features, and what `embed` reads."""
        tower = self.tower
        patches = tower.conv1(images)
        batch, width, *size = patches.shape
        token = tower.class_embedding.to(patches.dtype).expand(batch, 1, width)
        tokens = torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + _positions(tower.positional_embedding, tower.grid_size, size).to(tokens.dtype)
        depths = sorted(set(self.depths))  # a transformer of few blocks has fewer of them
        last, seen = tower.transformer.forward_intermediates(tower.ln_pre(tokens), indices=depths)
        maps = {depth: _pooled_and_dense(tokens, size)[1] for depth, tokens in zip(depths, seen, strict=True)}
        return [resample(maps[depth]) for resample, depth in zip(self.pyramid, self.depths, strict=True)], last

    def embed(self, tokens: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """CLIP's norm and projection, of every token and not the class token alone."""
        return _pooled_and_dense(self.tower.ln_post(tokens) @ self.tower.proj, size)

    def drop_pool(self) -> None:
        self.tower.ln_post, self.tower.proj = None, None


def _resample(width: int, patch: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.GroupNorm(1, width)]
    for step in range(int(math.log2(max(patch // stride, 1)))):
        if step:
            layers += [nn.BatchNorm2d(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, width, kernel_size=2, stride=2))
    if patch < stride:
        layers.append(nn.MaxPool2d(stride // patch))
    return nn.Sequential(*layers)


def _positions(embedding: Tensor, grid: tuple[int, int], size: tuple[int, int] | list[int]) -> Tensor:
    """Resample position embeddings (1 + gh*gw, C), the first of no position, from a grid to (1 + h*w, C), bicubic."""
    maps = embedding[1:].T.reshape(1, -1, *grid)
    maps = F.interpolate(maps, size=tuple(size), mode="bicubic", align_corners=False)
    return torch.cat([embedding[:1], maps[0].flatten(1).T])


def _pooled_and_dense(tokens: Tensor, size: tuple[int, int] | list[int]) -> tuple[Tensor, Tensor]:
    """Split tokens (B, 1 + h*w, C) into the first (B, 1, C) and a map of the others (B, C, h, w)."""
    return tokens[:, :1], tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], -1, *size)
