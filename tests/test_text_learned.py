"""Learned prompts: equal to the plain encoder where they must be, trained at the contexts alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError
from bridgeseg.text.encoders.open_clip import TextTower, load_tower
from bridgeseg.text.learned import LearnedPrompts
from text_models import MOBILE_LIKE, SIGLIP_LIKE, tiny_open_clip

pytest.importorskip("open_clip")

NAMES = ["road", "traffic light", "motorcyclist on a cobblestone pavement"]
MODELS = {
    "learn-clip": {},
    "learn-custom": {"custom": True, "proj_type": "none", "width": 16},
    "learn-eos": {"pool_type": "eos", "eos_id": 49407},
    "learn-mobile": {"custom": True, **MOBILE_LIKE},
    "learn-siglike": {"custom": True, **SIGLIP_LIKE, "context_length": 24},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("learned")
    return {name: tiny_open_clip(folder, name, **options) for name, options in MODELS.items()}


@pytest.fixture(scope="module")
def tower(files: dict[str, Path]) -> TextTower:
    return load_tower(f"learn-clip/{files['learn-clip']}")


@pytest.mark.slow
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_contexts_of_a_sentence_give_that_sentence(name: str, per_class: bool, files: dict[str, Path]) -> None:
    tower = load_tower(f"{name}/{files[name]}")
    prompts = LearnedPrompts(tower, NAMES, init="a photo of a", per_class=per_class)
    assert prompts.contexts.shape == (3 if per_class else 1, 4, 16)
    ids = tower.tokenizer([f"a photo of a {name}" for name in NAMES])
    torch.testing.assert_close(prompts(), tower.model.encode_text(ids), atol=1e-5, rtol=0)
    expected = tower.model.encode_text(ids, normalize=True)
    torch.testing.assert_close(prompts(normalize=True), expected, atol=1e-5, rtol=0)


def test_contexts_start_as_truncated_normal(tower: TextTower) -> None:
    torch.manual_seed(0)
    contexts = LearnedPrompts(tower, NAMES, length=200 // 4).contexts.detach()
    assert contexts.shape == (1, 50, 16)
    assert contexts.abs().max() <= 2
    assert abs(contexts.mean()) < 0.1
    assert abs(contexts.std() - 0.88) < 0.05  # the deviation of N(0, 1) cut at 2
    assert LearnedPrompts(tower, NAMES).contexts.shape[1] == 8


@pytest.mark.parametrize("per_class", [False, True])
def test_gradients_reach_every_context_and_nothing_else(per_class: bool, tower: TextTower) -> None:
    prompts = LearnedPrompts(tower, NAMES, per_class=per_class).train()
    prompts().square().sum().backward()
    assert [name for name, parameter in prompts.named_parameters() if parameter.requires_grad] == ["contexts"]
    assert prompts.contexts.grad is not None
    assert (prompts.contexts.grad.abs().amax(dim=-1) > 0).all()
    assert all(parameter.grad is None for name, parameter in prompts.named_parameters() if name != "contexts")
    assert not any(module.training for module in prompts.tower.modules())


def test_own_contexts_move_one_class_and_shared_ones_all(tower: TextTower) -> None:
    for per_class, moved in ((True, [False, True, False]), (False, [True, True, True])):
        prompts = LearnedPrompts(tower, NAMES, per_class=per_class)
        before = prompts.frozen()
        with torch.no_grad():
            prompts.contexts[1 if per_class else 0, 3] += torch.randn(16)
        assert ((prompts.frozen() - before).abs().amax(dim=1) > 1e-4).tolist() == moved


def test_an_optimiser_moves_the_embeddings(tower: TextTower) -> None:
    torch.manual_seed(0)
    prompts = LearnedPrompts(tower, NAMES, length=4)
    target = normalize(torch.randn(3, 24), dim=1)
    optimiser = torch.optim.Adam([prompts.contexts], lr=0.1)
    losses = []
    for _ in range(20):
        loss = 1 - (prompts(normalize=True) * target).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < min(losses[:10])


@pytest.mark.parametrize("words", [40, 67])
def test_long_names_up_to_the_context(words: int, tower: TextTower) -> None:
    name = " ".join(["tree"] * words)  # SOT + 8 contexts + 67 + EOT = 77
    init = " ".join(["road"] * 8)
    prompts = LearnedPrompts(tower, ["sky", name], init=init)
    expected = tower.model.encode_text(tower.tokenizer([f"{init} sky", f"{init} {name}"]))
    torch.testing.assert_close(prompts(), expected, atol=1e-5, rtol=0)


def test_names_and_contexts_that_do_not_fit(tower: TextTower) -> None:
    with pytest.raises(ConfigError, match=r"tree.*69 tokens"):
        LearnedPrompts(tower, ["sky", " ".join(["tree"] * 68)])
    with pytest.raises(ConfigError, match="no room"):
        LearnedPrompts(tower, NAMES, length=75)
    with pytest.raises(ConfigError, match="4 tokens in 'a photo of a'"):
        LearnedPrompts(tower, NAMES, length=8, init="a photo of a")
    for options in ({"length": 0}, {"init": ""}):
        with pytest.raises(ConfigError, match="context vectors wanted"):
            LearnedPrompts(tower, NAMES, **options)


def test_order_of_classes_is_order_of_rows(tower: TextTower) -> None:
    prompts = LearnedPrompts(tower, NAMES)
    turned = LearnedPrompts(tower, NAMES[::-1])
    turned.load_state_dict(prompts.state_dict())
    torch.testing.assert_close(turned(), prompts().flip(0), atol=1e-6, rtol=0)


def test_a_checkpoint_holds_the_contexts_alone(tower: TextTower) -> None:
    network = nn.ModuleDict({"prompts": LearnedPrompts(tower, NAMES), "image_tower": nn.Linear(2, 2)})
    state = copy.deepcopy(network.state_dict())
    assert set(state) == {"prompts.contexts", "image_tower.weight", "image_tower.bias"}
    other = nn.ModuleDict({"prompts": LearnedPrompts(tower, NAMES), "image_tower": nn.Linear(2, 2)})
    other.load_state_dict(state)
    assert torch.equal(other["prompts"](), network["prompts"]())
    del state["image_tower.bias"]
    with pytest.raises(RuntimeError, match=r"image_tower\.bias"):
        other.load_state_dict(state)


def test_frozen_embeddings_have_no_gradient_and_stay(tower: TextTower) -> None:
    prompts = LearnedPrompts(tower, NAMES)
    frozen, current = prompts.frozen(normalize=True), prompts(normalize=True).detach()
    assert not frozen.requires_grad
    assert torch.equal(frozen, current)
    with torch.no_grad():
        prompts.contexts += 1
    assert torch.equal(frozen, current)


def test_the_tower_stays_in_float32_under_autocast(tower: TextTower) -> None:
    prompts = LearnedPrompts(tower, NAMES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = prompts()
    assert under.dtype == torch.float32
    assert torch.equal(under, prompts())


def test_copies_are_whole(tower: TextTower) -> None:
    prompts = LearnedPrompts(tower, NAMES)
    twin = copy.deepcopy(prompts)
    assert torch.equal(twin(), prompts())
    assert set(twin.state_dict()) == {"contexts"}


def test_towers_of_another_build_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    file = tiny_open_clip(tmp_path, "learn-first", pool_type="first")
    with pytest.raises(ConfigError, match="CLIP-like"):
        LearnedPrompts.load(f"open_clip:learn-first/{file}", NAMES)
    with pytest.raises(ConfigError, match="open_clip:MODEL/WEIGHTS"):
        LearnedPrompts.load("random:8", NAMES)
    assert LearnedPrompts.load(f"open_clip:learn-clip/{files['learn-clip']}", NAMES, length=2)().shape == (3, 24)
