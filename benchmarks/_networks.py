"""The networks that `latency.py` compares: peers of torchvision and segmentation_models.pytorch, and our own.

Weights are random. segmentation_models.pytorch is optional: without it, its networks are left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large

from _wrap import FromPixels, from_pixels, settle
from bridgeseg.extend import DECODERS, METHODS
from bridgeseg.extend import PEERS as OTHERS
from bridgeseg.models.backbone import TimmBackbone
from bridgeseg.models.build import build
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.settings.model import ModelConfig

TEXT_DIM = 512
PEER = "LR-ASPP, mobilenet_v3_large"
PEERS = "peers"
BACKBONES = ("efficientnet_lite0", "mobilenetv4_conv_small")
FEW = (("none", "light"), ("bridge", "light"), ("none", "wide"), ("bridge", "wide"), ("none", "fpn"))
"""Method and decoder of our own networks that are always timed, the last on the first backbone only."""
SAMENESS = 2.0
"""How much of the coarsest level is the same everywhere, to what differs."""
SMP = "segmentation_models_pytorch"
SMP_NETWORKS = {
    "FPN, efficientnet_lite0 (smp)": ("FPN", "tu-efficientnet_lite0"),
    "Unet, efficientnet_lite0 (smp)": ("Unet", "tu-efficientnet_lite0"),
    "DeepLabV3+, efficientnet_lite0 (smp)": ("DeepLabV3Plus", "tu-efficientnet_lite0"),
    "Segformer, mit_b0 (smp)": ("Segformer", "mit_b0"),
    "Unet, resnet18 (smp)": ("Unet", "resnet18"),
}


@dataclass(frozen=True)
class Candidate:
    """A network that can be built.

    Attributes:
        name: what the table calls it.
        family: those of one family are timed together: `PEERS`, or a backbone.
        classes: how many, None if it has no classes.
        build: gives the module, raw pixels -> ids.
        alone: it is a backbone alone.
        dense: its file upsamples the logits of all pixels, as usual, and not only where classes meet.
    """

    name: str
    family: str
    classes: int | None
    build: Callable[[], nn.Module]
    alone: bool = False
    dense: bool = False


def candidates(classes: list[int], everything: bool) -> Iterator[Candidate]:
    """Yield what is to be timed, the peer that all are compared with first.

    Args:
        classes: numbers of classes. All networks have the first; the others are for the peer and for the bridge with
            the light decoder on the first backbone, or for all.
        everything: all methods, decoders and peers.
    """
    for index, count in enumerate(classes):
        yield Candidate(PEER, PEERS, count, partial(_torchvision, lraspp_mobilenet_v3_large, count), dense=True)
        name = "LR-ASPP with the end of our files"
        yield Candidate(name, PEERS, count, partial(_torchvision, lraspp_mobilenet_v3_large, count))
        if everything or not index:
            name = "DeepLabV3, mobilenet_v3_large"
            yield Candidate(name, PEERS, count, partial(_torchvision, deeplabv3_mobilenet_v3_large, count), dense=True)
        if everything and has_smp():
            for name, (architecture, encoder) in SMP_NETWORKS.items():
                yield Candidate(name, PEERS, count, partial(_smp, architecture, encoder, count), dense=True)
    for backbone in BACKBONES:
        yield Candidate(f"{backbone}, backbone alone", backbone, None, partial(_alone, backbone), alone=True)
        for index, count in enumerate(classes):
            for method, decoder in _pairs(backbone, everything, first=not index):
                name = f"{backbone}, {method}, {decoder}"
                yield Candidate(name, backbone, count, partial(own, method, backbone, decoder, count))
    for count in classes[1:]:
        name = f"{BACKBONES[0]}, bridge, approximate"
        yield Candidate(name, BACKBONES[0], count, partial(own, "bridge", BACKBONES[0], "light", count, True))


def has_smp() -> bool:
    """Whether segmentation_models.pytorch is installed."""
    return importlib.util.find_spec(SMP) is not None


def own(method: str, backbone: str, decoder: str, classes: int, approximate: bool = False) -> DeployNetwork:
    """Build one of our networks, folded, with random class embeddings.

    Weights are random, but only the coarsest level reaches the head, most of it the same everywhere, and the decoder's
    3x3 convolutions blur: classes meet about as often as with trained weights. With wholly random ones they would do so
    almost everywhere.
    """
    embeddings = nn.functional.normalize(torch.randn(classes, TEXT_DIM), dim=1)
    head = "text" if (method, decoder) == ("bridge", "wide") else "auto"  # as a training has it by default
    config = ModelConfig(method=method, backbone=backbone, decoder=decoder, head=head)
    network = settle(build(config, classes, None if method == "none" else embeddings))
    for lateral in network.decoder.lateral[:-1]:
        nn.init.zeros_(lateral[1].weight)
    nn.init.normal_(network.decoder.lateral[-1][1].bias, std=SAMENESS)
    for module in network.decoder.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.weight.data = module.weight.data.mean(dim=(2, 3), keepdim=True).expand_as(module.weight).clone()
    return DeployNetwork(network, approximate=approximate)


def _pairs(backbone: str, everything: bool, first: bool) -> list[tuple[str, str]]:
    """Return the methods and decoders for a backbone, for the first number of classes or a further one."""
    if everything:
        return [
            (method, decoder) for decoder in DECODERS.names() if decoder not in OTHERS for method in METHODS.names()
        ]
    if not first:
        return [("bridge", "light")] if backbone == BACKBONES[0] else []
    return [pair for pair in FEW if pair[1] != "fpn" or backbone == BACKBONES[0]]


def _torchvision(make: Callable[..., nn.Module], classes: int) -> FromPixels:
    """Build one of torchvision's, without its upsampling: that comes from us."""
    whole = make(weights=None, weights_backbone=None, num_classes=classes)
    head = whole.classifier if make is lraspp_mobilenet_v3_large else nn.Sequential(_Deepest(), whole.classifier)
    return from_pixels(settle(nn.Sequential(whole.backbone, head)))


class _Deepest(nn.Module):
    """Takes the level that torchvision calls "out"."""

    def forward(self, levels: dict[str, Tensor]) -> Tensor:
        return levels["out"]


def _smp(architecture: str, encoder: str, classes: int) -> FromPixels:
    """Build one of segmentation_models.pytorch, without its upsampling: that comes from us."""
    import segmentation_models_pytorch as smp

    network = getattr(smp, architecture)(encoder, encoder_weights=None, classes=classes)
    network.segmentation_head[1] = nn.Identity()
    return from_pixels(settle(network))


def _alone(name: str) -> FromPixels:
    backbone = settle(TimmBackbone(name))
    return FromPixels(backbone, backbone.mean, backbone.std, _deepest)


def _deepest(levels: list[Tensor]) -> Tensor:
    """Reduce a backbone's levels to (B, H/32, W/32), which takes next to no time and needs all of them."""
    return levels[-1].mean(dim=1)
