"""Decoders: four levels in, one map of pixel features out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bridgeseg.models.decoders._layers import conv_bn, top_down
from bridgeseg.models.decoders.fpn import SemanticFPN
from bridgeseg.models.decoders.light import LightDecoder
from bridgeseg.models.decoders.wide import WideDecoder
from tiny_networks import noise

CHANNELS = [5, 6, 7, 8]
Decoder = type[LightDecoder] | type[SemanticFPN]


def make_levels(batch: int = 2, height: int = 64, width: int = 96) -> list[Tensor]:
    return [
        noise(batch, channels, height // stride, width // stride, seed=stride)
        for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


def test_conv_bn_keeps_the_size_and_has_no_bias_before_its_norm() -> None:
    for kernel in (1, 3):
        layer = conv_bn(4, 6, kernel)
        assert layer(noise(2, 4, 5, 7)).shape == (2, 6, 5, 7)
        assert layer(noise(2, 4, 5, 7)).min() == 0
        assert layer[0].bias is None
    assert conv_bn(4, 6, act=False)(noise(2, 4, 5, 7)).min() < 0
    assert conv_bn(4, 4, 3, groups=4)[0].weight.shape == (4, 1, 3, 3)


def test_top_down_adds_the_sum_of_all_coarser_levels() -> None:
    levels = [torch.full((1, 1, 2**n, 2**n), 10.0**n) for n in (3, 2, 1, 0)]
    assert [level.unique().tolist() for level in top_down(levels)] == [[1111.0], [111.0], [11.0], [1.0]]
    spike = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert top_down([torch.zeros(1, 1, 4, 4), spike])[0].nonzero()[:, 2:].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("kind", [LightDecoder, WideDecoder, SemanticFPN])
class TestDecoders:
    def test_gives_features_at_stride_four(self, kind: Decoder) -> None:
        decoder = kind(CHANNELS, width=16).eval()
        assert decoder.width == 16
        for height, width in ((64, 96), (32, 32)):
            assert decoder(make_levels(1, height, width)).shape == (1, 16, height // 4, width // 4)

    def test_default_width(self, kind: Decoder) -> None:
        width = {LightDecoder: 64, WideDecoder: 128, SemanticFPN: 128}[kind]
        decoder = kind(CHANNELS)
        assert decoder.width == width
        assert decoder(make_levels()).shape[1] == width

    def test_every_level_and_every_parameter_takes_part(self, kind: Decoder) -> None:
        torch.manual_seed(0)
        decoder, levels = kind(CHANNELS, width=16), [level.requires_grad_() for level in make_levels()]
        decoder(levels).square().mul(noise(1, 16, 16, 24)).sum().backward()
        assert all(level.grad is not None and level.grad.abs().max() > 1e-6 for level in levels)
        silent = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.any()]
        assert silent == []

    def test_features_are_signed(self, kind: Decoder) -> None:
        features = kind(CHANNELS, width=16)(make_levels())
        assert features.min() < -0.1
        assert features.max() > 0.1

    def test_dropout_drops_whole_channels_in_training_only(self, kind: Decoder) -> None:
        torch.manual_seed(0)
        decoder = kind(CHANNELS, width=16, dropout=0.5)
        energy = decoder(make_levels()).abs().amax(dim=(2, 3))
        assert 0 < (energy == 0).sum() < energy.numel()
        decoder.eval()
        assert (decoder(make_levels()).abs().amax(dim=(2, 3)) > 0).all()

    def test_a_missing_level_is_an_error(self, kind: Decoder) -> None:
        with pytest.raises(ValueError, match="zip"):
            kind(CHANNELS, width=16)(make_levels()[:3])


@pytest.mark.parametrize(("kind", "pointwise"), [(LightDecoder, 1), (WideDecoder, 0)])
def test_little_is_spent_at_stride_four(kind: type[LightDecoder], pointwise: int) -> None:
    """One projection, one depthwise and no more pointwise convolutions: the multiplications per pixel, counted."""
    decoder, width, counted = kind(CHANNELS, width=16).eval(), 16, []

    def count(module: torch.nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        if output.shape[-2:] == (16, 24):
            counted.append(module.weight.numel())  # type: ignore[union-attr, operator]

    for module in decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    decoder(make_levels())
    assert sum(counted) == CHANNELS[0] * width + 9 * width + pointwise * width * width
