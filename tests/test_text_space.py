"""The text space: constants of a bank, and what stays where it is when a name is added."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridgeseg.api import train
from bridgeseg.catalog.schema import entry, names
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError
from bridgeseg.models.build import build
from bridgeseg.models.text_space import TextIn, TextSpace
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text import embed
from bridgeseg.text.bank import named_bank, reference
from bridgeseg.text.store import save_embeddings
from bridgeseg.training.module import parameter_groups
from bridgeseg.vocabulary.bank import FILES, FOLDER, bank
from bridgeseg.vocabulary.embeddings import find_rows
from tiny_data import TINY, write_dataset
from tiny_networks import embeddings

BANK = embeddings(40, 12, seed=3)
CLIP = "open_clip:ViT-B-16/openai"


def vectors_of(encoder: str) -> torch.Tensor | None:
    found = named_bank(encoder)
    return None if found is None else torch.from_numpy(found.vectors)


def tokens(space: TextSpace, vectors: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        found: torch.Tensor = TextIn(space, 6)(vectors)
    return found


class TestTextIn:
    @pytest.mark.parametrize("projection", ["learned", "pca"])
    def test_a_name_more_moves_no_other_if_the_mean_is_a_constant(self, projection: str) -> None:
        five = embeddings(5, 12)
        fixed, moving = TextSpace(12, "bank", projection, BANK), TextSpace(12, "classes", projection, BANK)
        torch.testing.assert_close(tokens(fixed, five)[:4], tokens(fixed, five[:4]))
        assert (tokens(moving, five)[:4] - tokens(moving, five[:4])).abs().max() > 0.01

    def test_a_pca_keeps_angles_as_its_directions_allow(self) -> None:
        space = TextSpace(12, "bank", "pca", BANK)
        torch.manual_seed(0)
        layer = TextIn(space, 12 - 1)
        apart = F.normalize(BANK - BANK.mean(dim=0), dim=-1)
        assert layer.basis is not None
        short = apart @ layer.basis.T / 11**0.5
        # eleven of twelve directions: what is lost is the least varied one
        assert (short @ short.T - apart @ apart.T).norm() < 0.2 * (apart @ apart.T).norm()
        assert not [name for name, _ in layer.named_parameters() if "norm" not in name]

    def test_a_pca_is_the_same_for_the_same_names_in_any_order(self) -> None:
        shuffled = BANK[torch.randperm(40, generator=torch.Generator().manual_seed(1))]
        first, second = (TextIn(TextSpace(12, "bank", "pca", names), 6).basis for names in (BANK, shuffled))
        torch.testing.assert_close(first, second)

    def test_a_pca_of_more_directions_than_there_are(self) -> None:
        with pytest.raises(ConfigError, match="at most 4 directions, found 6") as caught:
            TextIn(TextSpace(12, "bank", "pca", BANK[:5]), 6)
        assert "`model.projection=learned`" in str(caught.value.fix)


class TestBank:
    @pytest.mark.parametrize("encoder", FILES)
    def test_the_shipped_banks_are_whole_and_say_their_licence(self, encoder: str) -> None:
        found = bank(encoder)
        assert found is not None
        assert found.encoder == encoder
        assert ("Apache-2.0" if "MiniLM" in encoder else "MIT licence") in found.meta["licence"]
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-5)
        assert len(set(found.names)) == len(found.names) > 100

    def test_minilm_knows_the_names_of_the_other_banks_and_of_the_datasets(self) -> None:
        found = bank("hf:sentence-transformers/all-MiniLM-L6-v2")
        others = [bank(encoder) for encoder in FILES]
        assert found is not None
        wanted = {name for other in others if other is not None for name in other.names}
        wanted |= {item.name for title in names() for item in entry(title).classes}
        assert None not in find_rows(sorted(wanted), found.names)

    def test_a_file_of_a_known_encoder_has_the_bank_of_that_encoder(self, tmp_path: Path) -> None:
        file = FOLDER / FILES["open_clip:ViT-B-16/openai"]
        shipped = vectors_of("open_clip:ViT-B-16-quickgelu/openai")
        assert shipped is not None
        assert torch.equal(vectors_of(str(file)), shipped)
        few = save_embeddings(
            tmp_path / "few.safetensors", embeddings(3, 512), "abc", encoder="open_clip:ViT-B-16/openai"
        )
        assert torch.equal(vectors_of(str(few)), shipped)

    def test_a_file_with_many_names_is_its_own_bank_and_one_with_few_has_none(self, tmp_path: Path) -> None:
        numbers = [str(number) for number in range(120)]
        many = save_embeddings(tmp_path / "many.safetensors", embeddings(120, 9), numbers)
        few = save_embeddings(tmp_path / "few.safetensors", embeddings(20, 9), numbers[:20])
        torch.testing.assert_close(vectors_of(str(many)), embeddings(120, 9))
        assert vectors_of(str(few)) is None
        assert reference(str(few), BANK) is BANK

    def test_random_vectors_have_those_of_common_names(self) -> None:
        found = vectors_of("random:8/1")
        assert found is not None
        names = bank("open_clip:ViT-B-32/openai").names  # type: ignore[union-attr]
        torch.testing.assert_close(found[:2], embed(ClassSet.build(names[:2]), "random:8/1").vectors)


@pytest.mark.slow
class TestTraining:
    def test_constants_of_a_run_are_stored_with_it(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data")
        model = {
            **TINY["model"],
            "text_space": "bank",
            "projection": "pca",
            "temperature": "fixed",
            "head": "pixel-text",
        }
        train(data, tmp_path / "run", quiet=True, **{**TINY, "epochs": 1, "model": model})
        checkpoint = load_checkpoint(tmp_path / "run")
        entry = checkpoint.segmentor.guidance.token_in  # type: ignore[union-attr]
        torch.testing.assert_close(entry.centre, vectors_of("random:16/0").mean(dim=0))  # type: ignore[union-attr]
        assert float(checkpoint.segmentor.head.log_scale.exp()) == pytest.approx(1 / 0.07)  # type: ignore[operator, union-attr]

    def test_a_configuration_of_before_means_the_mean_of_the_classes(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data")
        folder = train(data, tmp_path / "run", quiet=True, **{**TINY, "epochs": 1}).folder / "best"
        description = json.loads((folder / "config.json").read_text())
        for key in ("text_space", "projection", "temperature"):
            del description["model"][key]
        (folder / "config.json").write_text(json.dumps(description))
        assert load_checkpoint(folder).config.text_space == "classes"

    def test_a_fixed_temperature_is_no_parameter_of_the_optimiser(self) -> None:
        config = TrainConfig.parse({**TINY, "data": "d", "model": {**TINY["model"], "temperature": "fixed"}})
        network = build(config.model, 3, embeddings(3))
        trained = {id(value) for group in parameter_groups(network, config) for value in group["params"]}
        assert id(network.head.log_scale) not in trained  # type: ignore[union-attr]
        assert id(network.guidance.log_scale) not in trained  # type: ignore[union-attr]
        assert id(network.head.project.weight) in trained  # type: ignore[union-attr]

    def test_the_width_of_a_pca_is_checked_against_the_bank(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data")
        file = save_embeddings(tmp_path / "few.safetensors", embeddings(3, 20), ["red", "green", "blue"])
        own = {**TINY, "text_encoder": str(file), "model": {**TINY["model"], "projection": "pca"}}
        with pytest.raises(ConfigError, match="a PCA of 3 names"):
            train(data, tmp_path / "run", quiet=True, **own)


def test_old_weights_fit_the_network_they_always_fitted() -> None:
    keys = build(ModelConfig.model_validate(TINY["model"]), 3, embeddings(3)).state_dict()
    entry = {name.removeprefix("guidance.token_in.") for name in keys if "token_in" in name}
    assert entry == {"project.weight", "project.bias", "norm.weight", "norm.bias"}


def test_a_network_without_a_bank_takes_its_constants_from_a_state() -> None:
    config = TrainConfig.parse({**TINY, "data": "d", "model": {**TINY["model"], "text_space": "bank"}})
    network = build(config.model, 3, embeddings(3))
    assert not network.guidance.token_in.centre.any()  # type: ignore[union-attr]


def test_a_bank_is_encoded_in_the_templates_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def encode(classes: ClassSet, encoder: str, *, templates: Any) -> Any:
        seen.append(templates)
        return SimpleNamespace(vectors=embeddings(len(classes), 384))

    monkeypatch.setattr("bridgeseg.text.bank.embed", encode)
    encoder = "hf:sentence-transformers/all-MiniLM-L6-v2"
    usual, other = named_bank(encoder), named_bank(encoder, "scene")
    assert usual is not None
    assert other is not None
    assert (seen, usual.names) == (["scene"], other.names)
    assert not np.allclose(usual.vectors, other.vectors)
