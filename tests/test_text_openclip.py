"""open_clip text towers: the same vectors as the library's own, and errors that help."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.text import embed
from bridgeseg.text.encoders import open_clip as openclip
from bridgeseg.text.prompts import resolve_templates
from text_models import MOBILE_LIKE, SIGLIP_LIKE, tiny_open_clip

open_clip = pytest.importorskip("open_clip")

NAMES = ["road", "traffic light", "a Motorcycle, parked"]
MODELS = {"tiny-clip": {"width": 24}, "tiny-mobile": {"custom": True, **MOBILE_LIKE}}
MODELS["tiny-siglike"] = {"width": 40, "custom": True, **SIGLIP_LIKE}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("open_clip")
    return {name: tiny_open_clip(folder, name, **options) for name, options in MODELS.items()}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    before = constants.HF_HUB_OFFLINE
    yield
    assert before == constants.HF_HUB_OFFLINE


def reference(name: str, file: Path) -> tuple[torch.nn.Module, object]:
    return open_clip.create_model(name, pretrained=str(file)).eval(), open_clip.get_tokenizer(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_vectors_equal_those_of_open_clip(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    model, tokenizer = reference(name, files[name])
    classes, spec = ClassSet.build(NAMES), f"open_clip:{name}/{files[name]}"
    vectors = embed(classes, spec, templates="none", cache_dir=tmp_path).vectors
    with torch.no_grad():
        expected = model.encode_text(tokenizer(NAMES), normalize=True)
    assert (vectors.dtype, vectors.requires_grad) == (torch.float32, False)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    assert vectors.shape == (3, MODELS[name].get("width", 24))
    assert (vectors @ vectors.T).fill_diagonal_(0).max() < 0.999  # the texts do not look alike to the model


@pytest.mark.slow
@pytest.mark.parametrize("templates", ["photo", "imagenet", ["{}", "there is a {} in the scene."]])
def test_ensemble_equals_the_zero_shot_classifier(templates: object, files: dict[str, Path], tmp_path: Path) -> None:
    model, tokenizer = reference("tiny-clip", files["tiny-clip"])
    texts = resolve_templates(templates)  # type: ignore[arg-type]
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, list(texts)).T
    spec = f"open_clip:tiny-clip/{files['tiny-clip']}"
    vectors = embed(ClassSet.build(NAMES), spec, templates=templates, cache_dir=tmp_path).vectors  # type: ignore[arg-type]
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


def test_the_model_runs_once_per_vocabulary(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"open_clip:tiny-clip/{files['tiny-clip']}"
    first = embed(ClassSet.build(NAMES), spec, cache_dir=tmp_path).vectors

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} was loaded again")

    monkeypatch.setattr(openclip, "load_tower", refuse)
    again = embed(ClassSet.build(NAMES[::-1]), spec, cache_dir=tmp_path).vectors
    torch.testing.assert_close(again, first.flip(0), atol=1e-6, rtol=0)
    for changed in ({"templates": "none"}, {"classes": ClassSet.build(["sky"])}):
        with pytest.raises(AssertionError, match="loaded again"):
            embed(**{"classes": ClassSet.build(NAMES), "encoder": spec, "cache_dir": tmp_path, **changed})


def test_pytorch_file_and_folder(files: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = load_file(files["tiny-clip"])
    torch.save({"state_dict": state}, tmp_path / "tiny.pt")
    config = files["tiny-clip"].with_suffix(".json").read_text()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "open_clip_config.json").write_text(f'{{"model_cfg": {config}}}')
    (tmp_path / "folder" / "open_clip_model.safetensors").write_bytes(files["tiny-clip"].read_bytes())
    specs = [f"tiny-clip/{files['tiny-clip']}", f"tiny-clip/{tmp_path / 'tiny.pt'}", f"local-dir:{tmp_path / 'folder'}"]
    vectors = [embed(ClassSet.build(NAMES), f"open_clip:{spec}", cache_dir=tmp_path).vectors for spec in specs]
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[0], vectors[2])


def test_a_folder_without_weights_is_not_filled_with_random_ones(files: dict[str, Path], tmp_path: Path) -> None:
    config = files["tiny-clip"].with_suffix(".json").read_text()
    (tmp_path / "open_clip_config.json").write_text(f'{{"model_cfg": {config}}}')
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        embed(ClassSet.build(NAMES), f"open_clip:local-dir:{tmp_path}", cache_dir=tmp_path / "cache")


class Exploit:
    """Pickled code: makes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.filterwarnings("ignore")  # of torch, about the pickle protocol and TorchScript
