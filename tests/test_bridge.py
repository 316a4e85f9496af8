"""The two-way bridge by itself: formulas, symmetry, gradients, folding."""

from __future__ import annotations

import functools
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.models.base import Guided
from bridgeseg.models.guidance.bridge import (
    PixelsToTokens,
    TokensToPixels,
    TokenTransformer,
    TwoWayBridge,
)
from tiny_networks import embeddings, noise, settle

DIM, HEADS, TEXT_DIM = 16, 4, 10
CHANNELS = [6, 9]
TAU = 0.07
"""The temperature at the start; times this, a score map is a cosine."""


def make_levels(batch: int = 2, seed: int = 0) -> list[Tensor]:
    return [noise(batch, CHANNELS[0], 6, 8, seed=seed), noise(batch, CHANNELS[1], 3, 4, seed=seed + 1)]


@functools.cache
def bridge() -> TwoWayBridge:
    """A settled bridge, shared: tests that change it copy it first."""
    torch.manual_seed(0)
    module = TwoWayBridge(CHANNELS, TEXT_DIM, DIM, depth=2, heads=HEADS)
    settle(module, [noise(1), noise(1), *make_levels(8)], embeddings(7, TEXT_DIM))
    return module


class Output(NamedTuple):
    pixels: Tensor
    tokens: Tensor
    score_map: Tensor


def unpack(guided: Guided, dim: int = DIM) -> Output:
    """What came of the two levels: the channels that joined the finer one, the tokens, the score map."""
    return Output(guided.features[2][:, -dim:], guided.tokens, guided.score_map)


def call(module: TwoWayBridge, levels: list[Tensor], vectors: Tensor) -> Output:
    """Run a bridge on the two coarse levels; it takes no notice of the fine ones."""
    return unpack(module([noise(1), noise(1), *levels], vectors))


def run(levels: list[Tensor], vectors: Tensor) -> Output:
    with torch.no_grad():
        return call(bridge(), levels, vectors)


def split_heads(tokens: Tensor) -> Tensor:
    """(B, N, d) -> (B, heads, N, d / heads)."""
    return tokens.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class TestFormulas:
    """Every step against PyTorch's own attention, in float64."""

    def test_pixels_to_tokens_is_attention_of_tokens_over_unprojected_pixels(self) -> None:
        step = PixelsToTokens(DIM, HEADS).double()
        tokens, pixels = noise(2, 5, DIM).double(), noise(2, DIM, 3, 4, seed=1).double()
        memory = split_heads(pixels.flatten(2).transpose(1, 2))
        seen = F.scaled_dot_product_attention(split_heads(step.query(tokens)), memory, memory)
        expected = step.norm(tokens + step.out(seen.transpose(1, 2).flatten(2)))
        torch.testing.assert_close(step(tokens, pixels), expected)

    def test_tokens_to_pixels_is_attention_of_unprojected_pixels_over_tokens(self) -> None:
        step = TokensToPixels(DIM, HEADS).double()
        tokens, pixels = noise(2, 5, DIM).double(), noise(2, DIM, 3, 4, seed=1).double()
        flat = pixels.flatten(2).transpose(1, 2)
        read = F.scaled_dot_product_attention(
            split_heads(flat), split_heads(step.key(tokens)), split_heads(step.value(tokens))
        )
        expected = flat + read.transpose(1, 2).flatten(2)
        torch.testing.assert_close(step(pixels, tokens), expected.transpose(1, 2).unflatten(2, (3, 4)))

    def test_transformer_is_a_post_norm_encoder_layer_of_ratio_two(self) -> None:
        step = TokenTransformer(DIM, HEADS).double()
        reference = nn.TransformerEncoderLayer(DIM, HEADS, 2 * DIM, dropout=0.0, activation="gelu", batch_first=True)
        reference.load_state_dict(
            {
                "self_attn.in_proj_weight": step.qkv.weight,
                "self_attn.in_proj_bias": step.qkv.bias,
                **{f"self_attn.out_proj.{key}": value for key, value in step.out.state_dict().items()},
                **{f"norm1.{key}": value for key, value in step.norm.state_dict().items()},
                **{f"linear1.{key}": value for key, value in step.ffn[0].state_dict().items()},
                **{f"linear2.{key}": value for key, value in step.ffn[2].state_dict().items()},
                **{f"norm2.{key}": value for key, value in step.ffn_norm.state_dict().items()},
            }
        )
        tokens = noise(2, 5, DIM).double()
        torch.testing.assert_close(step(tokens), reference.double()(tokens))

    def test_score_map_is_the_cosine_of_pixels_and_tokens_over_the_temperature(self) -> None:
        out = run(make_levels(), embeddings(7, TEXT_DIM))
        cosine = F.cosine_similarity(out.pixels[:, None], out.tokens[..., None, None], dim=2)
        torch.testing.assert_close(out.score_map, cosine / TAU, rtol=1e-4, atol=1e-4)

    def test_what_all_classes_have_in_common_is_not_seen(self) -> None:
        vectors = embeddings(7, TEXT_DIM)
        shifted = run(make_levels(), vectors + 3 * embeddings(1, TEXT_DIM, seed=4))
        torch.testing.assert_close(shifted.tokens, run(make_levels(), vectors).tokens, rtol=1e-4, atol=1e-4)

    def test_the_level_it_sits_on_is_kept_and_widened(self) -> None:
        levels = [noise(2, 3, 24, 32), noise(2, 5, 12, 16), *make_levels()]
        with torch.no_grad():
            out = bridge()(levels, embeddings(7, TEXT_DIM)).features
        assert [level.shape[1] for level in out] == [3, 5, CHANNELS[0] + DIM, CHANNELS[1]]
        assert all(torch.equal(new[:, : old.shape[1]], old) for new, old in zip(out, levels, strict=True))

    def test_coarse_levels_are_upsampled_and_added(self) -> None:
        fine, coarse = make_levels()
        entry = bridge().pixel_in
        expected = entry[0](fine) + entry[1](coarse).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        seen: list[Tensor] = []
        hook = bridge().blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        run([fine, coarse], embeddings(7, TEXT_DIM))
        hook.remove()
        torch.testing.assert_close(seen[0], expected)


