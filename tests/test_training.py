"""Training: settings, order and rates, runs that are stopped and go on, and what a run folder holds."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from safetensors.torch import load_file

from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.data.dataset import SegmentationDataset
from bridgeseg.data.joining import join
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError, ModelFileError
from bridgeseg.evaluating.evaluate import evaluate_split
from bridgeseg.metrics import Scores
from bridgeseg.models.build import build
from bridgeseg.runtime.torch_runtime import TorchRuntime
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import differences, flatten, load_values, set_values
from bridgeseg.training import fit as room
from bridgeseg.training import folder, stops
from bridgeseg.training.averaging import Averaging, ema_update
from bridgeseg.training.callbacks import ExpectGradients
from bridgeseg.training.datamodule import DataModule, ShardSampler, check_data
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule, parameter_groups, rate_factor
from bridgeseg.training.provenance import public_name
from bridgeseg.training.resolve import resolve
from tiny_data import TINY, write_dataset
from tiny_networks import embeddings

SWITCHES = {"val_split": "none", "train_splits": "train, val", "backbone_weights": "none"}
STEPS = 2
"""Steps of an epoch of the tiny dataset: 8 images, 4 a step."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "write_images", lambda *_: None)


def run(data: Path, out: Path, **changes: Any) -> Any:
    return train(data, out, quiet=True, **set_values(TINY, changes))


class At(pl.Callback):
    """Does something once, at a step of an epoch (both counted from 0)."""

    def __init__(self, epoch: int, step: int, action: Callable[[pl.Trainer], Any]) -> None:
        self.place: tuple[int, int] | None = (epoch, step)
        self.action = action

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == self.place:
            self.place = None
            self.action(trainer)


