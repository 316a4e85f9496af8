"""CLIP's image encoders as backbones: the same embeddings as open_clip's own, at any size, from any file of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.models.clip import CLIPBackbone, Visual
from tiny_networks import noise

open_clip = pytest.importorskip("open_clip")

TEXT = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
VIT = {"image_size": 64, "layers": 3, "width": 16, "head_width": 8, "patch_size": 16}
MODELS: dict[str, dict[str, Any]] = {
    "tiny-resnet": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 16},
    "tiny-vit": VIT,
    "tiny-vit-8": VIT | {"image_size": 32, "layers": 12, "patch_size": 8, "width": 8},
    "tiny-vit-32": VIT | {"patch_size": 32, "patch_dropout": 0.5},
    "tiny-vit-quickgelu": VIT | {"ls_init_value": 0.3, "no_ln_pre": True},
    "tiny-vit-custom": VIT | {"scale_attn": True, "scale_fc": True, "qk_norm": True},
    "tiny-vit-of-one": VIT | {"layers": 1},
    "tiny-vit-average": VIT | {"pool_type": "avg"},
}
USABLE = [name for name in MODELS if name != "tiny-vit-average"]
BOTH = ["tiny-resnet", "tiny-vit"]


class Tiny(NamedTuple):
    """A whole CLIP of open_clip, in evaluation mode, and the file of its weights."""

    model: Any
    file: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tiny]:
    folder, made = tmp_path_factory.mktemp("clip"), {}
    for name, vision in MODELS.items():
        config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": TEXT, "quick_gelu": name.endswith("quickgelu")}
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
        torch.manual_seed(0)
        model = open_clip.CLIP(**config).eval()
        with torch.no_grad():  # as initialised, residual branches are off and positions hardly tell
            for parameter in model.parameters():
                parameter.normal_(std=0.4) if parameter.ndim < 3 else parameter.normal_(std=0.2)
        made[name] = Tiny(model, folder / f"{name}.safetensors")
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, made[name].file)
    return made


def load(tiny: dict[str, Tiny], name: str) -> CLIPBackbone:
    torch.manual_seed(1)
    return CLIPBackbone(f"open_clip:{name}", str(tiny[name].file)).eval()


def native(tiny: dict[str, Tiny], name: str) -> Tensor:
    size = tiny[name].model.visual.image_size
    side = size if isinstance(size, int) else size[0]
    return noise(2, 3, side, side)


@torch.no_grad()
def features(backbone: CLIPBackbone, images: Tensor) -> tuple[list[Tensor], Visual]:
    return backbone.features(images)


class TestEmbedding:
    @pytest.mark.parametrize("name", USABLE)
    def test_the_pooled_embedding_is_that_of_open_clip(self, name: str, tiny: dict[str, Tiny]) -> None:
        images = native(tiny, name)
        with torch.no_grad():
            expected = tiny[name].model.encode_image(images)
        pooled = features(load(tiny, name), images)[1].pooled
        assert pooled.shape == (2, 1, 12)
        assert expected.std() > 0.05
        torch.testing.assert_close(pooled[:, 0], expected, atol=1e-5, rtol=1e-5)

    def test_dense_embeddings_of_a_resnet_are_its_pool_with_all_positions_as_queries(
        self, tiny: dict[str, Tiny]
    ) -> None:
        visual, images = tiny["tiny-resnet"].model.visual, native(tiny, "tiny-resnet")
        pool = visual.attnpool
        attention = nn.MultiheadAttention(pool.q_proj.in_features, pool.num_heads, batch_first=True).eval()
        projections = (pool.q_proj, pool.k_proj, pool.v_proj)
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
            attention.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
            attention.out_proj.weight.copy_(torch.eye(pool.q_proj.in_features))
            attention.out_proj.bias.zero_()
            maps = visual.forward_intermediates(images)["image_intermediates"][-1]
            mean = maps.mean(dim=(2, 3))[:, None]
            tokens = torch.cat([mean, maps.flatten(2).transpose(1, 2)], dim=1) + pool.positional_embedding
            expected = pool.c_proj(attention(tokens, tokens, tokens)[0])[:, 1:]
        dense = features(load(tiny, "tiny-resnet"), images)[1].dense
        torch.testing.assert_close(dense.permute(0, 2, 3, 1), expected.view(2, 2, 2, 12), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("size", [(32, 96), (160, 64)])
    def test_other_sizes_see_the_same_positions_resampled(self, size: tuple[int, int], tiny: dict[str, Tiny]) -> None:
        backbone, images = load(tiny, "tiny-vit"), noise(2, 3, *size)
        grid = [side // 16 for side in size]
        vision = VIT | {"image_size": size, "output_tokens": True}
        wider = open_clip.CLIP(12, vision, TEXT, output_dict=True).visual.eval()
        state = tiny["tiny-vit"].model.visual.state_dict()
        old = state["positional_embedding"]
        resampled = F.interpolate(old[1:].view(1, 4, 4, 16).permute(0, 3, 1, 2), size=grid, mode="bicubic")
        state["positional_embedding"] = torch.cat([old[:1], resampled.permute(0, 2, 3, 1).reshape(-1, 16)])
        wider.load_state_dict(state)
        with torch.no_grad():
            pooled, tokens = wider(images)
            expected = (tokens @ wider.proj).view(2, *grid, 12)
        found = features(backbone, images)[1]
        torch.testing.assert_close(found.pooled[:, 0], pooled, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.dense.permute(0, 2, 3, 1), expected, atol=1e-5, rtol=1e-5)

    def test_so_does_the_pool_of_a_resnet(self, tiny: dict[str, Tiny]) -> None:
        images = noise(2, 3, 96, 96)
        wider = open_clip.CLIP(12, MODELS["tiny-resnet"] | {"image_size": 96}, TEXT).visual.eval()
        state = tiny["tiny-resnet"].model.visual.state_dict()
        old = state["attnpool.positional_embedding"]
        resampled = F.interpolate(old[1:].view(1, 2, 2, -1).permute(0, 3, 1, 2), size=3, mode="bicubic")
        state["attnpool.positional_embedding"] = torch.cat([old[:1], resampled.permute(0, 2, 3, 1).reshape(9, -1)])
        wider.load_state_dict(state)
        with torch.no_grad():
            expected = wider(images)
        pooled = features(load(tiny, "tiny-resnet"), images)[1].pooled
        torch.testing.assert_close(pooled[:, 0], expected, atol=1e-5, rtol=1e-5)

    def test_a_transformer_with_the_batch_in_second_place_gives_the_same(self, tiny: dict[str, Tiny]) -> None:
        backbone, images = load(tiny, "tiny-vit"), noise(2, 3, 64, 32)
        levels, visual = features(backbone, images)
        old = backbone.body.tower.transformer
        new = open_clip.transformer.Transformer(16, 3, 2, batch_first=False).eval()
        new.load_state_dict(old.state_dict())
        backbone.body.tower.transformer = new
        for before, after in zip((*levels, *visual[:2]), (*features(backbone, images)[0], *visual[:2]), strict=True):
            torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


class TestLevels:
    @pytest.mark.parametrize(
        ("name", "channels", "level"),
        [
            ("tiny-resnet", [32, 64, 128, 256], 3),
            ("tiny-vit", [16] * 4, 2),
            ("tiny-vit-8", [8] * 4, 1),
            ("tiny-vit-32", [16] * 4, 3),
        ],
    )
    def test_four_levels_of_images_of_any_size(self, name: str, channels: list[int], level: int) -> None:
        backbone = CLIPBackbone(f"open_clip:{name}")
        assert backbone.training
        assert (backbone.channels, backbone.level, backbone.embed_dim) == (channels, level, 12)
        for height, width in ((32, 32), (64, 160)):
            levels, visual = features(backbone.eval(), noise(2, 3, height, width))
            strides = (4, 8, 16, 32)
            expected = [(2, c, height // s, width // s) for c, s in zip(channels, strides, strict=True)]
            assert [tuple(maps.shape) for maps in levels] == expected
            assert visual.level == level
            assert visual.dense.shape == (2, 12, height // strides[level], width // strides[level])
            assert all(maps.std() > 0 for maps in levels)

    def test_a_resnet_gives_its_stages(self, tiny: dict[str, Tiny]) -> None:
        images = noise(2, 3, 32, 96)
        with torch.no_grad():
            stages = tiny["tiny-resnet"].model.visual.forward_intermediates(images, intermediates_only=True)
            levels = load(tiny, "tiny-resnet")(images)
        for found, expected in zip(levels, stages["image_intermediates"][1:], strict=True):
            torch.testing.assert_close(found, expected)

    def test_a_transformer_gives_blocks_4_6_8_and_12_of_12_resampled(self, tiny: dict[str, Tiny]) -> None:
        images, backbone = native(tiny, "tiny-vit-8"), load(tiny, "tiny-vit-8")
        with torch.no_grad():
            maps = tiny["tiny-vit-8"].model.visual.forward_intermediates(images)["image_intermediates"]
            blocks = [F.group_norm(maps[depth], 1) for depth in (3, 5, 7, 11)]
            levels = backbone(images)
            up = backbone.body.pyramid[0][1]
            expected = [up(blocks[0]), blocks[1], F.max_pool2d(blocks[2], 2), F.max_pool2d(blocks[3], 4)]
        for found, wanted in zip(levels, expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

    def test_sixteen_pixels_become_four_by_two_transposed_convolutions(self) -> None:
        kinds = [[type(layer).__name__ for layer in level] for level in CLIPBackbone("open_clip:tiny-vit").body.pyramid]
        up = "ConvTranspose2d"
        assert kinds[0] == ["GroupNorm", up, "BatchNorm2d", "GELU", up]
        assert kinds[1:] == [["GroupNorm", up], ["GroupNorm"], ["GroupNorm", "MaxPool2d"]]

    @pytest.mark.parametrize("name", BOTH)
    def test_forward_gives_the_levels_of_features(self, name: str, tiny: dict[str, Tiny]) -> None:
        backbone, images = load(tiny, name), noise(1, 3, 32, 64)
        with torch.no_grad():
            assert all(torch.equal(*pair) for pair in zip(backbone(images), backbone.features(images)[0], strict=True))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["RN50", "ViT-B-16"])
    def test_the_networks_of_the_paper(self, name: str) -> None:
        backbone = CLIPBackbone(f"open_clip:{name}").eval()
        levels, visual = features(backbone, noise(1, 3, 64, 96))
        channels, dim, grid = ([256, 512, 1024, 2048], 1024, (2, 3)) if name == "RN50" else ([768] * 4, 512, (4, 6))
        assert [level.shape[1] for level in levels] == channels == backbone.channels
        assert visual.dense.shape == (1, dim, *grid)
        assert backbone.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
        assert backbone.std == pytest.approx((0.26862954, 0.26130258, 0.27577711))


class TestParameters:
    @pytest.mark.parametrize("name", BOTH)
    def test_only_the_image_encoder_and_the_pyramid_are_kept(self, name: str, tiny: dict[str, Tiny]) -> None:
        keys = {key for key in load(tiny, name).state_dict() if not key.startswith("body.pyramid.")}
        assert keys == {f"body.tower.{key}" for key in tiny[name].model.visual.state_dict()}

    @pytest.mark.parametrize("name", USABLE)
    def test_gradients_reach_every_parameter(self, name: str, tiny: dict[str, Tiny]) -> None:
        backbone = load(tiny, name).train()
        levels, visual = backbone.features(noise(2, 3, 64, 64))
        sum(maps.square().mean() for maps in (*levels, visual.pooled, visual.dense)).backward()
        assert [key for key, value in backbone.named_parameters() if value.grad is None] == []

    @pytest.mark.parametrize("name", USABLE)
    def test_without_the_pool_the_levels_reach_every_parameter(self, name: str, tiny: dict[str, Tiny]) -> None:
        backbone, images = load(tiny, name), noise(2, 3, 64, 64)
        with torch.no_grad():
            before = backbone(images)
        kept = len(backbone.state_dict())
        backbone.drop_pool()
        assert len(backbone.state_dict()) == kept - (9 if name == "tiny-resnet" else 3)
        levels = backbone(images)
        for old, new in zip(before, levels, strict=True):
            torch.testing.assert_close(old, new, atol=1e-5, rtol=1e-5)
        sum(maps.square().mean() for maps in levels).backward()
        assert [key for key, value in backbone.named_parameters() if value.grad is None] == []
        with pytest.raises(RuntimeError, match="drop_pool"):
            backbone.features(images)


class TestFiles:
    @pytest.mark.parametrize("name", BOTH)
    @pytest.mark.parametrize("prefix", ["", "visual.", "module.", "module.visual.", "all"])
    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    def test_the_whole_model_or_its_image_encoder(
        self, name: str, prefix: str, suffix: str, tiny: dict[str, Tiny], tmp_path: Path
    ) -> None:
        model, path = tiny[name].model, tmp_path / f"weights{suffix}"
        visual = {key: value.contiguous() for key, value in model.visual.state_dict().items()}
        state = dict(model.state_dict()) if prefix == "all" else {prefix + key: value for key, value in visual.items()}
        if suffix == ".pt":
            torch.save({"epoch": 3, "state_dict": state}, path)
        else:
            save_file(state, path)
        held = CLIPBackbone(f"open_clip:{name}", str(path)).state_dict()
        for key, value in visual.items():
            assert torch.equal(held[f"body.tower.{key}"], value), key

    def test_half_precision_is_read_into_float32(self, tiny: dict[str, Tiny], tmp_path: Path) -> None:
        state = {key: value.half().contiguous() for key, value in tiny["tiny-vit"].model.visual.state_dict().items()}
        save_file(state, tmp_path / "half.safetensors")
        held = CLIPBackbone("open_clip:tiny-vit", str(tmp_path / "half.safetensors")).state_dict()
        assert held["body.tower.proj"].dtype == torch.float32
        assert torch.equal(held["body.tower.proj"], state["proj"].float())

    @pytest.mark.parametrize(
        ("name", "other", "match"),
        [
            ("tiny-vit", "tiny-resnet", "are missing"),
            ("tiny-vit", "tiny-vit-32", r"0 of \d+ .* 2 have another shape, 0 are unknown \(first: positional"),
            ("tiny-vit", "tiny-vit-custom", r"0 of .* 0 have another shape, \d+ are unknown"),
        ],
    )
    def test_weights_of_another_model_are_refused(
        self, name: str, other: str, match: str, tiny: dict[str, Tiny]
    ) -> None:
        with pytest.raises(
            ModelFileError, match=rf"(?s){other}\.safetensors.* image encoder of {name}: .*{match}.*fix:"
        ):
            CLIPBackbone(f"open_clip:{name}", str(tiny[other].file))

    @pytest.mark.filterwarnings("ignore")
    def test_an_archive_with_code_is_refused(self, tmp_path: Path) -> None:
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "script.pt")
        with pytest.raises(ModelFileError, match=r"(?s)script\.pt: cannot be read as weights.*fix: "):
            CLIPBackbone("open_clip:tiny-vit", str(tmp_path / "script.pt"))

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"(?s)none\.pt: no such weights file for RN50.*fix: check the path"):
            CLIPBackbone("open_clip:RN50", str(tmp_path / "none.pt"))


class TestTags:
    def test_an_unknown_tag_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match=r"(?s)no weights called 'openia'; did you mean 'openai'.*weights file"):
            CLIPBackbone("open_clip:RN50", "openia")

    def test_a_model_without_tags_takes_files_only(self) -> None:
        with pytest.raises(ConfigError, match=r"(?s)'openai'; open_clip has none.*fix: give a weights file"):
            CLIPBackbone("open_clip:ViT-S-16", "openai")

    def test_weights_for_quick_gelu_need_a_network_with_it(self) -> None:
        with pytest.raises(ConfigError, match=r"(?s)QuickGELU.*fix: choose the backbone open_clip:ViT-B-16-quickgelu"):
            CLIPBackbone("open_clip:ViT-B-16", "openai")

    def test_out_of_reach_is_an_error_with_the_ways_out(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
        with pytest.raises(
            ModelFileError, match=r"(?s)'openai' are not on this machine.*`backbone_weights=FILE`.*none"
        ):
            CLIPBackbone("open_clip:RN50", "openai")  # a ResNet has no GELU

    def test_the_fetched_file_is_read(self, tiny: dict[str, Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", {"mine": {"file": tiny["tiny-vit"].file}})
        held = CLIPBackbone("open_clip:tiny-vit", "mine").state_dict()
        assert torch.equal(held["body.tower.proj"], tiny["tiny-vit"].model.visual.proj)


class TestNames:
    @pytest.mark.parametrize(("name", "nearest"), [("RN5O", "RN50"), ("ViT-B/16", "ViT-B-16")])
    def test_an_unknown_name_is_refused_with_the_nearest(self, name: str, nearest: str) -> None:
        with pytest.raises(ConfigError, match=f"no model '{name}'; did you mean '{nearest}'") as caught:
            CLIPBackbone(f"open_clip:{name}")
        assert "convnext" not in str(caught.value), "only what can be used is offered"

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("convnext_base", "timm's convnext_base.*or the timm backbone convnext_base"),
            ("ViT-L-14", "patches of 14 pixels, not of 4, 8, 16 or 32"),
            ("coca_ViT-B-32", "gives the single positions no embedding"),
            ("tiny-vit-average", "gives the single positions no embedding"),
        ],
    )
    def test_other_kinds_of_encoders_are_refused(self, name: str, found: str, tiny: dict[str, Tiny]) -> None:
        with pytest.raises(ConfigError, match=f"(?s){found}") as caught:
            CLIPBackbone(f"open_clip:{name}")
        assert "fix: choose a ResNet such as open_clip:RN50" in str(caught.value)


class Exported(nn.Module):
    """A transformer's levels and embeddings, of images padded as the whole network pads them, and a ResNet's pool."""

    def __init__(self, transformer: CLIPBackbone, resnet: CLIPBackbone) -> None:
        super().__init__()
        self.transformer, self.resnet = transformer, resnet

    def forward(self, images: Tensor, maps: Tensor) -> list[Tensor]:
        padded = F.pad(images, (0, -images.shape[3] % 32, 0, -images.shape[2] % 32))
        levels, visual = self.transformer.features(padded)
        return [*levels, visual.pooled, visual.dense, *self.resnet.body.embed(maps, maps.shape[2:])]


@pytest.mark.slow
def test_onnx_gives_the_same_at_any_size(tiny: dict[str, Tiny]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    network = Exported(load(tiny, "tiny-vit-of-one"), load(tiny, "tiny-resnet")).eval()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    example = (noise(2, 3, 96, 160), noise(3, 256, 3, 5))
    with torch.no_grad():
        program = torch.onnx.export(
            network, example, dynamo=True, verbose=False, opset_version=18, dynamic_shapes=(free, free)
        )
        session = runtime.InferenceSession(program.model_proto.SerializeToString())
        names = [value.name for value in session.get_inputs()]
        for size, grid in (((64, 64), (2, 2)), ((33, 200), (4, 2)), ((128, 32), (1, 1))):
            inputs = (noise(2, 3, *size), noise(1, 256, *grid))
            found = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
            for onnx, expected in zip(found, network(*inputs), strict=True):
                torch.testing.assert_close(torch.from_numpy(onnx), expected, atol=1e-4, rtol=1e-4)
