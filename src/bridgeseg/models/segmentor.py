"""The whole network: backbone -> guidance -> decoder -> head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.classes import ClassSet
from bridgeseg.models.base import STRIDES, Backbone, Guidance, Head
from bridgeseg.settings.model import ModelConfig

PAD = STRIDES[-1]
STRIDE = STRIDES[0]


class Prediction(NamedTuple):
    """What a network gives.

    Attributes:
        logits: (B, K, h, w).
        score_map: (B, K, h', w') of the auxiliary loss; of a guided network that is not folded.
        features: what the decoder read, finest first; in training mode.
    """

    logits: Tensor
    score_map: Tensor | None
    features: Sequence[Tensor] = ()


class Segmentor(nn.Module):
    """Images and class embeddings in, logits out; knows nothing of files, trainers or command lines.

    Args:
        backbone: features at strides 4, 8, 16, 32, or at those that the decoder asks for.
        guidance: how language guides it, or None.
        decoder: these features -> pixel features at stride 4, or at that of its attribute `stride`.
        head: pixel features (and tokens) -> logits.
        class_embeddings: (K, D) unit vectors, or None for a network without language.

    Attributes:
        stride: of the logits that `forward` gives.
        made_of: its architecture, its classes and facts for its provenance, if `bridgeseg.build` made it.
    """

    class_embeddings: Tensor | None
    mean: Tensor
    std: Tensor
    made_of: tuple[ModelConfig, ClassSet, dict[str, Any]] | None = None

    def __init__(
        self,
        backbone: Backbone,
        guidance: Guidance | None,
        decoder: nn.Module,
        head: Head,
        class_embeddings: Tensor | None,
    ) -> None:
        super().__init__()
        self.backbone, self.guidance, self.decoder, self.head = backbone, guidance, decoder, head
        self.stride = int(getattr(decoder, "stride", STRIDE))
        self._reads_visual = guidance is not None and guidance.reads_visual
        self.register_buffer("class_embeddings", class_embeddings)
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        self.register_buffer("mean", mean.view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1) * 255, persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """RGB of 0..255, (B, 3, H, W) of any dtype -> float32, zero mean and unit deviation as the backbone expects."""
        return (images.float() - self.mean) / self.std

    def forward(self, images: Tensor, class_embeddings: Tensor | None = None) -> Prediction:
        """Normalised images (B, 3, H, W) of any size -> logits at `stride` of the size padded to multiples of 32.

        Class embeddings (K, D) take the place of its own for this call: learned prompts change them at every step.
        """
        text = self.class_embeddings if class_embeddings is None else class_embeddings
        height, width = images.shape[-2:]
        # zero is the mean colour; exact multiples keep every upsampling a plain factor of two
        # written as multiples, so that the exporter can divide free sizes by two again and again
        rows, columns = (height + PAD - 1) // PAD, (width + PAD - 1) // PAD
        padded = F.pad(images, (0, columns * PAD - width, 0, rows * PAD - height))
        features, visual = self.backbone.features(padded) if self._reads_visual else (self.backbone(padded), None)
        if self.guidance is None or text is None:
            return Prediction(self.head(self.decoder(features), text), None, self._for_training(features))
        finer, guidable = features[: -len(STRIDES)], features[-len(STRIDES) :]
        guided = self.guidance(guidable, text, visual)
        read = [*finer, *guided.features]
        tokens = guided.words if self.head.reads_words else guided.tokens
        return Prediction(self.head(self.decoder(read), tokens), guided.score_map, self._for_training(read))

    def _for_training(self, features: list[Tensor]) -> Sequence[Tensor]:
        """Hand features on in training, which keeps them anyway; elsewhere their memory is wanted back."""
        return features if self.training else ()

    def logits(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> logits (B, K, H, W) at their own size."""
        return to_size(self(images).logits, self.stride, images)

    def fold(self) -> Segmentor:
        """Drop, in place and for good, all that only text and training need; logits do not change.

        What the class embeddings become by themselves stays as a constant, the score map goes. Folding twice is folding
        once.
        """
        if self.class_embeddings is not None:
            part = self.head if self.guidance is None else self.guidance
            self.class_embeddings = part.fold(self.class_embeddings, keep_tokens=self.head.reads_tokens)
            if self.head.reads_words:
                self.head.settle(self.class_embeddings)
        return self


def upsample(logits: Tensor, stride: int) -> Tensor:
    """Upsample (B, K, h, w) by `stride`, bilinear."""
    if stride == 1:
        return logits
    return F.interpolate(logits, scale_factor=float(stride), mode="bilinear")


def to_size(logits: Tensor, stride: int, images: Tensor) -> Tensor:
    """Upsample (B, K, h, w) by `stride`, bilinear, and cut the padding off: (B, K, H, W) of the images."""
    return cut(upsample(logits, stride), images)


def cut(maps: Tensor, images: Tensor) -> Tensor:
    """Cut the padding off maps (..., H', W'): (..., H, W) of the images."""
    return maps[..., : images.shape[-2], : images.shape[-1]]
