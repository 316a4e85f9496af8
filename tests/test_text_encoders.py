"""Encoders by name, files of embeddings, random vectors, and `embed` around them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.text import embed, export_embeddings
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.store import load_embeddings, save_embeddings
from bridgeseg.vocabulary.bank import bank

WORDS = ["road", "Traffic Light", "traffic sign", "street", "tree"]


@pytest.fixture
def words(tmp_path: Path) -> str:
    vectors = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    return str(save_embeddings(tmp_path / "words.safetensors", vectors.half(), WORDS))


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "clip",
        "open_clip:",
        "hf:",
        "openclip:ViT-B-16/openai",
        "weights.pt",
        "random:",
        "random:1",
        "random:8/x",
        "bank:",
    ],
)
def test_names_of_no_encoder(spec: str) -> None:
    with pytest.raises(ConfigError, match="fix:"):
        open_encoder(spec)


def test_a_bank_has_the_vectors_of_common_names_and_no_others() -> None:
    encoder = "bank:open_clip:ViT-B-16/openai"
    found, shipped = open_encoder(encoder).encode(["road", "Traffic_Light"]), bank(encoder)
    assert shipped is not None
    rows = [shipped.names.index("road"), shipped.names.index("traffic light")]
    torch.testing.assert_close(found, torch.from_numpy(shipped.vectors[rows]))
    with pytest.raises(ConfigError, match="flux capacitor"):
        open_encoder(encoder).encode(["flux capacitor"])
    with pytest.raises(ConfigError, match="allowed: bank:open_clip:ViT-B-16/openai"):
        open_encoder("bank:open_clip:RN50/openai")


def test_weights_must_be_named() -> None:
    with pytest.raises(ConfigError, match="open_clip:RN50/FILE"):
        open_encoder("open_clip:RN50")


@pytest.mark.parametrize("spec", ["none.safetensors", "hf:./no/such/folder", "open_clip:ViT-B-16/no/such.pt"])
def test_missing_files_are_named(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="no such"):
        embed(ClassSet.build(["road"]), spec, cache_dir=tmp_path)


def test_a_file_gives_its_vectors(words: str) -> None:
    classes = ClassSet.build(
        ["sign", "traffic_light", "way"], prompts={"sign": ["TRAFFIC  sign"], "way": ["road", "street"]}
    )
    result = embed(classes, words)
    vectors = load_embeddings(words).vectors
    way = normalize((vectors[0] + vectors[3]) / 2, dim=0)
    torch.testing.assert_close(result.vectors, torch.stack([vectors[2], vectors[1], way]), atol=1e-6, rtol=0)
    assert (result.encoder, result.names, result.phrases) == (words, classes.names, classes.prompts)


def test_the_exact_spelling_wins(tmp_path: Path) -> None:
    path = save_embeddings(tmp_path / "e.safetensors", torch.eye(3), ["Turkey", "turkey", "goose"])
    assert open_encoder(str(path)).encode(["turkey", "Turkey", "TURKEY"]).argmax(dim=1).tolist() == [1, 0, 0]


def test_unknown_phrases_are_named_with_their_neighbours(words: str) -> None:
    with pytest.raises(ConfigError) as error:
        embed(ClassSet.build(["road", "traffic lights", "unicorn"]), words)
    text = str(error.value)
    assert "words.safetensors" in text
    assert "'traffic lights' (nearest: 'Traffic Light'" in text
    assert "'unicorn' (nearest:" in text
    assert "`prompts`" in text


def test_random_vectors_are_a_fixed_control() -> None:
    classes = ClassSet.build(["road", "sky", "tree"])
    vectors = embed(classes, "random:64/3").vectors
    assert (vectors.shape, vectors.dtype) == ((3, 64), torch.float32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3), atol=1e-6, rtol=0)
    assert torch.equal(embed(ClassSet.build(["tree", "road"]), "random:64/3").vectors, vectors[[2, 0]])
    assert (vectors @ vectors.T - torch.eye(3)).abs().max() < 0.5
    assert not torch.allclose(embed(classes, "random:64").vectors, vectors)


@pytest.mark.parametrize("encoder", ["random:16", "file"])
def test_permuting_classes_permutes_vectors(encoder: str, words: str) -> None:
    classes = ClassSet.build(["road", "tree", "street"], prompts={"tree": ["tree", "road"]})
    order = [2, 0, 1]
    turned = ClassSet.build([classes.names[i] for i in order], prompts={"tree": ["tree", "road"]})
    spec = words if encoder == "file" else encoder
    assert torch.equal(embed(turned, spec).vectors, embed(classes, spec).vectors[order])


def test_an_export_is_an_encoder(words: str, tmp_path: Path) -> None:
    classes = ClassSet.build(["way", "tree"], prompts={"way": ["road", "street"]})
    path = export_embeddings(tmp_path / "mine.safetensors", classes, words)
    assert torch.equal(embed(classes, str(path)).vectors, embed(classes, words).vectors)
    assert load_embeddings(path).meta == {"encoder": words, "templates": "photo"}


@pytest.mark.slow
def test_models_are_not_imported_before_they_are_used() -> None:
    code = "import sys, bridgeseg.text.learned; sys.exit(any(m in sys.modules for m in ('open_clip', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_clip_vectors_know_what_is_alike() -> None:
    path = Path(__file__).parents[1].parent / "shared" / "clip" / "openai-ViT-B-16.safetensors"
    if not path.is_file():
        pytest.skip("needs the shared CLIP embeddings")
    vectors = embed(ClassSet.build(["car", "truck", "sky"]), str(path)).vectors
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_all_errors_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(InputError, match=r"x\.safetensors"):
        embed(ClassSet.build(["road"]), str(tmp_path / "x.safetensors"))
