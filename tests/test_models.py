"""What every method must keep: one contract test, inherited by each.

A new method joins by a class with its name and its variants: `GuidedContract` if class embeddings guide it, else
`ModelContract`.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import METHODS
from bridgeseg.models.build import build
from bridgeseg.models.check import check_model
from bridgeseg.models.decoders.fpn import SemanticFPN
from bridgeseg.models.decoders.light import LightDecoder
from bridgeseg.models.guidance.bridge import BridgeConfig
from bridgeseg.models.heads.linear import LinearHead
from bridgeseg.models.segmentor import STRIDE, Segmentor, to_size
from bridgeseg.settings.model import ModelConfig
from tiny_networks import BACKBONE, TEXT_DIM, embeddings, make_network, noise

CLASSES = 5
Variant = Mapping[str, Any]
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
sizes = st.integers(1, 80)


@functools.cache
def shared(variant: str, seed: int = 0) -> Segmentor:
    """A settled network in evaluation mode; tests that change it copy it first."""
    return make_network(ModelConfig.model_validate_json(variant), CLASSES, seed)


class ModelContract:
    """True of every method.

    Class attributes:
        method: a name of `METHODS`.
        variants: name -> further settings of `ModelConfig`, each tested.
        works_at_text_width: whether inference needs the embeddings as wide as the text encoder gave them.
        fixed_classes: whether weights belong to the number of classes they were made for.
    """

    method: ClassVar[str]
    variants: ClassVar[Mapping[str, Variant]]
    works_at_text_width: ClassVar[bool] = False
    fixed_classes: ClassVar[bool] = False

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "variant" in metafunc.fixturenames:
            values = [
                ModelConfig(method=self.method, backbone=BACKBONE, width=16, **further).model_dump_json()
                for further in self.variants.values()
            ]
            metafunc.parametrize("variant", values, ids=list(self.variants))

    def test_the_default_configuration_builds(self) -> None:
        network = build(ModelConfig(method=self.method, backbone=BACKBONE), CLASSES, embeddings(CLASSES))
        assert network.eval().logits(noise(1, 3, 32, 32)).shape == (1, CLASSES, 32, 32)

    def test_forward_gives_logits_at_stride_four(self, variant: str) -> None:
        with torch.no_grad():
            out = shared(variant)(noise(2, 3, 64, 96))
        assert out.logits.shape == (2, CLASSES, 16, 24)
        # alive: classes differ, pixels differ, images differ
        assert all(out.logits.std(dim=dim).mean() > 0.01 for dim in (0, 1, 3))

    @few
    @given(height=sizes, width=sizes)
    @example(height=1, width=1)
    @example(height=1, width=65)
    def test_any_size_gives_logits_of_that_size(self, variant: str, height: int, width: int) -> None:
        images = noise(1, 3, height, width)
        with torch.no_grad():
            logits = shared(variant).logits(images)
            padded = shared(variant).logits(F.pad(images, (0, -width % 32, 0, -height % 32)))
        assert logits.shape == (1, CLASSES, height, width)
        assert logits.isfinite().all()
        torch.testing.assert_close(logits, padded[..., :height, :width])

    def test_gradients_reach_every_parameter(self, variant: str) -> None:
        # in evaluation mode, because batch norms that take the mean off leave every bias right before them silent
        network, images = copy.deepcopy(shared(variant)), noise(2, 3, 64, 64)
        masks = torch.arange(64 * 64).view(1, 64, 64).expand(2, -1, -1) // 100 % CLASSES
        out = network(images)
        loss = F.cross_entropy(to_size(out.logits, STRIDE, images), masks)
        if out.score_map is not None:
            stride = images.shape[-1] // out.score_map.shape[-1]
            loss = loss + 0.4 * F.cross_entropy(to_size(out.score_map, stride, images), masks)
        loss.backward()
        self.check_all_speak(network)

    def check_all_speak(self, network: Segmentor) -> None:
        gradients = {key: value.grad for key, value in network.named_parameters()}
        assert all(value is not None and value.isfinite().all() for value in gradients.values())
        assert [key for key, value in gradients.items() if value is not None and value.abs().max() < 1e-8] == []

    def test_an_image_does_not_see_the_other_images_of_its_batch(self, variant: str) -> None:
        network, images = shared(variant), noise(3, 3, 40, 56)
        with torch.no_grad():
            together, alone = network.logits(images), network.logits(images[1:2])
        torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4)

    def test_a_seed_fixes_weights_and_dropout(self, variant: str) -> None:
        config, results = ModelConfig.model_validate_json(variant), []
        for _ in range(2):
            torch.manual_seed(3)
            network = build(config, CLASSES, embeddings(CLASSES))
            with torch.no_grad():
                results.append(network(noise(2, 3, 64, 64)).logits)
        assert torch.equal(*results)
        with torch.no_grad():
            assert not torch.equal(results[1], network(noise(2, 3, 64, 64)).logits), "dropout draws no numbers"
            network.eval()
            assert torch.equal(network.logits(noise(1, 3, 33, 47)), network.logits(noise(1, 3, 33, 47)))

    def test_state_dict_holds_all_there_is(self, variant: str) -> None:
        network, images = shared(variant), noise(1, 3, 40, 56)
        blank = None if network.class_embeddings is None else torch.zeros(CLASSES, TEXT_DIM)
        other = build(ModelConfig.model_validate_json(variant), CLASSES, blank).eval()
        other.load_state_dict(network.state_dict())
        with torch.no_grad():
            assert torch.equal(other.logits(images), network.logits(images))

    def test_channels_last_gives_the_same(self, variant: str) -> None:
        network, images = shared(variant), noise(2, 3, 40, 56)
        with torch.no_grad():
            expected = network.logits(images)
            last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            found = last.logits(images.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_bfloat16_autocast_stays_near_float32(self, variant: str) -> None:
        network, images = shared(variant), noise(2, 3, 64, 64)
        with torch.no_grad():
            expected = network.logits(images)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = network.logits(images)
        error = (found.float() - expected).abs() / (expected.max() - expected.min())
        # of the range of the logits; bfloat16 has 8 bits, and a dozen layers add up
        assert 0 < error.mean() < 0.015
        assert error.max() < 0.1

    def test_fold_keeps_the_logits_and_only_what_they_need(self, variant: str) -> None:
        network, images = shared(variant), noise(2, 3, 41, 64)
        folded = copy.deepcopy(network).fold()
        expected, found = network.logits(images), folded.logits(images)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert folded(images).score_map is None
        found.square().sum().backward()
        self.check_all_speak(folded)
        if not self.works_at_text_width:
            sizes = {size for value in folded.state_dict().values() for size in value.shape}
            assert TEXT_DIM not in sizes, "something of the width of the text is left"

    def test_folding_twice_is_folding_once(self, variant: str) -> None:
        images, folded = noise(1, 3, 32, 32), copy.deepcopy(shared(variant)).fold()
        once, keys = folded.logits(images), list(folded.state_dict())
        assert torch.equal(folded.fold().logits(images), once)
        assert list(folded.state_dict()) == keys


class GuidedContract(ModelContract):
    """True of every method that class embeddings guide.

    Class attributes:
        has_score_map: whether it trains an auxiliary score map.
    """

    has_score_map: ClassVar[bool] = True

    def outputs(self, variant: str, vectors: Tensor, images: Tensor) -> tuple[Tensor, Tensor | None]:
        network = copy.copy(shared(variant))
        network._buffers = {**network._buffers, "class_embeddings": vectors}
        with torch.no_grad():
            out = network(images)
        assert (out.score_map is not None) == self.has_score_map
        return out.logits, out.score_map

    def pixel_text(self, variant: str) -> bool:
        config = ModelConfig.model_validate_json(variant)
        return config.head in ("pixel-text", "text") or (config.head == "auto" and config.method in ("lseg", "bridge"))

    @few
    @given(order=st.permutations(range(CLASSES)), seed=st.integers(0, 99))
    def test_permuted_classes_permute_logits_and_score_map(self, variant: str, order: list[int], seed: int) -> None:
        vectors, images = embeddings(CLASSES, seed=seed), noise(1, 3, 64, 64, seed=seed)
        logits, score_map = self.outputs(variant, vectors, images)
        permuted_logits, permuted_map = self.outputs(variant, vectors[order], images)
        # cosines over a temperature of 0.07: 1e-5 of the range of the logits
        if score_map is not None and permuted_map is not None:
            torch.testing.assert_close(permuted_map, score_map[:, order], rtol=0, atol=1e-5 / 0.07)
        if self.fixed_classes:
            return  # its decoder reads the score map, channel by channel
        # the classes of a linear head are its own, so the order of the embeddings leaves it as it is
        expected = logits[:, order] if self.pixel_text(variant) else logits
        torch.testing.assert_close(permuted_logits, expected, rtol=0, atol=1e-5 / 0.07)

    @few
    @given(classes=st.integers(1, 300))
    @example(classes=300)
    @pytest.mark.slow
    def test_any_number_of_classes(self, variant: str, classes: int) -> None:
        if self.fixed_classes:
            network = build(ModelConfig.model_validate_json(variant), classes, embeddings(classes)).eval()
            with torch.no_grad():
                out = network(noise(1, 3, 32, 32))
            logits, score_map = out.logits, out.score_map
        else:
            logits, score_map = self.outputs(variant, embeddings(classes), noise(1, 3, 32, 32))
        assert logits.shape[1] == (classes if self.pixel_text(variant) or self.fixed_classes else CLASSES)
        assert logits.isfinite().all()
        if score_map is not None:
            assert score_map.shape[1] == classes
            assert score_map.isfinite().all()

    @pytest.mark.slow
    def test_weights_of_eleven_classes_load_into_a_network_of_three_hundred(self, variant: str) -> None:
        config = ModelConfig.model_validate_json(variant)
        eleven, many = (build(config, count, embeddings(count)) for count in (11, 300))
        own = {key for key, value in eleven.state_dict().items() if value.shape != many.state_dict()[key].shape}
        linear = set() if self.pixel_text(variant) else {"head.conv.weight", "head.conv.bias"}
        # a score map among the features fixes the number of classes in the first layer that reads it
        read = {key for key in own if key.startswith("decoder.lateral.")} if self.fixed_classes else set()
        assert len(read) == self.fixed_classes
        assert own == {"class_embeddings"} | linear | read
        weights = {key: value for key, value in eleven.state_dict().items() if key not in own}
        assert set(many.load_state_dict(weights, strict=False).missing_keys) == own

    def test_score_map_is_bounded_by_its_temperature(self, variant: str) -> None:
        _, score_map = self.outputs(variant, embeddings(CLASSES), noise(2, 3, 64, 96))
        if score_map is None:
            return
        assert 0.1 / 0.07 < score_map.abs().max() <= 1.00001 / 0.07
        height, width = score_map.shape[-2:]
        assert (64 / height) == (96 / width)

    def test_language_matters(self, variant: str) -> None:
        images = noise(1, 3, 64, 64)
        logits, score_map = self.outputs(variant, embeddings(CLASSES), images)
        other_logits, other_map = self.outputs(variant, embeddings(CLASSES, seed=9), images)
        assert (other_logits - logits).abs().max() > 0.01
        if score_map is not None and other_map is not None:
            assert (other_map - score_map).abs().max() > 0.01

    @pytest.mark.parametrize(("count", "found"), [(None, "found None"), (CLASSES - 1, f"found {CLASSES - 1}")])
    def test_wrong_class_embeddings_are_refused(self, count: int | None, found: str) -> None:
        config = ModelConfig(method=self.method, backbone=BACKBONE)
        with pytest.raises(ConfigError, match=f"{CLASSES} classes, {found}"):
            build(config, CLASSES, None if count is None else embeddings(count))


class TestNone(ModelContract):
    method = "none"
    variants: ClassVar = {"light": {}, "fpn": {"decoder": "fpn"}}

    def test_class_embeddings_are_not_kept(self) -> None:
        network = build(ModelConfig(method="none", backbone=BACKBONE), CLASSES, embeddings(CLASSES))
        assert network.class_embeddings is None
        assert network.guidance is None

    def test_a_pixel_text_head_needs_language(self) -> None:
        with pytest.raises(ConfigError, match="needs language"):
            build(ModelConfig(method="none", backbone=BACKBONE, head="pixel-text"), CLASSES)


SMALL = {"dim": 16, "heads": 2, "depth": 2}


class TestBridge(GuidedContract):
    method = "bridge"
    variants: ClassVar = {
        "light-pixel-text-16": {"bridge": {**SMALL, "stride": 16}},
        "light-linear-32": {"head": "linear", "bridge": {**SMALL, "stride": 32}},
        "wide-text-16": {"head": "text", "decoder": "wide", "bridge": {**SMALL, "stride": 16}},
        "fpn-linear-16": {"decoder": "fpn", "head": "linear", "bridge": {**SMALL, "stride": 16}},
        "fpn-pixel-text-32": {"decoder": "fpn", "head": "pixel-text", "bridge": {**SMALL, "stride": 32}},
    }

    def test_sits_at_its_stride(self, variant: str) -> None:
        stride = ModelConfig.model_validate_json(variant).groups["bridge"]["stride"]
        _, score_map = self.outputs(variant, embeddings(CLASSES), noise(1, 3, 64, 96))
        assert score_map is not None
        assert score_map.shape == (1, CLASSES, 64 // stride, 96 // stride)

    def test_fold_drops_what_only_the_text_and_the_training_need(self, variant: str) -> None:
        network = shared(variant)
        folded = copy.deepcopy(network).fold()
        gone = {".".join(key.split(".")[:2]) for key in set(network.state_dict()) - set(folded.state_dict())}
        looks = "pixel-text" in variant or '"auto"' in variant
        of_head = {"head.rows", "head.bias"} if '"text"' in variant else set()
        last_look = set() if looks else {"guidance.last_look"}
        assert gone == {"guidance.token_in", "guidance.log_scale"} | last_look | of_head
        assert folded.class_embeddings is not None
        assert folded.class_embeddings.shape == (CLASSES, SMALL["dim"])

    def test_a_width_that_the_heads_do_not_divide_is_refused(self) -> None:
        config = ModelConfig(backbone=BACKBONE, bridge=BridgeConfig(dim=30, heads=4))
        with pytest.raises(ConfigError, match="use dim 28"):
            build(config, CLASSES, embeddings(CLASSES))


class TestLSeg(GuidedContract):
    method = "lseg"
    has_score_map = False
    variants: ClassVar = {
        "light": {},
        "fpn": {"decoder": "fpn"},
        "depthwise-blocks": {"lseg": {"blocks": 2, "kind": "depthwise"}},
        "bottleneck-block": {"lseg": {"blocks": 1, "kind": "bottleneck"}},
    }

    def test_another_head_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="leave the head at `auto`"):
            build(ModelConfig(method="lseg", backbone=BACKBONE, head="linear"), CLASSES, embeddings(CLASSES))


class TestDenseCLIP(GuidedContract):
    method = "denseclip"
    works_at_text_width = True
    fixed_classes = True
    variants: ClassVar = {
        "light": {},
        "fpn": {"decoder": "fpn"},
        "pixel-text": {"head": "pixel-text"},
    }

    def test_the_score_map_joins_the_last_level_without_temperature(self, variant: str) -> None:
        network, images = shared(variant), noise(2, 3, 64, 96)
        seen: list[list[Tensor]] = []
        hook = network.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            score_map = network(images).score_map
        hook.remove()
        assert score_map is not None
        torch.testing.assert_close(seen[0][3][:, -CLASSES:], score_map * 0.07)


def test_every_method_has_its_contract_test() -> None:
    tested = {value.method for name, value in globals().items() if name.startswith("Test")}
    assert tested == set(METHODS.names())


def test_normalise_takes_raw_pixels_to_what_the_backbone_expects() -> None:
    network = shared(ModelConfig(method="none", backbone=BACKBONE, width=16).model_dump_json())
    mean, std = torch.tensor(network.backbone.mean), torch.tensor(network.backbone.std)
    raw = torch.stack([torch.zeros(3), torch.full((3,), 255.0), (mean * 255).round()])[..., None, None].byte()
    found = network.normalise(raw)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, :, 0, 0], -mean / std)
    torch.testing.assert_close(found[1, :, 0, 0], (1 - mean) / std)
    assert found[2].abs().max() < 0.01


@pytest.mark.parametrize(("decoder", "kind"), [("light", LightDecoder), ("fpn", SemanticFPN)])
def test_settings_reach_the_decoder(decoder: str, kind: type) -> None:
    config = ModelConfig(method="none", backbone=BACKBONE, decoder=decoder, width=24, dropout=0.3)
    network = build(config, CLASSES)
    assert type(network.decoder) is kind
    assert (network.decoder.width, network.decoder.dropout.p) == (24, 0.3)
    assert type(network.head) is LinearHead


def test_to_size_upsamples_and_cuts_the_padding_off() -> None:
    logits = torch.arange(8.0).view(1, 1, 2, 4)
    full = to_size(logits, 4, torch.zeros(1, 3, 7, 13))
    expected = F.interpolate(logits, size=(8, 16), mode="bilinear", align_corners=False)
    assert torch.equal(full, expected[..., :7, :13])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "brigde"}, "did you mean 'bridge'"),
        ({"decoder": "lite"}, "did you mean 'light'"),
        ({"backbone": "efficientnet_lite_0"}, "did you mean 'efficientnet_lite0'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(ModelConfig(**{"method": "bridge", "backbone": BACKBONE, **wrong}), CLASSES, embeddings(CLASSES))


@pytest.mark.parametrize("wrong", [{"widht": 64}, {"dropout": 1.0}, {"brigde": {"stride": 8}}])
def test_unknown_keys_and_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ModelConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head": "cosine"}, "no head 'cosine'; allowed: linear, pixel-text"),
        ({"bridge": {"stride": 8}}, "model.bridge.stride must be 16 or 32, found 8"),
        ({"bridge": {"dpeth": 1}}, "unknown key 'model.bridge.dpeth'; did you mean 'depth'"),
        ({"lseg": {"depth": 1}}, "unknown key 'model.lseg.depth'"),
        ({"bridge": 3}, "model.bridge is a group of settings, such as model.bridge.dim, found 3"),
    ],
)
def test_settings_of_a_method_are_checked_by_its_own_class(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_model(ModelConfig(**wrong))


def test_settings_of_the_method_are_completed_and_those_of_others_left_out() -> None:
    config = check_model(ModelConfig(method="bridge", bridge=BridgeConfig(dim=32), lseg={"blocks": 1}))
    assert config.groups == {"bridge": {"dim": 32, "depth": 1, "heads": 4, "expand": 2, "stride": 16}}
    assert check_model(config) == config
    assert check_model(ModelConfig(method="none", bridge={"dim": 32})).groups == {}


def test_a_head_of_names_alone_needs_tokens_that_have_not_looked() -> None:
    config = ModelConfig(method="denseclip", backbone=BACKBONE, head="text")
    with pytest.raises(ConfigError, match="that have not looked at an image") as caught:
        build(config, CLASSES, embeddings(CLASSES))
    assert caught.value.fix == "`model.head=pixel-text`"
    assert build(config.model_copy(update={"head": "pixel-text"}), CLASSES, embeddings(CLASSES)).stride == STRIDE