@pytest.mark.parametrize("kind", ["code", "noise", "other model", "torchscript"])
def test_unusable_weights_are_refused(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pt", tmp_path / "executed"
    if kind == "code":
        path.write_bytes(pickle.dumps({"state_dict": Exploit(target)}))
    elif kind == "noise":
        path.write_bytes(b"\x00" * 100)
    elif kind == "torchscript":
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    else:
        torch.save({"logit_scale": torch.ones(())}, path)
    with pytest.raises(ModelFileError, match=r"weights\.pt: these weights cannot be loaded"):
        embed(ClassSet.build(NAMES), f"open_clip:tiny-clip/{path}", cache_dir=tmp_path)
    assert not target.exists()


def test_unknown_models_and_tags(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'ViT-B-16'"):
        embed(ClassSet.build(NAMES), "open_clip:ViTB-16/openai", cache_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean 'openai'.*\n  fix: .*FILE"):
        embed(ClassSet.build(NAMES), "open_clip:ViT-B-16/openal", cache_dir=tmp_path)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("spec", ["open_clip:ViT-B-16/openai", "open_clip:hf-hub:nobody/nothing"])
def test_without_network_the_three_ways_out_are_listed(spec: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        embed(ClassSet.build(NAMES), spec, cache_dir=tmp_path)
    text = str(error.value)
    assert text.startswith(spec)
    assert all(way in text for way in ("FILE.safetensors", "open_clip:ViT-B-16-quickgelu/FILE", "hf:FOLDER"))


@pytest.mark.usefixtures("offline")
def test_a_tokenizer_that_is_not_here(tmp_path: Path) -> None:
    remote = tiny_open_clip(tmp_path, "tiny-remote", hf_tokenizer_name="nobody/nothing")
    with pytest.raises(InputError, match="its tokenizer"):
        embed(ClassSet.build(NAMES), f"open_clip:tiny-remote/{remote}", cache_dir=tmp_path)


def test_a_tag_brings_its_activation(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: {"quick_gelu": True})
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: str(files["tiny-clip"]))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: True)
    activations = {type(module).__name__ for module in openclip.load_tower("tiny-clip/tag").model.modules()}
    assert "QuickGELU" in activations
    assert "GELU" not in activations


def test_a_file_that_bears_the_name_of_a_tag_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai").write_bytes(b"something else")
    monkeypatch.chdir(tmp_path)
    assert openclip.local_source("ViT-B-16/openai") is None
    assert openclip.local_source("ViT-B-16/./openai") == Path("openai")


def test_a_phrase_that_does_not_fit_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    spec = f"open_clip:tiny-siglike/{files['tiny-siglike']}"
    fitting, long = " ".join(["tree"] * 14), " ".join(["tree"] * 15)
    assert len(embed(ClassSet.build([fitting]), spec, templates="none", cache_dir=tmp_path).vectors) == 1
    with pytest.raises(ConfigError, match="16 tokens"):
        embed(ClassSet.build(["road", long]), spec, templates="none", cache_dir=tmp_path)


class ClassTokenLast:
    """A tokenizer that ends every row, whatever its length, with a class token."""

    tokenizer_mode = "clips"

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor:
        return torch.tensor([[1, *[0] * (context_length - 2), 9]] * len(texts))


def test_a_class_token_at_the_end_is_not_taken_for_a_cut() -> None:
    assert openclip.tokenize(ClassTokenLast(), ["x"], 4).tolist() == [[1, 0, 0, 9]]