@pytest.fixture
def when(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that adds an `At` to the trainings that follow."""
    make = room.make_trainer

    def add(epoch: int, step: int, action: Callable[[pl.Trainer], Any]) -> None:
        once = At(epoch, step, action)

        def trainer(*args: Any, **options: Any) -> pl.Trainer:
            made = make(*args, **options)
            made.callbacks.append(once)  # type: ignore[attr-defined]
            return made

        monkeypatch.setattr(room, "make_trainer", trainer)

    return add


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(out: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_file(out / name / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class TestSettings:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'"),
            ({"model": {"bakbone": "x"}}, "unknown key 'model.bakbone'; did you mean 'backbone'"),
            ({"crop_size": 64}, "unknown key 'crop_size'; did you mean 'augment.crop_size'"),
            ({"model": {"bridge": {"dpeth": 1}}}, "'model.bridge.dpeth'; did you mean 'depth'"),
            ({"loss": {"foo": 1}}, "unknown key 'loss.foo'; allowed: class_weights, ohem"),
            ({"epochs": 0}, "epochs must be at least 1, found 0"),
            ({"epochs": 2.5}, "epochs must be a whole number, found 2.5"),
            ({"epochs": "many"}, "epochs must be a whole number, found 'many'"),
            ({"lr": 0}, "lr must be above 0"),
            ({"lr": math.inf}, "lr must be a finite number"),
            ({"loss": {"dice": math.nan}}, "loss.dice must be"),
            ({"loss": {"ohem": 1}}, "loss.ohem must be below 1"),
            ({"fraction": 2}, "fraction must be at most 1"),
            ({"cache": "perhaps"}, "cache must be true or false"),
            ({"data": 3}, "data must be text, found 3"),
            ({"augment": {"crop_size": 64}}, r"augment.crop_size must be a list, such as \[256, 320\], found 64"),
            ({"augment": {"scale": [2, 1]}}, "`scale` must be two rising numbers"),
            ({"precision": "16"}, "precision must be '32-true', 'bf16-mixed' or '16-mixed', found '16'"),
            ({"model": 3}, "model is a group of settings, such as model.method, found 3"),
            ({"model": {"method": "brige"}}, "model: no method 'brige'; did you mean 'bridge'"),
            ({"model": {"decoder": "ligt"}}, "no decoder 'ligt'; did you mean 'light'"),
            ({"train_splits": []}, "train_splits has the wrong length"),
            ({"train_splits": "train,val"}, "`val_split` is trained on"),
            ({"learned": {"length": 3}}, "`learned` has no effect without `prompt: learned`"),
            ({"lr": -1, "seed": -1}, "seed must be at least 0, found -1; lr must be above 0"),
        ],
    )
    def test_mistakes_in_plain_words(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            resolve(TrainConfig.parse({"data": "data.yaml"} | values))
        assert "docs/training.md" in str(caught.value)
        assert "pydantic" not in str(caught.value)

    def test_data_is_needed(self) -> None:
        with pytest.raises(ConfigError, match="data must be given"):
            TrainConfig.parse({})

    @pytest.mark.parametrize(
        ("key", "given", "kept"),
        [
            ("devices", 2, "2"),
            ("devices", [0, 1], "0,1"),
            ("devices", "auto", "auto"),
            ("train_splits", "train, val", ("train", "val")),
            ("val_split", "none", None),
            ("backbone_weights", "none", None),
        ],
    )
    def test_forms_that_are_understood(self, key: str, given: Any, kept: Any) -> None:
        assert getattr(TrainConfig.parse({"data": "d", "val_split": "test", key: given}), key) == kept

    def test_methods_have_their_heads(self) -> None:
        for method, head in (("lseg", "linear"), ("none", "pixel-text")):
            with pytest.raises(ConfigError, match="head"):
                resolve(TrainConfig.parse({"data": "d", "model": {"method": method, "head": head}}))

    def test_one_changed_setting_leaves_the_others(self) -> None:
        plain, changed = (TrainConfig.parse({"data": "d"} | more) for more in ({}, {"augment": {"flip": 0.25}}))
        assert differences(plain, changed) == ["augment.flip: 0.5 -> 0.25"]

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "c.yaml"
        path.write_text("data: d\nmodel: {method: none}\nmodel.width: 32\nepochs: 3\n")
        config = TrainConfig.parse(set_values({}, load_values(path)))
        assert (config.model.method, config.model.width, config.epochs) == ("none", 32, 3)
        (tmp_path / "c.json").write_text(json.dumps(config.model_dump(mode="json")))
        assert TrainConfig.load(tmp_path / "c.json") == config
        for content in ("{", "[1]", "a: b: c"):
            path.write_text(content)
            with pytest.raises(ConfigError, match=r"c.yaml: (cannot be read|holds no mapping)"):
                TrainConfig.load(path)
        with pytest.raises(ConfigError, match="No such file"):
            TrainConfig.load(tmp_path / "absent.yaml")

    def test_dotted_keys(self) -> None:
        values = {"model": {"bridge": {"depth": 1}}, "lr": 1}
        assert set_values(values, {"model.bridge.dim": 8, "model": {"method": "none"}, "lr": 2}) == {
            "model": {"bridge": {"depth": 1, "dim": 8}, "method": "none"},
            "lr": 2,
        }
        assert values == {"model": {"bridge": {"depth": 1}}, "lr": 1}
        assert flatten(values) == {"model.bridge.depth": 1, "lr": 1}
        with pytest.raises(ConfigError, match=r"'lr.x' reaches into 'lr'"):
            set_values(values, {"lr.x": 1})

    def test_differences(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("data.yaml").touch()
        old = TrainConfig(data="data.yaml")
        assert differences(old, TrainConfig(data=str(tmp_path / "data.yaml"))) == []
        new = TrainConfig.parse({"data": "other.yaml", "epochs": 3, "model": {"method": "none"}})
        assert differences(old, new) == [
            "epochs: None -> 3",
            "data: data.yaml -> other.yaml",
            "model.method: bridge -> none",
        ]


@pytest.mark.parametrize(
    ("name", "public"),
    [
        (None, None),
        ("timm", "timm"),
        ("/home/me/weights.safetensors", "weights.safetensors"),
        ("random:16/0", "random:16/0"),
        ("open_clip:ViT-B-16/openai", "open_clip:ViT-B-16/openai"),
        ("open_clip:ViT-B-16//home/me/w.pt", "open_clip:ViT-B-16/w.pt"),
        ("open_clip:local-dir:/home/me/clip", "open_clip:local-dir:clip"),
        ("open_clip:hf-hub:owner/name", "open_clip:hf-hub:owner/name"),
        ("hf:owner/name", "hf:owner/name"),
        ("hf:/home/me/minilm", "hf:minilm"),
        ("bank:open_clip:ViT-B-16/openai", "bank:open_clip:ViT-B-16/openai"),
    ],
)
def test_public_names(name: str | None, public: str | None) -> None:
    assert public_name(name) == public


class TestOptimisation:
    def test_parameter_groups(self) -> None:
        config = TrainConfig.parse(
            {"data": "d", "model": TINY["model"], "lr": 0.1, "backbone_lr": 0.5, "weight_decay": 0.3}
        )
        network = build(config.model, 3, embeddings(3))
        places = {id(p): (g["lr"], g["weight_decay"]) for g in parameter_groups(network, config) for p in g["params"]}
        for name, parameter in network.named_parameters():
            rate = 0.05 if name.startswith("backbone.") else 0.1
            assert places.pop(id(parameter)) == (rate, 0.3 if parameter.ndim > 1 else 0.0), name
        assert not places
        kinds = {name.rpartition(".")[2] for name, p in network.named_parameters() if p.ndim <= 1}
        assert kinds == {"weight", "bias", "log_scale"}  # of norms; of all; temperatures

    def test_rates(self) -> None:
        rates = [rate_factor(step, 100, 0.1, 0.9) for step in range(101)]
        assert rates[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
        assert rates[9] == pytest.approx(10 / 11)
        assert rates[10] == 1
        assert rates[55] == pytest.approx(0.5**0.9)
        assert rates[100] == 0
        assert rate_factor(0, 1, 0.0, 0.9) == 1
        assert rate_factor(0, 1, 0.99, 0.9) == 0.5

    def test_average(self) -> None:
        averaged, current = [torch.zeros(2), torch.full((3,), 0.1)], [torch.ones(2), torch.full((3,), 0.1)]
        ema_update(averaged, current, 0.99, 8)  # the decay is (1 + 8) / (10 + 8) so early
        assert averaged[0].tolist() == pytest.approx([0.5, 0.5])
        ema_update(averaged, current, 0.5, 1000)
        assert averaged[0].tolist() == pytest.approx([0.75, 0.75])
        assert torch.equal(averaged[1], current[1])  # constants, such as class embeddings, do not drift
        counters = [torch.tensor(3)]
        ema_update(counters, [torch.tensor(7)], 0.99, 5)
        assert counters[0] == 7

    def test_the_average_over_a_run(self) -> None:
        class Module(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.value = torch.nn.Parameter(torch.zeros(1))

        module, callback, expected = Module(), Averaging(0.3), 1.0
        callback.setup(SimpleNamespace(), module, "fit")  # type: ignore[arg-type]
        for step in range(8):
            with torch.no_grad():
                module.value.fill_(1.0 if step == 0 else (step - 3) ** 2)
            trainer = SimpleNamespace(global_step=step + 1)
            callback.on_train_batch_end(trainer, module, None, None, step)  # type: ignore[arg-type]
            if step:
                decay = min(0.3, (1 + step) / (10 + step))  # 0.18, 0.25, 0.3, 0.3, ...
                expected = decay * expected + (1 - decay) * module.value.item()
        callback.on_train_end(trainer, module)  # type: ignore[arg-type]
        assert module.value.item() == pytest.approx(expected)


class TestOrder:
    @pytest.mark.parametrize(("size", "world"), [(10, 1), (10, 3), (7, 2), (4, 4)])
    def test_shards(self, size: int, world: int) -> None:
        validation = [list(ShardSampler(size, rank, world)) for rank in range(world)]
        assert sorted(chain.from_iterable(validation)) == list(range(size))
        training = [ShardSampler(size, rank, world, seed=3) for rank in range(world)]
        orders = []
        for epoch in (0, 1, 0):
            for sampler in training:
                sampler.set_epoch(epoch)
            drawn = [list(sampler) for sampler in training]
            assert {len(part) for part in drawn} == {size // world} == {len(sampler) for sampler in training}
            assert len(set(chain.from_iterable(drawn))) == size // world * world
            orders.append(drawn)
        assert orders[0] == orders[2] != orders[1]

    def test_loading_does_not_touch_the_networks_random_numbers(self, data: Path) -> None:
        config = TrainConfig.parse(TINY | {"data": str(data)})
        module = DataModule(join([DataSpec.load(data)]), config)
        torch.manual_seed(1)
        expected = torch.rand(3)
        for loader in (module.train_dataloader(), module.val_dataloader()):
            torch.manual_seed(1)
            assert next(iter(loader))
            assert torch.equal(torch.rand(3), expected)

    def test_an_incomplete_batch_is_used_only_if_it_is_the_only_one(self, data: Path) -> None:
        joined = join([DataSpec.load(data)])
        for batch, sizes in ((3, [3, 3]), (8, [8]), (20, [8])):
            config = TrainConfig.parse(TINY | {"data": str(data), "batch_size": batch})
            assert [len(images) for images, _, _ in DataModule(joined, config).train_dataloader()] == sizes


class TestRun:
    @pytest.mark.slow
    def test_it_learns_and_the_folder_holds_it_all(self, data: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        result = run(data, out, epochs=12, ema=0.9, batch_size=2, **{"augment.crop_size": [48, 64]})
        assert result.folder == out
        assert result.scores.miou > 0.8
        table = rows(out)
        assert [row["epoch"] for row in table] == [str(epoch) for epoch in range(1, 13)]
        assert max(float(row["miou"]) for row in table) == result.scores.miou
        assert float(table[result.epoch - 1]["miou"]) == result.scores.miou
        assert float(table[-1]["train_loss"]) < 0.5 * float(table[0]["train_loss"])
        assert {"train_aux_loss", "val_loss", "lr", "iou green"} <= set(table[0])
        best, last = load_checkpoint(out), load_checkpoint(out / "last")
        assert best.provenance["scores"] == {"split": "val", **result.scores.to_dict()}
        assert best.provenance["epoch"] == result.epoch
        assert last.provenance["epoch"] == 12
        assert last.provenance["scores"]["miou"] == float(table[-1]["miou"])
        assert torch.equal(best.segmentor.class_embeddings, last.segmentor.class_embeddings)  # type: ignore[arg-type]
        assert torch.linalg.norm(best.segmentor.class_embeddings, dim=1).tolist() == pytest.approx([1] * 3)
        described = json.loads((out / "environment.json").read_text())
        assert described["versions"]["torch"] == torch.__version__.partition("+")[0]
        assert described["data"]["sha256"] == DataSpec.load(data).digest
        for name in ("best", "last"):
            for file in ("config.json", "README.md"):
                assert str(tmp_path.parent) not in (out / name / file).read_text()

    @pytest.mark.slow
    def test_what_is_validated_is_what_is_kept(self, data: Path, tmp_path: Path) -> None:
        result = run(data, tmp_path / "run", ema=0.9)
        spec, kept = DataSpec.load(data), load_checkpoint(tmp_path / "run")
        scores = evaluate_split(TorchRuntime(kept.segmentor), spec.samples("val"), spec, progress=False)
        assert (scores.confusion == result.scores.confusion).all()

    @pytest.mark.slow
    def test_a_seed_fixes_everything(self, data: Path, tmp_path: Path) -> None:
        for name, changes in (("a", {}), ("b", {"workers": 1, "cache": False}), ("c", {"seed": 1})):
            run(data, tmp_path / name, epochs=1, **changes)
        assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
        assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))

    @pytest.mark.slow
    def test_train_json_repeats_the_run(self, data: Path, tmp_path: Path) -> None:
        run(data, tmp_path / "a", epochs=1)
        train(config=tmp_path / "a" / "train.json", out=tmp_path / "b", quiet=True)
        assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
        changed = train(config=tmp_path / "a" / "train.json", out=tmp_path / "c", quiet=True, **{"loss.aux": 0})
        assert not same(weights(tmp_path / "a"), weights(changed.folder))

    @pytest.mark.slow
    @pytest.mark.parametrize(("every", "epochs", "validated"), [(2, 3, [2, 3]), (5, 2, [2]), (1, 2, [1, 2])])
    def test_the_last_epoch_is_validated(
        self, data: Path, tmp_path: Path, every: int, epochs: int, validated: list[int]
    ) -> None:
        result = run(data, tmp_path / "run", val_every=every, epochs=epochs)
        table = rows(tmp_path / "run")
        assert [int(row["epoch"]) for row in table if row.get("miou")] == validated
        assert len(table) == epochs
        assert result.epoch in validated

    @pytest.mark.slow
    def test_without_validation_the_last_is_the_best(self, data: Path, tmp_path: Path) -> None:
        result = run(data, tmp_path / "run", **SWITCHES, ema=0)
        assert (result.scores, result.epoch) == (None, 2)
        assert not (tmp_path / "run" / "best").exists()
        assert load_checkpoint(tmp_path / "run").path == tmp_path / "run" / "last"
        assert "scores" not in load_checkpoint(tmp_path / "run").provenance

    @pytest.mark.slow
    def test_every_loss_and_rare_class_crops(self, data: Path, tmp_path: Path) -> None:
        loss = {"class_weights": True, "ohem": 0.5, "dice": 0.5, "lovasz": 0.5, "label_smoothing": 0.1}
        options = {"loss": loss, "augment.rare_class_prob": 0.5, "model.method": "none", "clip": 0, "fraction": 0.5}
        run(data, tmp_path / "run", epochs=1, **options)
        assert math.isfinite(float(rows(tmp_path / "run")[0]["train_loss"]))
        assert "train_aux_loss" not in rows(tmp_path / "run")[0]
        finished = train(out=tmp_path / "run", resume=True, quiet=True)  # needs no class statistics any more
        assert finished.epoch == 1

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("precision", "accumulate", "steps"), [("bf16-mixed", 1, STEPS), ("32-true", 2, STEPS // 2)]
    )
    def test_mixed_precision_and_accumulation(
        self, data: Path, tmp_path: Path, precision: str, accumulate: int, steps: int
    ) -> None:
        run(data, tmp_path / "run", epochs=1, precision=precision, accumulate=accumulate)
        state = folder.read_state(tmp_path / "run")
        assert state is not None
        assert state["global_step"] == steps
        assert {tensor.dtype for tensor in weights(tmp_path / "run").values()} == {torch.float32, torch.int64}

    @pytest.mark.slow
    def test_two_processes(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data", val=5)  # one has more to validate than the other
        options = {"data": str(data), "devices": "2", "strategy": "ddp", "batch_size": 2, "epochs": 2, "ema": 0.9}
        (tmp_path / "run.json").write_text(json.dumps(set_values(TINY, options)))
        # in processes of their own: a fork of this one would wait for ever for threads that did not come along
        launch = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            "-m",
            "bridgeseg",
        ]
        command = [*launch, "train", "--config", tmp_path / "run.json", "--out", tmp_path / "run", "--quiet"]
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        result = train(out=tmp_path / "run", resume=True, quiet=True)
        assert result.scores.images == 5
        assert result.scores.confusion.sum() == 5 * 46 * 64  # every image once, less two ignored lines each
        state = folder.read_state(tmp_path / "run")
        assert state is not None
        assert state["global_step"] == 2 * STEPS
        spec, kept = DataSpec.load(data), load_checkpoint(tmp_path / "run")
        scores = evaluate_split(TorchRuntime(kept.segmentor), spec.samples("val"), spec, progress=False)
        assert (scores.confusion == result.scores.confusion).all()
        # both processes validated the very network that was kept, statistics of batch norm included
        loss, losses = SegmentationLoss(LossConfig(), 255), []
        for image, mask, _ in SegmentationDataset(spec, "val"):
            with torch.no_grad():
                logits = kept.segmentor.logits(kept.segmentor.normalise(image[None]))
            losses.append(loss.cross_entropy(logits, mask[None]).item())
        assert float(rows(tmp_path / "run")[result.epoch - 1]["val_loss"]) == pytest.approx(sum(losses) / 5, rel=1e-5)


class TestResume:
    @pytest.fixture(scope="class")
    def whole(self, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "write_images", lambda *_: None)
            return run(data, tmp_path_factory.mktemp("whole") / "run", epochs=3, ema=0.9).folder

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [0, 1])
    def test_stopped_and_resumed_equals_uninterrupted(
        self, data: Path, whole: Path, tmp_path: Path, when: Any, workers: int
    ) -> None:
        out, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
        when(1, 1, lambda _: signal.raise_signal(signal.SIGINT))  # Ctrl-C in the middle of the second epoch
        with pytest.raises(
            InputError,
            match=rf"stopped in epoch 2; saved up to the end of epoch 1\n.*bridgeseg train --out {out} --resume",
        ):
            run(data, out, epochs=3, ema=0.9, workers=workers)
        assert signal.getsignal(signal.SIGINT) == before
        assert load_checkpoint(out).provenance["epoch"] == 1  # usable at once
        assert not (out / "last").exists()
        result = train(out=out, resume=True, quiet=True)
        for name in ("best", "last"):
            assert same(weights(out, name), weights(whole, name)), name
        assert rows(out) == rows(whole)
        assert {"split": "val", **result.scores.to_dict()} == load_checkpoint(whole).provenance["scores"]
        first, second = (torch.load(path / "resume.ckpt", weights_only=True) for path in (out, whole))
        assert same(first["current_model_state"], second["current_model_state"])
        assert first["optimizer_states"][0]["state"][0]["step"] == second["optimizer_states"][0]["state"][0]["step"]
        assert first["lr_schedulers"][0]["last_epoch"] == second["lr_schedulers"][0]["last_epoch"] == 3 * STEPS

    @pytest.mark.slow
    def test_stopped_in_the_first_epoch(self, data: Path, whole: Path, tmp_path: Path, when: Any) -> None:
        out = tmp_path / "run"
        when(0, 1, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(InputError, match="stopped in epoch 1"):
            run(data, out, epochs=3, ema=0.9)
        with pytest.raises(InputError, match="holds a run already"):
            run(data, out, epochs=3, ema=0.9)
        train(out=out, resume=True, quiet=True)
        assert same(weights(out), weights(whole))

    @pytest.mark.slow
    def test_the_best_is_remembered(
        self, data: Path, tmp_path: Path, when: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def worse_every_epoch(module: TrainModule) -> Scores:
            wrong = 10 * module.current_epoch
            return Scores.from_confusion(torch.tensor([[90 - wrong, 10 + wrong], [0, 50]]).numpy(), ["a", "b"], 4)

        monkeypatch.setattr(TrainModule, "gather_scores", worse_every_epoch)
        out = tmp_path / "run"
        when(1, 0, lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(InputError, match="stopped"):
            run(data, out)
        kept = weights(out, "best")
        for _ in range(2):  # the second time all epochs are done
            result = train(out=out, resume=True, quiet=True)
            assert result.epoch == 1
            assert result.scores.confusion.tolist() == [[90, 10], [0, 50]]
            assert same(weights(out, "best"), kept)
        assert load_checkpoint(out / "last").provenance["scores"]["miou"] < result.scores.miou

    @pytest.mark.slow
    def test_a_finished_run_says_so(self, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = weights(whole)
        result = train(out=whole, resume=True)
        assert "all 3 epochs of this run are done" in capsys.readouterr().err
        assert result.scores.miou == load_checkpoint(whole).provenance["scores"]["miou"]
        assert same(weights(whole), before)

    def test_nothing_to_resume_and_no_data(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no run to resume"):
            train(out=tmp_path / "nowhere", resume=True)
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.slow
    def test_no_split_to_validate_on(self, data: Path, tmp_path: Path) -> None:
        lines = [line for line in data.read_text().splitlines() if not line.startswith("val:")]
        alone = data.with_name("alone.yaml")
        alone.write_text("\n".join(lines))
        with pytest.raises(DataError, match=r"no split 'val' to validate on\n.*`val_share=0.1`.*`val_split=none`"):
            run(alone, tmp_path / "run")
        train(alone, tmp_path / "share", quiet=True, **TINY | {"epochs": 1, "val_share": 0.4})
        assert load_checkpoint(tmp_path / "share").provenance["scores"]["split"] == "val"

    @pytest.mark.slow
    def test_other_settings_are_refused(self, data: Path, whole: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"other settings: lr: 0.01 -> 0.02; ema: 0.9 -> 0.0\n  fix: continue"):
            train(out=whole, resume=True, lr=0.02, ema=0)
        (tmp_path / "c.yaml").write_text("model: {width: 24}\nepochs: 3\n")
        with pytest.raises(ConfigError, match=r"model\.width: 16 -> 24"):
            train(out=whole, resume=True, config=tmp_path / "c.yaml")
        with pytest.raises(ConfigError, match="unknown key 'x'"):
            train(out=whole, resume=True, x=1)
        train(data, whole, resume=True, quiet=True, config=whole / "train.json", lr=0.01)  # the same ones are fine

    @pytest.mark.slow
    def test_a_damaged_or_lost_state(self, data: Path, tmp_path: Path) -> None:
        out = run(data, tmp_path / "run", epochs=1).folder
        state = (out / "resume.ckpt").read_bytes()
        for damaged in (b"", state[: len(state) // 2], b"no zip"):
            (out / "resume.ckpt").write_bytes(damaged)
            with pytest.raises(ModelFileError, match=r"resume\.ckpt: is damaged"):
                train(out=out, resume=True)
        (out / "resume.ckpt").unlink()
        with pytest.raises(ModelFileError, match=r"resume.ckpt: is gone.*\n.*best/ and last/"):
            train(out=out, resume=True)
        (out / "resume.ckpt").write_bytes(state)
        settings = json.loads((out / "train.json").read_text())
        settings["model"]["width"] = 24
        (out / "train.json").write_text(json.dumps(settings))
        with pytest.raises(ModelFileError, match=r"resume.ckpt: does not fit train.json"):
            train(out=out, resume=True)

    @pytest.mark.slow
    def test_other_data_is_refused(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data")
        out = run(data, tmp_path / "run", epochs=1).folder
        data.write_text(data.read_text().replace("red", "rouge"))
        with pytest.raises(DataError, match=r"data.yaml has changed"):
            train(out=out, resume=True)

    def test_nothing_to_resume(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no run to resume"):
            train(out=tmp_path, data="data.yaml", resume=True)


class TestTrouble:
    @pytest.mark.slow
    def test_the_loss_is_no_number(
        self, data: Path, tmp_path: Path, when: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def poison(trainer: pl.Trainer) -> None:
            monkeypatch.setattr(
                TrainModule, "training_step", lambda self, batch, _: self.segmentor.guidance.log_scale * math.nan
            )

        when(1, 0, poison)
        with pytest.raises(
            InputError, match=r"the loss is nan at step 3; images of the step: .*\.png.*\n.*`lr`"
        ) as caught:
            run(data, tmp_path / "run")
        assert str(caught.value).count(".png") == 4
        for tensor in weights(tmp_path / "run", "best").values():
            assert torch.isfinite(tensor).all()
        state = folder.read_state(tmp_path / "run")
        assert state is not None
        assert state["epoch"] == 0

    @pytest.mark.slow
    def test_the_weights_are_no_numbers(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def poison(self: TrainModule, optimiser: Any) -> None:
            if self.trainer.is_last_batch:
                self.segmentor.guidance.log_scale.grad.fill_(math.inf)

        monkeypatch.setattr(TrainModule, "on_before_optimizer_step", poison)
        with pytest.raises(InputError, match="the weights are no longer finite at step 2"):
            run(data, tmp_path / "run", clip=0)
        assert not (tmp_path / "run" / "best").exists()

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_file_vanishes(self, tmp_path: Path, when: Any, workers: int) -> None:
        data = write_dataset(tmp_path / "data")

        def remove(_: pl.Trainer) -> None:
            for image in (tmp_path / "data" / "images" / "train").iterdir():
                image.unlink(missing_ok=True)

        when(0, 0, remove)
        with pytest.raises(InputError, match="no such file") as caught:
            run(data, tmp_path / "run", cache=False, workers=workers, epochs=3)
        text = str(caught.value)
        assert text.startswith(str(tmp_path / "data" / "images" / "train"))
        assert "Traceback" not in text
        assert len(text) < 400

    @pytest.mark.slow
    def test_a_full_disk(self, data: Path, tmp_path: Path, when: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        save = torch.save

        def full(state: Any, path: Any) -> None:
            save(state, path)
            Path(path).write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file data/17: file write failed")

        when(1, 0, lambda _: monkeypatch.setattr(folder.torch, "save", full))
        with pytest.raises(ModelFileError, match=r"resume.ckpt: cannot be written: .*\n.*`resume=True`"):
            run(data, tmp_path / "run")
        state = folder.read_state(tmp_path / "run")
        assert state is not None
        assert state["epoch"] == 0
        assert not list((tmp_path / "run").glob(".*"))

    def test_folders_that_cannot_be_used(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is a file, not a run folder"):
            run(data, tmp_path / "file")
        with pytest.raises(InputError, match=r"cannot be written \(Not a directory\)"):
            run(data, tmp_path / "file" / "run")
        for name in ("train.json", "resume.ckpt", "best"):
            (tmp_path / name / name).mkdir(parents=True)
            with pytest.raises(InputError, match="holds a run already"):
                run(data, tmp_path / name)

    @pytest.mark.slow
    def test_a_mistake_leaves_the_folder_free(self, data: Path, tmp_path: Path) -> None:
        for changes in ({"model.backbone": "no_such_net"}, {"text_encoder": "hf:/no/folder"}, {"val_split": "tset"}):
            with pytest.raises(InputError):
                run(data, tmp_path / "run", **changes)
        run(data, tmp_path / "run", epochs=1)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"text_encoder": "hf:/no/such/folder"}, "no such folder"),
            ({"text_encoder": "absent.safetensors"}, "no such file of embeddings"),
            ({"text_encoder": "word2vec"}, "no such text encoder"),
            ({"text_encoder": "open_clip:ViT-B-16/openia"}, "did you mean 'openai'"),
            ({"model.backbone": "efficientnet_lte0"}, "timm has no model"),
            ({"backbone_weights": "absent.safetensors"}, "no such weights file"),
            ({"val_split": "tset"}, "no split 'tset'"),
            ({"strategy": "dpp"}, "trainer refuses these settings: .*dpp"),
            ({"accelerator": "gppu"}, "trainer refuses these settings"),
            ({"devices": "two"}, "devices 'two' is no number"),
            ({"devices": [0, 1]}, "trainer refuses these settings"),
            ({"strategy": "ddp_spawn"}, "strategy: 'ddp_spawn' cannot be used here; use `strategy=ddp`"),
            ({"num_nodes": 2}, "started on each of them by a launcher, and there is none"),
            ({"train_splits": ["train", "train"]}, "`train_splits` names a split twice"),
            ({"text_encoder": "random:16", "templates": "phto"}, "no template set is called 'phto'"),
            ({"text_encoder": "random:99999999"}, "random vectors need a width of 2 to 8192"),
            ({"init": "nowhere"}, "no such checkpoint folder\n.*or a .safetensors file"),
            ({"devices": 0}, "trainer refuses these settings"),
            ({"batch_size": 1}, "batch norm needs more than one value.*\n.*crop_size"),
        ],
    )
    def test_mistakes(self, data: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            run(data, tmp_path / "run", **changes)

    def test_another_process_of_the_training_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gloo: dict[str, Any] = {"__name__": "torch.distributed.distributed_c10d"}
        exec("def all_reduce():\n    raise RuntimeError('Connection closed by peer')", gloo)
        monkeypatch.setattr(stops, "together", lambda: True)
        rest: Any = SimpleNamespace(lost_process=lambda: False)
        message = r"another process of this training ended.*\n.*--resume"
        with pytest.raises(InputError, match=message), stops.stoppable(rest, tmp_path, rest):
            gloo["all_reduce"]()
        with pytest.raises(RuntimeError, match="of the network"), stops.stoppable(rest, tmp_path, rest):
            raise RuntimeError("of the network")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (torch.OutOfMemoryError("CUDA out of memory."), "memory is too small.*\n.*`batch_size`"),
            (OSError(28, "No space left on device"), r"No space left on device.*\n.*--resume"),
        ],
    )
    def test_trouble_of_the_machine(
        self, data: Path, tmp_path: Path, when: Any, error: Exception, message: str
    ) -> None:
        def fail(_: pl.Trainer) -> None:
            raise error

        when(0, 1, fail)
        with pytest.raises(InputError, match=message):
            run(data, tmp_path / "run")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("number", "message"),
        [(signal.SIGKILL, r"data was killed.*\n.*`workers=0`"), (signal.SIGTERM, "stopped in epoch 1")],
    )
    def test_a_loading_process_is_killed(
        self, data: Path, tmp_path: Path, when: Any, number: signal.Signals, message: str
    ) -> None:
        def kill(_: pl.Trainer) -> None:
            (worker,) = multiprocessing.active_children()
            if number == signal.SIGTERM:  # of a batch system, to all of them
                os.kill(os.getpid(), number)
            os.kill(worker.pid or 0, number)
            worker.join()

        when(0, 0, kill)
        with pytest.raises(InputError, match=message):
            run(data, tmp_path / "run", workers=1, epochs=5, **{"augment.crop_size": [64, 64]})

    def test_a_parameter_that_gets_no_gradient_among_several_processes(self, tmp_path: Path) -> None:
        class Half(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.used, self.idle = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)

            def forward(self, values: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = self.used(values)
                return found

        module = Half()
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            for options in ({"find_unused_parameters": True}, {}):
                model = torch.nn.parallel.DistributedDataParallel(module, **options)
                model(torch.ones(1, 2)).sum().backward()
                trainer, callback = SimpleNamespace(strategy=SimpleNamespace(model=model)), ExpectGradients()
                if options:
                    callback.on_after_backward(trainer, module)  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match=r"no gradient \(idle\.weight\).*\n.*unused_parameters"):
                callback.on_after_backward(trainer, module)  # type: ignore[arg-type]
        finally:
            torch.distributed.destroy_process_group()

    @pytest.mark.slow
    def test_a_mistake_of_ours_stays_what_it_is(self, data: Path, tmp_path: Path, when: Any) -> None:
        for kind in (RuntimeError, ValueError, KeyError):
            when(0, 0, lambda _, kind=kind: (_ for _ in ()).throw(kind("a bug")))
            with pytest.raises(kind, match="a bug"):
                run(data, tmp_path / kind.__name__)

    def test_the_default_text_encoder_without_network(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setenv("BRIDGESEG_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
        with pytest.raises(
            ModelFileError,
            match=r"not on this machine.*the text encoder open_clip[\s\S]*--text-encoder FILE[\s\S]*--method none",
        ):
            run(data, tmp_path / "run", text_encoder=TrainConfig(data="d").text_encoder)

    def test_more_devices_than_images(self, data: Path) -> None:
        class Trainer:
            global_rank, world_size = 0, 5

        module = DataModule(join([DataSpec.load(data)]), TrainConfig.parse(TINY | {"data": str(data)}))
        module.trainer = Trainer()  # type: ignore[assignment]
        assert len(list(module.train_dataloader())) == 1
        with pytest.raises(ConfigError, match="4 validation images cannot be shared among 5 devices"):
            module.val_dataloader()

    @pytest.mark.slow
    def test_an_unlabelled_validation_split(self, tmp_path: Path) -> None:
        from PIL import Image

        data = write_dataset(tmp_path / "data")
        for mask in (tmp_path / "data" / "masks" / "val").iterdir():
            Image.new("L", (64, 48), 255).save(mask)
        with pytest.raises(DataError, match="no pixel of the 4 validation images is labelled"):
            run(data, tmp_path / "run", epochs=1)


def test_a_share_of_train_is_offered_where_there_is_train(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    config = TrainConfig(data=str(path))
    text = path.read_text().replace("val: images/val\n", "")
    for split in ("train", "test"):
        path.write_text(text.replace("train:", f"{split}:"))
        with pytest.raises(DataError, match="no split 'val' to validate on") as caught:
            check_data(DataSpec.load(path), config)
        assert ("val_share=0.1" in str(caught.value.fix)) == (split == "train")
        assert "add it to the file" in str(caught.value.fix)


def test_the_architecture_of_the_tiny_runs_is_tiny() -> None:
    network = build(ModelConfig.model_validate(TINY["model"]), 3, embeddings(3))
    assert sum(parameter.numel() for parameter in network.parameters()) < 120_000


def test_the_page_about_training_has_every_setting() -> None:
    page = Path(__file__).parents[1] / "docs" / "training.md"
    if not page.is_file():
        pytest.skip("the documentation is not here")
    listed = {
        cells[1].strip(" `"): cells[2].strip(" `") for cells in map(split_row, page.read_text().splitlines()) if cells
    }
    defaults = flatten(TrainConfig(data="").model_dump(mode="json"))
    assert defaults.keys() <= listed.keys()
    for key, value in defaults.items():
        assert listed[key] == ("" if value in ("", None) else json.dumps(value).replace('"', "")), key


def split_row(line: str) -> list[str]:
    return line.split("|") if line.startswith("| `") else []