class TestSymmetry:
    @settings(max_examples=25, deadline=None)
    @given(order=st.integers(1, 12).flatmap(lambda count: st.permutations(range(count))), seed=st.integers(0, 99))
    def test_permuted_classes_permute_tokens_and_score_map_and_nothing_else(self, order: list[int], seed: int) -> None:
        vectors, levels = embeddings(len(order), TEXT_DIM, seed), make_levels(seed=seed)
        straight, permuted = run(levels, vectors), run(levels, vectors[order])
        torch.testing.assert_close(permuted.pixels, straight.pixels, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(permuted.tokens, straight.tokens[:, order], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(permuted.score_map * TAU, straight.score_map[:, order] * TAU, rtol=0, atol=1e-5)

    @settings(max_examples=20, deadline=None)
    @given(classes=st.integers(1, 300), height=st.integers(1, 9), width=st.integers(1, 9))
    def test_any_number_of_classes_and_any_size(self, classes: int, height: int, width: int) -> None:
        levels = [noise(1, CHANNELS[0], 2 * height, 2 * width), noise(1, CHANNELS[1], height, width, seed=1)]
        out = run(levels, embeddings(classes, TEXT_DIM))
        assert out.pixels.shape == (1, DIM, 2 * height, 2 * width)
        assert out.tokens.shape == (1, classes, DIM)
        assert out.score_map.shape == (1, classes, 2 * height, 2 * width)
        assert out.score_map.isfinite().all()

    def test_no_parameter_knows_the_number_of_classes(self) -> None:
        other = TwoWayBridge(CHANNELS, TEXT_DIM, DIM, depth=2, heads=HEADS)
        assert other.load_state_dict(bridge().state_dict()) == ([], [])

    def test_an_image_does_not_see_the_other_images_of_its_batch(self) -> None:
        levels, vectors = make_levels(3), embeddings(7, TEXT_DIM)
        together = run(levels, vectors)
        alone = run([level[1:2] for level in levels], vectors)
        torch.testing.assert_close(alone.tokens, together.tokens[1:2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.score_map * TAU, together.score_map[1:2] * TAU, rtol=0, atol=1e-5)

    def test_both_ways_are_open(self) -> None:
        levels, vectors = make_levels(), embeddings(7, TEXT_DIM)
        before = run(levels, vectors)
        other_names = run(levels, embeddings(7, TEXT_DIM, seed=5))
        other_image = run(make_levels(seed=5), vectors)
        assert (other_names.pixels - before.pixels).abs().max() > 0.01, "text does not reach the pixels"
        assert (other_image.tokens - before.tokens).abs().max() > 0.01, "the image does not reach the tokens"

    @settings(max_examples=20, deadline=None)
    @given(log_scale=st.floats(-3.0, 9.0))
    def test_score_map_is_bounded_by_the_temperature_and_by_a_hundred(self, log_scale: float) -> None:
        parameter = bridge().log_scale
        kept = parameter.detach().clone()
        try:
            parameter.data.fill_(log_scale)
            largest = run(make_levels(), embeddings(7, TEXT_DIM)).score_map.abs().max()
        finally:
            parameter.data.copy_(kept)
        bound = min(float(torch.tensor(log_scale).exp()), 100.0)
        assert 0.1 * bound < largest <= bound * (1 + 1e-5)


class TestGradients:
    def test_they_reach_every_parameter(self) -> None:
        torch.manual_seed(1)
        module = TwoWayBridge(CHANNELS, TEXT_DIM, DIM, depth=2, heads=HEADS)
        out = call(module, make_levels(), embeddings(7, TEXT_DIM))
        labels = torch.arange(out.score_map[:, 0].numel()).view_as(out.score_map[:, 0]) % 7
        (F.cross_entropy(out.score_map, labels) + out.pixels.square().mean()).backward()
        silent = [
            key for key, value in module.named_parameters() if value.grad is None or value.grad.abs().max() < 1e-7
        ]
        assert silent == []

    @pytest.mark.parametrize("training", [True, False])
    def test_they_are_right(self, training: bool) -> None:
        torch.manual_seed(0)
        module = TwoWayBridge([2, 3], 3, dim=4, depth=1, heads=2, expand=1).double().train(training)
        for parameter in module.parameters():
            # off the kinks: fresh norms do not shift, so where all channels are off, the next ReLU sits at zero
            parameter.data += 0.1 * noise(*parameter.shape, seed=parameter.numel())
        names = [name for name, _ in module.named_parameters()]
        inputs = [noise(2, 2, 2, 4), noise(2, 3, 1, 2, seed=1), noise(3, 3, seed=2), *module.parameters()]
        leaves = [value.detach().double().requires_grad_() for value in inputs]

        def forward(fine: Tensor, coarse: Tensor, vectors: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
            state = dict(zip(names, parameters, strict=True))
            return unpack(torch.func.functional_call(module, state, ([noise(1), noise(1), fine, coarse], vectors)), 4)

        assert torch.autograd.gradcheck(forward, leaves, atol=1e-6, rtol=1e-4, fast_mode=True)


class TestFold:
    def folded(self, keep_tokens: bool) -> tuple[TwoWayBridge, Tensor]:
        module = TwoWayBridge(CHANNELS, TEXT_DIM, DIM, depth=2, heads=HEADS)
        module.load_state_dict(bridge().state_dict())
        return module.eval(), module.fold(embeddings(7, TEXT_DIM), keep_tokens)

    @pytest.mark.parametrize("keep_tokens", [True, False])
    def test_pixels_and_tokens_stay_and_the_text_side_goes(self, keep_tokens: bool) -> None:
        module, tokens = self.folded(keep_tokens)
        assert tokens.shape == (7, DIM)
        out, before = call(module, make_levels(), tokens), run(make_levels(), embeddings(7, TEXT_DIM))
        torch.testing.assert_close(out.pixels, before.pixels, rtol=1e-5, atol=1e-5)
        if keep_tokens:
            torch.testing.assert_close(out.tokens, before.tokens, rtol=1e-5, atol=1e-5)
        assert out.score_map is None
        gone = {key.split(".")[0] for key in set(bridge().state_dict()) - set(module.state_dict())}
        assert gone == {"token_in", "log_scale"} | (set() if keep_tokens else {"last_look"})

    def test_twice_is_once(self) -> None:
        module, tokens = self.folded(keep_tokens=True)
        assert torch.equal(module.fold(tokens), tokens)


@pytest.mark.parametrize(("dim", "heads", "advice"), [(30, 4, "use dim 28"), (8, 16, "use dim 16")])
def test_a_width_that_the_heads_do_not_divide_is_refused_with_one_they_do(dim: int, heads: int, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        TwoWayBridge([4], 8, dim=dim, heads=heads)


def test_the_number_of_levels_fixes_the_site() -> None:
    assert TwoWayBridge([4], 8, 8).level == 3
    assert TwoWayBridge([4, 4], 8, 8).level == 2
