"""LSeg: pixel embeddings against frozen class embeddings (Li et al., arXiv 2201.03546)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import Settings, register_method
from bridgeseg.models.base import Head, Parts, Site, full_precision
from bridgeseg.settings.fields import NETWORK, setting
from bridgeseg.settings.model import MOST_BLOCKS


class LSegConfig(Settings):
    """Spatial regularisation of the logits (see `LSegHead`)."""

    blocks: Annotated[
        int, setting("spatial regularisation blocks behind the logits", NETWORK, ge=0, le=MOST_BLOCKS)
    ] = 0
    kind: Annotated[Literal["depthwise", "bottleneck"], setting("of these blocks", NETWORK)] = "bottleneck"


@register_method(
    "lseg", about="pixel embeddings against frozen class embeddings (LSeg)", settings=LSegConfig, head=None
)
def lseg(settings: LSegConfig, site: Site) -> Parts:
    """Build the head, which is all of the method."""
    return Parts(head=lambda width: LSegHead(width, site.text_dim, settings.blocks, settings.kind))


class LSegHead(Head):
    """Every pixel embedding against the frozen class embeddings, over a fixed temperature (LSeg, arXiv 2201.03546).

    Args:
        width: width C of the pixel features.
        text_dim: width D of the class embeddings, which the pixels are brought to.
        blocks: spatial regularisation blocks behind the logits (section 3.3 of the source), sharing their weights.
        kind: the source's "depthwise" or "bottleneck" block; the latter adds the maximum over the classes.
        scale: 1 / temperature, fixed.
    """

    def __init__(
        self,
        width: int,
        text_dim: int,
        blocks: int = 0,
        kind: Literal["depthwise", "bottleneck"] = "bottleneck",
        scale: float = 1 / 0.07,
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(width, text_dim, 1)
        self.blocks, self.kind, self.scale = blocks, kind, scale
        self.regularise = nn.Conv2d(1, 1, 3, padding=1) if blocks else None

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """pixels (B, C, h, w), class embeddings (K, D) of unit length -> logits (B, K, h, w)."""
        logits = self._cosine(pixels, tokens) * self.scale
        for index in range(self.blocks):
            logits = self._block(logits)
            if index + 1 < self.blocks:
                logits = F.leaky_relu(logits)
        return logits

    def _cosine(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Cosine of W x + b with every text t, without forming that vector of width D at every pixel x.

        Its product with t is (W^T t) x + b t, its squared length x (W^T W) x + 2 (W^T b) x + b b: C numbers a pixel
        instead of D, of which LSeg has eight times as many.
        """
        weight, bias, flat = self.project.weight.flatten(1), self.project.get_parameter("bias"), pixels.flatten(2)
        with full_precision(flat.device):  # squares soon leave the range of 16 bits
            flat = flat.to(weight.dtype)
            products = (tokens @ weight) @ flat + (tokens @ bias)[:, None]
            crossed = (weight.T @ weight) @ flat + 2 * (bias @ weight)[:, None]
            squares = flat.new_ones(1, flat.shape[1]) @ (flat * crossed) + bias @ bias
            cosine: Tensor = products * squares.clamp(min=1e-12).rsqrt()
        return cosine.reshape(pixels.shape[0], tokens.shape[0], *pixels.shape[-2:])

    def fold(self, tokens: Tensor, keep_tokens: bool = True) -> Tensor:
        """Bring text and pixels to the few dimensions that the pixels can reach: (K, D) -> (K, min(D, C + 1)).

        With the projection's weights and bias side by side as W (D, C + 1) = Q R, Q of orthonormal columns, a pixel x
        has the embedding Q R x: its length is that of R x, and its product with a text t is that of R x with Q^T t.
        """
        with torch.no_grad():
            joined = torch.cat([self.project.weight.flatten(1), self.project.get_parameter("bias")[:, None]], dim=1)
            if joined.shape[0] <= joined.shape[1]:
                return tokens
            basis, triangle = torch.linalg.qr(joined.double())
            self.project = nn.Conv2d(joined.shape[1] - 1, len(triangle), 1)
            self.project.load_state_dict({"weight": triangle[:, :-1, None, None], "bias": triangle[:, -1]})
            folded: Tensor = tokens @ basis.float()
        return folded

    def _block(self, logits: Tensor) -> Tensor:
        if self.regularise is None:
            return logits
        convolved: Tensor = self.regularise(logits.flatten(0, 1)[:, None])
        smooth = convolved.reshape(logits.shape)
        if self.kind == "bottleneck":
            smooth = smooth + logits.amax(dim=1, keepdim=True)
        return smooth
