"""Decoders: levels in, one map of pixel features out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bridgeseg.models.base import STRIDES
from bridgeseg.models.decoders._layers import conv_bn, top_down
from bridgeseg.models.decoders.fine import FineDecoder
from bridgeseg.models.decoders.fpn import SemanticFPN
from bridgeseg.models.decoders.light import LightDecoder
from tiny_networks import noise

CHANNELS = {2: 4, 4: 5, 8: 6, 16: 7, 32: 8}
Decoder = type[LightDecoder] | type[FineDecoder] | type[SemanticFPN]


def strides(kind: Decoder) -> tuple[int, ...]:
    return getattr(kind, "strides", STRIDES)


def make(kind: Decoder, **settings: Any) -> Any:
    return kind([CHANNELS[stride] for stride in strides(kind)], **settings)


def make_levels(kind: Decoder, batch: int = 2, height: int = 64, width: int = 96) -> list[Tensor]:
    return [noise(batch, CHANNELS[stride], height // stride, width // stride, seed=stride) for stride in strides(kind)]


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


@pytest.mark.parametrize("kind", [LightDecoder, FineDecoder, SemanticFPN])
class TestDecoders:
    def test_gives_features_at_its_stride(self, kind: Decoder) -> None:
        decoder, stride = make(kind, width=16).eval(), 2 if kind is FineDecoder else 4
        assert (decoder.width, getattr(decoder, "stride", 4)) == (16, stride)
        for height, width in ((64, 96), (32, 32)):
            assert decoder(make_levels(kind, 1, height, width)).shape == (1, 16, height // stride, width // stride)

    def test_default_width(self, kind: Decoder) -> None:
        width = {LightDecoder: 64, FineDecoder: 16, SemanticFPN: 128}[kind]
        decoder = make(kind)
        assert decoder.width == width
        assert decoder(make_levels(kind)).shape[1] == width

    def test_every_level_and_every_parameter_takes_part(self, kind: Decoder) -> None:
        torch.manual_seed(0)
        decoder, levels = make(kind, width=16), [level.requires_grad_() for level in make_levels(kind)]
        decoder(levels).square().mul(
            noise(1, 16, 96 // getattr(decoder, "stride", 4) * 2 // 3, 96 // getattr(decoder, "stride", 4))
        ).sum().backward()
        assert all(level.grad is not None and level.grad.abs().max() > 1e-6 for level in levels)
        silent = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.any()]
        assert silent == []

    def test_features_are_signed(self, kind: Decoder) -> None:
        features = make(kind, width=16)(make_levels(kind))
        assert features.min() < -0.1
        assert features.max() > 0.1

    def test_dropout_drops_whole_channels_in_training_only(self, kind: Decoder) -> None:
        torch.manual_seed(0)
        decoder = make(kind, width=16, dropout=0.5)
        energy = decoder(make_levels(kind)).abs().amax(dim=(2, 3))
        assert 0 < (energy == 0).sum() < energy.numel()
        decoder.eval()
        assert (decoder(make_levels(kind)).abs().amax(dim=(2, 3)) > 0).all()

    def test_a_missing_level_is_an_error(self, kind: Decoder) -> None:
        with pytest.raises(ValueError, match="zip"):
            make(kind, width=16)(make_levels(kind)[:3])


def test_light_decoder_spends_little_at_stride_four() -> None:
    """One projection, one depthwise and one pointwise convolution: the multiplications per pixel, counted."""
    decoder, width, counted = make(LightDecoder, width=16).eval(), 16, []

    def count(module: torch.nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        if output.shape[-2:] == (16, 24):
            counted.append(module.weight.numel())  # type: ignore[union-attr, operator]

    for module in decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    decoder(make_levels(LightDecoder))
    assert sum(counted) == CHANNELS[4] * width + 9 * width + width * width


def test_the_finest_level_reaches_single_cells_of_the_fine_decoder() -> None:
    """A change of one cell at stride 2 changes 3x3 cells of the output."""
    decoder, levels = make(FineDecoder).eval(), make_levels(FineDecoder, 1)
    before = decoder(levels)
    levels[0][0, :, 10, 20] += 9
    moved = ((decoder(levels) - before).abs().amax(dim=1)[0] > 0).nonzero()
    assert (moved.amin(0).tolist(), moved.amax(0).tolist()) == ([9, 19], [11, 21])
