"""What a training step sees of the names: left out, added, in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import bridgeseg
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.models.build import build
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.vocabulary import VocabularyConfig
from bridgeseg.text import embed
from bridgeseg.text.store import save_embeddings
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule
from bridgeseg.training.vocabulary import NEVER, StepNames, distractors, each_wording, make_step_names, without
from tiny_data import TINY, write_dataset
from tiny_networks import embeddings, make_network, noise

pytestmark = pytest.mark.slow
CLASSES = ClassSet.build(["road", "sky", "car"])
CLIP = "open_clip:ViT-B-16/openai"


@pytest.fixture(scope="module")
def network() -> Any:
    return make_network(ModelConfig.model_validate(TINY["model"] | {"text_space": "bank"}))


def config(**changes: Any) -> TrainConfig:
    model = TINY["model"] | changes.pop("model", {})
    return TrainConfig.parse({**TINY, "data": "d", **changes, "model": model})


class TestStepNames:
    def test_names_left_out_have_no_probability_and_the_others_are_as_without_them(self, network: Any) -> None:
        torch.manual_seed(0)
        found, left_out = StepNames(VocabularyConfig(drop_names=0.6))(
            network, images := noise(2, 3, 32, 32), network.class_embeddings
        )
        assert left_out is not None
        assert 0 < left_out.sum() <= 3
        assert (found.logits[:, left_out] == NEVER).all()
        assert (found.score_map[:, left_out] == NEVER).all()
        alone = network(images, network.class_embeddings[~left_out])
        torch.testing.assert_close(found.logits[:, ~left_out], alone.logits)

    def test_two_names_at_least_stay(self, network: Any) -> None:
        names = StepNames(VocabularyConfig(drop_names=0.99))
        for _ in range(5):
            left_out = names(network, noise(1, 3, 32, 32), network.class_embeddings)[1]
            assert left_out is not None
            assert left_out.sum() == 3

    def test_distractors_stand_behind_the_names_of_the_step(self, network: Any) -> None:
        others = embeddings(9, seed=5)
        names = StepNames(VocabularyConfig(distractors=2), others=others)
        rows = torch.tensor([3, 1])
        found, left_out = names(network, images := noise(1, 3, 32, 32), network.class_embeddings, rows)
        assert (found.logits.shape[1], left_out) == (4, None)
        pairs = [torch.stack([a, b]) for a in others for b in others]
        given = [network(images, torch.cat([network.class_embeddings[rows], pair])).logits for pair in pairs]
        assert any(torch.allclose(found.logits, one, atol=1e-5) for one in given)

    def test_other_words_are_drawn_anew_for_every_step(self, network: Any) -> None:
        wordings = [embeddings(count, seed=count) for count in (1, 2, 1, 3, 1)]
        names, seen = StepNames(VocabularyConfig(phrases="random"), wordings), set()
        for _ in range(12):
            found, _ = names(network, noise(1, 3, 32, 32), network.class_embeddings)
            seen.add(round(float(found.logits.detach().sum()), 3))
        assert 2 <= len(seen) <= 6

    def test_pixels_of_names_left_out_are_ignored(self) -> None:
        masks = torch.tensor([[[0, 1], [2, 255]]])
        assert without(masks, torch.tensor([False, True, False]), 255).tolist() == [[[0, 255], [2, 255]]]

    def test_class_weights_and_the_score_map_know_of_names_added(self) -> None:
        shares = [0.7, 0.2, 0.1]
        loss = SegmentationLoss(config(loss={"class_weights": True}).loss, 255, shares)
        masks = torch.randint(0, 3, (1, 8, 8))
        more = torch.cat([logits := noise(1, 3, 8, 8), torch.full((1, 2, 8, 8), NEVER)], dim=1)
        torch.testing.assert_close(loss(more, masks), loss(logits, masks))
        fine = masks.repeat(1, 2, 2)
        torch.testing.assert_close(loss.auxiliary(more, fine, 2), loss.auxiliary(logits, fine, 2))


class TestWords:
    def test_each_phrase_has_a_vector_and_their_mean_is_that_of_the_name(self) -> None:
        classes = ClassSet.build(["road", "person"], {"person": ["pedestrian", "person"]})
        found = each_wording(classes, "random:8/0", "photo")
        assert [len(own) for own in found] == [1, 2]
        whole = embed(classes, "random:8/0").vectors
        torch.testing.assert_close(F.normalize(found[1].mean(dim=0), dim=0), whole[1])

    def test_distractors_are_neither_names_of_the_data_nor_close_to_them(self) -> None:
        asked = config(text_encoder=CLIP, vocabulary={"distractors": 50, "never": ["toilet"]})
        from bridgeseg.text.bank import named_bank

        shipped = named_bank(CLIP)
        assert shipped is not None
        bank = torch.from_numpy(shipped.vectors)
        text = bank[[shipped.names.index(name) for name in CLASSES.names]]
        found = distractors(asked, CLASSES, text)
        kept = {name for name, row in zip(shipped.names, bank, strict=True) if (found == row).all(dim=1).any()}
        assert "zebra" in kept
        assert not {"road", "car", "toilet", "truck", "clouds"} & kept
        with pytest.raises(ConfigError, match=f"the bank has {len(found)} names .* found 1000"):
            distractors(config(text_encoder=CLIP, vocabulary={"distractors": 1000, "never": ["toilet"]}), CLASSES, text)

    @pytest.mark.parametrize(
        ("changes", "single", "message"),
        [
            ({"model": {"method": "none"}, "vocabulary": {"drop_names": 0.5}}, True, "takes no names"),
            ({"model": {"head": "linear"}, "vocabulary": {"drop_names": 0.5}}, True, "layers that count"),
            ({"vocabulary": {"drop_names": 0.5}}, False, "stand for several names"),
            ({"vocabulary": {"drop_names": 0.5}, "loss": {"label_smoothing": 0.1}}, True, "label smoothing"),
        ],
    )
    def test_what_is_refused(self, changes: dict[str, Any], single: bool, message: str) -> None:
        asked = config(**changes)
        vectors = None if asked.model.method == "none" else embed(CLASSES, "random:16/0").vectors
        with pytest.raises(ConfigError, match=message):
            make_step_names(asked, CLASSES, build(asked.model, 3, vectors), single=single)


def test_an_encoder_without_a_bank(tmp_path: Path) -> None:
    file = save_embeddings(tmp_path / "few.safetensors", embeddings(3, 16), CLASSES.names)
    asked = config(text_encoder=str(file), vocabulary={"distractors": 1})
    with pytest.raises(ConfigError, match="has no bank"):
        make_step_names(asked, CLASSES, build(asked.model, 3, embeddings(3, 16)), single=True)


def test_a_training_with_all_of_it_goes_on_after_a_stop_as_if_there_had_been_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"drop_names": 0.3, "distractors": 4, "phrases": "random"}
    settings = {**TINY, "data": str(write_dataset(tmp_path / "data")), "vocabulary": how, "check": False}
    monkeypatch.setattr("bridgeseg.training.fit.write_images", lambda *_: None)  # slower than the rest
    whole = bridgeseg.train(out=tmp_path / "whole", quiet=True, config=TrainConfig.parse(settings)).folder
    epoch, begun = TrainModule.on_train_epoch_start, list[int]()

    def stop(self: TrainModule) -> None:
        begun.append(self.current_epoch)
        if begun == [0, 1]:
            raise KeyboardInterrupt
        epoch(self)

    monkeypatch.setattr(TrainModule, "on_train_epoch_start", stop)
    with pytest.raises(InputError, match="stopped"):
        bridgeseg.train(out=tmp_path / "half", quiet=True, config=TrainConfig.parse(settings))
    half = bridgeseg.train(out=tmp_path / "half", resume=True, quiet=True).folder
    assert begun == [0, 1, 1]
    first, second = ((folder / "last" / "model.safetensors").read_bytes() for folder in (whole, half))
    assert first == second
