"""Heads: linear, and pixel-text by its formula."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bridgeseg.models.guidance.lseg import LSegHead
from bridgeseg.models.heads.linear import LinearHead
from bridgeseg.models.heads.pixel_text import PixelTextHead
from bridgeseg.models.heads.text import TextHead
from tiny_networks import embeddings, noise

WIDTH, TOKEN_DIM = 12, 20


def pixel_text(seed: int = 0, **options: object) -> PixelTextHead:
    torch.manual_seed(seed)
    return PixelTextHead(WIDTH, TOKEN_DIM, **options)  # type: ignore[arg-type]


class TestLinearHead:
    def test_is_one_product_per_pixel_and_ignores_tokens(self) -> None:
        head, pixels = LinearHead(WIDTH, 3), noise(2, WIDTH, 4, 5)
        expected = torch.einsum("kc,bchw->bkhw", head.conv.weight[..., 0, 0], pixels) + head.conv.bias[:, None, None]
        torch.testing.assert_close(head(pixels), expected)
        assert torch.equal(head(pixels), head(pixels, noise(2, 3, TOKEN_DIM)))


class TestTextHead:
    @pytest.fixture
    def head(self) -> TextHead:
        torch.manual_seed(0)
        return TextHead(WIDTH, TOKEN_DIM)

    def test_rows_and_biases_are_linear_in_the_tokens(self, head: TextHead) -> None:
        pixels, tokens = noise(2, WIDTH, 4, 5), noise(1, 3, TOKEN_DIM)
        rows, bias = head.rows(tokens[0]) / math.sqrt(WIDTH), head.bias(tokens[0])
        expected = torch.einsum("kc,bchw->bkhw", rows, pixels) + bias[:, :, None]
        torch.testing.assert_close(head(pixels, tokens), expected)

    def test_settled_it_gives_the_same_and_knows_no_text(self, head: TextHead) -> None:
        pixels, tokens = noise(2, WIDTH, 4, 5), noise(1, 7, TOKEN_DIM)
        expected = head(pixels, tokens)
        for _ in range(2):
            head.settle(tokens[0])
            torch.testing.assert_close(head(pixels, noise(1, 7, TOKEN_DIM)), expected)
        assert TOKEN_DIM not in {size for value in head.state_dict().values() for size in value.shape}


class TestPixelTextHead:
    @settings(max_examples=20, deadline=None)
    @given(
        classes=st.integers(1, 300), size=st.tuples(st.integers(1, 9), st.integers(1, 9)), scale=st.floats(0.01, 200)
    )
    def test_is_the_cosine_over_the_temperature(self, classes: int, size: tuple[int, int], scale: float) -> None:
        head, pixels, tokens = pixel_text(scale=scale), noise(2, WIDTH, *size), noise(2, classes, TOKEN_DIM)
        cosine = F.cosine_similarity(pixels[:, None], head.project(tokens)[..., None, None], dim=2)
        logits = head(pixels, tokens) / min(scale, 100.0)
        assert logits.shape == (2, classes, *size)
        torch.testing.assert_close(logits, cosine, rtol=0, atol=1e-6)

    @settings(max_examples=20, deadline=None)
    @given(order=st.integers(1, 50).flatmap(lambda count: st.permutations(range(count))))
    def test_permuted_tokens_permute_logits(self, order: list[int]) -> None:
        head, pixels, tokens = pixel_text(), noise(2, WIDTH, 4, 5), noise(2, len(order), TOKEN_DIM)
        torch.testing.assert_close(head(pixels, tokens[:, order]), head(pixels, tokens)[:, order], rtol=0, atol=1e-5)

    def test_length_of_a_pixel_does_not_matter(self) -> None:
        head, pixels, tokens = pixel_text(), noise(2, WIDTH, 4, 5), noise(2, 3, TOKEN_DIM)
        torch.testing.assert_close(head(pixels * 1000, tokens), head(pixels, tokens))

    def test_an_empty_pixel_gives_zeros_and_no_gradient_that_is_not_a_number(self) -> None:
        head, pixels, tokens = pixel_text(), noise(1, WIDTH, 2, 2), noise(1, 3, TOKEN_DIM)
        pixels[..., 0, 0] = 0
        pixels.requires_grad_()
        logits = head(pixels, tokens)
        assert (logits[..., 0, 0] == 0).all()
        assert (logits[..., 1, 1] != 0).all()
        logits.square().sum().backward()
        assert pixels.grad is not None
        assert pixels.grad.isfinite().all()

    def test_gradients_are_right(self) -> None:
        head = pixel_text().double()
        inputs = noise(1, WIDTH, 2, 2).double().requires_grad_(), noise(1, 3, TOKEN_DIM).double().requires_grad_()
        assert torch.autograd.gradcheck(head, inputs)

    def test_channels_last_gives_the_same(self) -> None:
        head, pixels, tokens = pixel_text(), noise(2, WIDTH, 4, 5), noise(2, 3, TOKEN_DIM)
        last = pixels.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(head(last, tokens), head(pixels, tokens), rtol=0, atol=1e-5)

    def test_temperature_starts_at_the_sources_and_is_trained(self) -> None:
        head = pixel_text()
        assert head.log_scale.item() == pytest.approx(math.log(1 / 0.07))
        head(noise(1, WIDTH, 2, 2), noise(1, 3, TOKEN_DIM)).square().sum().backward()
        assert head.log_scale.grad is not None
        assert list(head.state_dict()) == ["log_scale", "project.weight", "project.bias"]


class TestLSegHead:
    def head(self, seed: int = 0, **options: object) -> LSegHead:
        torch.manual_seed(seed)
        return LSegHead(WIDTH, TOKEN_DIM, **options).eval()  # type: ignore[arg-type]

    def test_is_the_cosine_with_the_text_over_a_fixed_temperature(self) -> None:
        head, pixels, text = self.head(), noise(2, WIDTH, 4, 5), embeddings(7, TOKEN_DIM)
        expected = F.cosine_similarity(head.project(pixels)[:, None], text[None, :, :, None, None], dim=2) / 0.07
        torch.testing.assert_close(head(pixels, text), expected, rtol=1e-4, atol=1e-4)
        assert {name for name, _ in head.named_parameters()} == {"project.weight", "project.bias"}

    @pytest.mark.parametrize(("width", "text_dim"), [(12, 20), (12, 13), (20, 12)])
    def test_fold_keeps_lengths_and_angles_in_fewer_dimensions(self, width: int, text_dim: int) -> None:
        torch.manual_seed(0)
        head, pixels, text = LSegHead(width, text_dim), noise(2, width, 4, 5), embeddings(7, text_dim)
        expected = head(pixels, text)
        folded = head.fold(text)
        assert folded.shape == (7, min(text_dim, width + 1))
        torch.testing.assert_close(head(pixels, folded), expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(head.fold(folded), folded)

    @pytest.mark.parametrize("blocks", [1, 2, 3])
    @pytest.mark.parametrize("kind", ["depthwise", "bottleneck"])
    def test_blocks_smooth_every_class_alike_and_the_last_has_no_activation(self, kind: str, blocks: int) -> None:
        head, pixels, text = self.head(blocks=blocks, kind=kind), noise(2, WIDTH, 4, 5), embeddings(7, TOKEN_DIM)
        expected = self.head()(pixels, text)
        assert head.regularise is not None
        for index in range(blocks):
            largest = expected.max(dim=1, keepdim=True).values
            expected = torch.cat([head.regularise(expected[:, k : k + 1]) for k in range(7)], dim=1)
            expected = expected + (largest if kind == "bottleneck" else 0)
            if index + 1 < blocks:
                expected = F.leaky_relu(expected)
        torch.testing.assert_close(head(pixels, text), expected, rtol=1e-4, atol=1e-4)
