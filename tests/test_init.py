"""Starting from the weights of another network: what carries over, what starts from scratch, what is not forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from bridgeseg.api import train
from bridgeseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.data.joining import join
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.evaluating.evaluate import evaluate_split
from bridgeseg.metrics import Scores
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.naming import named, start_of
from bridgeseg.runtime.model import Model
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.text import embed
from bridgeseg.text.store import save_embeddings
from bridgeseg.training import fit as room
from bridgeseg.training.building import freeze, make_network
from bridgeseg.training.carrying import carry, kept_vectors
from bridgeseg.training.datasets import load_joined
from bridgeseg.training.module import TrainModule
from bridgeseg.training.origin import completed, find
from bridgeseg.training.provenance import absolute
from bridgeseg.training.teaching import teachings
from tiny_data import TINY, write_dataset

STREET = Path(__file__).parents[1] / "examples" / "street.jpg"
OLD, NEW = ("red", "green", "blue"), ("blue", "gold", "red", "grey")


@pytest.fixture(autouse=True)
def _no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "write_images", lambda *_: None)


def network(method: str, names: tuple[str, ...], seed: int = 0) -> tuple[Segmentor, ModelConfig]:
    torch.manual_seed(seed)
    config = ModelConfig.model_validate(TINY["model"] | {"method": method})
    return build(config, len(names), None if method == "none" else F.normalize(torch.randn(len(names), 16))), config


def checkpoint(folder: Path, method: str, names: tuple[str, ...] = OLD) -> Path:
    segmentor, config = network(method, names)
    told = {"config": {"text_encoder": "random:16/3", "templates": "none"}}
    save_checkpoint(folder, Checkpoint(segmentor, config, ClassSet.build(names), told))
    return folder


@pytest.mark.parametrize("method", ["bridge", "none"])
def test_what_does_not_depend_on_the_names_carries_over(tmp_path: Path, method: str) -> None:
    old = load_checkpoint(checkpoint(tmp_path / "old", method)).segmentor.state_dict()
    segmentor, config = network(method, NEW, seed=1)
    before = {key: value.clone() for key, value in segmentor.state_dict().items()}
    carried = carry(segmentor, config, NEW, find(str(tmp_path / "old")))
    for key, value in segmentor.state_dict().items():
        if key == "class_embeddings":
            assert torch.equal(value, before[key])
        elif key.startswith("head.conv"):  # of `none`: a row for each name
            assert torch.equal(value[[0, 2]], old[key][[2, 0]])
            assert torch.equal(value[[1, 3]], before[key][[1, 3]])
        else:
            assert torch.equal(value, old[key]), key
    assert carried.fresh == ([] if method == "bridge" else ["head.conv.weight", "head.conv.bias"])
    assert carried.rows == ([] if method == "bridge" else ["blue", "red"])
    assert "starts from scratch: head.conv.weight" in " ".join(carried.lines()) or method == "bridge"


@pytest.mark.parametrize("encoder", ["random:16/3", "random:16/4"])
def test_kept_names_have_the_class_embeddings_of_their_network(tmp_path: Path, encoder: str) -> None:
    origin = find(str(checkpoint(tmp_path / "old", "bridge")))
    config = TrainConfig.parse(TINY | {"data": "d", "text_encoder": encoder, "init": str(tmp_path / "old")})
    classes = ClassSet.build(["blue", "gold", "green"])
    text = make_network(config, classes, None, kept_vectors(["green", "blue"], encoder, origin))[0].class_embeddings
    own = embed(classes, encoder).vectors
    if encoder == "random:16/3":  # that of the network
        own[[0, 2]] = load_checkpoint(tmp_path / "old").segmentor.state_dict()["class_embeddings"][[2, 1]]
    torch.testing.assert_close(text, own)


def test_an_encoder_that_lacks_kept_names_is_not_asked_for_them(tmp_path: Path) -> None:
    file = str(save_embeddings(tmp_path / "bank.safetensors", torch.eye(1, 16), ["gold"], encoder="by hand"))
    config, classes = TrainConfig.parse(TINY | {"data": "d", "text_encoder": file}), ClassSet.build(["red", "gold"])
    with pytest.raises(ConfigError, match="'red'"):
        make_network(config, classes, None)
    red = F.normalize(torch.ones(16), dim=0)
    text = make_network(config, classes, None, {"red": red})[0].class_embeddings
    torch.testing.assert_close(text, torch.stack([red, torch.eye(1, 16)[0]]))


def test_a_file_of_weights_alone(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "old", "none") / "model.safetensors"
    assert find(str(file)).names == OLD
    (tmp_path / "alone.safetensors").write_bytes(file.read_bytes())
    origin = find(str(tmp_path / "alone.safetensors"))
    assert (origin.names, origin.settings) == ((), {})
    segmentor, config = network("none", OLD, seed=1)
    before = segmentor.state_dict()["head.conv.weight"].clone()
    assert carry(segmentor, config, OLD, origin).rows == []
    assert torch.equal(segmentor.state_dict()["head.conv.weight"], before)


def test_the_architecture_is_that_of_the_run_unless_another_is_given(tmp_path: Path) -> None:
    init = {"init": str(checkpoint(tmp_path / "old", "bridge")), "data": "d"}
    found = TrainConfig.parse(completed(init))
    assert (found.model.backbone, found.model.width, found.model.groups["bridge"]["dim"]) == (
        "test_efficientnet",
        16,
        16,
    )
    assert (found.text_encoder, found.templates) == ("random:16/3", "none")
    other = TrainConfig.parse(completed(init | {"model.method": "none", "text_encoder": "random:16/4"}))
    assert (other.model.method, other.model.width, other.model.groups) == ("none", 16, {})
    assert other.text_encoder == "random:16/4"
    assert TrainConfig.parse(completed(init | {"model.backbone": "resnet18"})).model.width is None


@pytest.mark.slow
def test_a_dataset_does_not_hide_a_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundled = named("street"), named("open", "folder"), start_of("street")
    settings = TrainConfig.parse({"data": "d", "init": "street"})
    for name in ("street", "open"):
        (tmp_path / name / "images").mkdir(parents=True)
    assert (named("street"), named("open", "folder"), start_of("street")) == bundled
    assert absolute(settings).init == "street"
    for name in ("config.json", "best/config.json", "resume.ckpt"):
        file = tmp_path / "street" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        assert named("street") == start_of("street") == Path("street")
        assert absolute(settings).init == str(tmp_path / "street")
        file.unlink()
    (tmp_path / "street-int8").touch()
    assert named("street-int8") == Path("street-int8")


def test_the_bundled_street_model_is_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    origin = find("street")
    assert origin.names == Model.load("street").classes.names
    assert TrainConfig.parse(completed({"init": "street", "data": "d"})).model.backbone == "efficientnet_lite0"
    seen = Model.load(origin.folder).predict(STREET).mask
    assert np.mean(seen == Model.load("street").predict(STREET).mask) > 0.8  # another network, trained alike
    checkpoint(tmp_path / "street", "none")
    assert find("street").names == OLD  # one's own folder of that name comes first


def test_what_is_nothing_to_start_from_is_refused(tmp_path: Path) -> None:
    for name, message in (
        ("street-int8", "folded for prediction, that no training can go on from"),
        (str(tmp_path / "a.onnx"), "cannot be trained any further"),
        (str(tmp_path / "nothing"), "no such checkpoint folder"),
    ):
        with pytest.raises(ModelFileError, match=message):
            find(name)
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="could run code"):
        find(str(tmp_path / "a.pt"))
    (tmp_path / "b.safetensors").write_bytes(b"x")
    segmentor, config = network("none", OLD)
    with pytest.raises(ModelFileError, match="cannot be read"):
        carry(segmentor, config, OLD, find(str(tmp_path / "b.safetensors")))
    wide = ModelConfig(backbone="resnet10t")
    with pytest.raises(ModelFileError, match="no weights of the backbone resnet10t"):
        carry(build(wide, 3, torch.eye(3, 16)), wide, OLD, find(str(checkpoint(tmp_path / "old", "none"))))


def test_frozen_parts(tmp_path: Path) -> None:
    def config(method: str, *parts: str) -> TrainConfig:
        return TrainConfig.parse(TINY | {"data": "d", "model": TINY["model"] | {"method": method}, "freeze": parts})

    segmentor, _ = network("none", OLD)
    freeze(segmentor, config("none", "backbone"))
    assert {name.partition(".")[0] for name, value in segmentor.named_parameters() if value.requires_grad} == {
        "decoder", "head",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no guidance that could be frozen"):
        freeze(segmentor, config("none", "guidance"))
    with pytest.raises(ConfigError, match="every weight is frozen"):
        freeze(segmentor, config("none", "backbone", "decoder", "head"))
    assert TrainConfig.parse({"data": "d", "freeze": "backbone, head"}).freeze == ("backbone", "head")
    with pytest.raises(ConfigError, match="freeze"):
        TrainConfig.parse({"data": "d", "freeze": ["neck"]})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write stripes of three colours: `old` knows red and blue of them, `more` labels green alone."""
    root = tmp_path_factory.mktemp("data")
    path = write_dataset(root)
    values = yaml.safe_load(path.read_text())
    for name, keys in {
        "old": {"names": ["red", "blue"], "label_map": {0: "red", 1: None, 2: "blue"}},
        "more": {"labelled": ["green"], "unlabelled": "other"},
        "unknown": {"labelled": ["green"]},
    }.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump(values | keys))
    return root


def test_whose_names_are_kept(data: Path, tmp_path: Path) -> None:
    origin = checkpoint(tmp_path / "old", "none", ("red", "blue", "sand"))

    def kept(name: str, **changes: Any) -> tuple[str, ...]:
        values = TINY | {"data": str(data / f"{name}.yaml"), "init": str(origin), **changes}
        return load_joined(TrainConfig.parse(values)).classes.names

    assert kept("more") == ("red", "blue", "sand", "green")
    assert kept("data") == OLD
    assert kept("unknown", keep=False, data=[str(data / "unknown.yaml"), str(data / "data.yaml")]) == (
        "green", "red", "blue",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="leaves something unlabelled"):
        kept("data", keep=True)
    (tmp_path / "alone.safetensors").write_bytes((origin / "model.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="no names that could be kept"):
        kept("more", keep=True, init=str(tmp_path / "alone.safetensors"))
    with pytest.raises(ConfigError, match="there is none"):
        TrainConfig.parse({"data": "d", "keep": True})


class TestTeaching:
    """Logits of four names: red, blue and green, of which the teacher knows red, blue and `sand`."""

    @pytest.fixture(scope="class")
    def taught(self, data: Path) -> Any:
        def make(name: str, **more: Any) -> Any:
            before = ClassSet.build(["red", "blue", "sand"])
            return teachings(join([DataSpec.load(data / f"{name}.yaml")], before=before, **more))[0]

        return make

    def test_a_pixel_of_no_labelled_name_is_as_the_teacher_says(self, taught: Any) -> None:
        teaching = taught("more")
        kinds = teaching.kinds[0][torch.tensor([0, 1, 2, 255])]
        assert kinds.tolist() == [1, -1, 1, 0]  # red and blue are no green; of the border nothing is known
        logits, teacher = torch.randn(1, 4, 1, 1), torch.randn(1, 3, 1, 1)
        loss = teaching(logits, teacher, torch.full((1, 4, 4), 1), 4)
        expected = -(teacher.softmax(1)[0, :, 0, 0] * logits.log_softmax(1)[0, :3, 0, 0]).sum()
        torch.testing.assert_close(loss, expected)

    def test_where_nothing_is_known_nothing_is_said_of_new_names(self, taught: Any) -> None:
        teaching = taught("unknown")
        assert teaching.kinds[0, :3].tolist() == [0, -1, 0]
        logits = torch.randn(1, 4, 1, 1, requires_grad=True)
        teacher = torch.randn(1, 3, 1, 1)
        loss = teaching(logits, teacher, torch.zeros(1, 4, 4, dtype=torch.int64), 4)
        expected = -(teacher.softmax(1) * logits[:, :3].log_softmax(1)).sum()
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert logits.grad is not None
        assert logits.grad[0, 3].abs().item() == 0

    def test_a_name_that_is_labelled_here_is_none_of_the_rest(self, taught: Any) -> None:
        teaching = taught("more", same=[["red", "green"]])
        teacher = torch.randn(1, 3, 1, 1)
        logits = torch.randn(1, 3, 1, 1)
        target = teacher[:, 1:].softmax(1)
        loss = teaching(logits, teacher, torch.full((1, 4, 4), 1), 4)
        torch.testing.assert_close(loss, -(target * logits.log_softmax(1)[:, 1:]).sum())

    def test_an_old_name_means_its_parts(self, taught: Any) -> None:
        teaching = taught("unknown", parts={"sand": ("green", "red")})
        assert teaching.groups == [[0], [1], [2, 0]]

    def test_cells_count_by_their_share_and_padding_does_not(self, taught: Any) -> None:
        teaching = taught("more")
        logits, teacher = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 8, 8)
        kinds = torch.full((1, 30, 20), -1)
        kinds[0, :4, :4] = 1
        kinds[0, 4:6, :4] = 1
        found = [teaching(logits[..., i : i + 1, :1], teacher[..., i : i + 1, :1], kinds[:, :4, :4], 4) for i in (0, 1)]
        assert teaching(logits, teacher, kinds, 4).item() == pytest.approx(
            (float(found[0]) + 0.5 * float(found[1])) / 1.5, rel=1e-5
        )
        assert teaching(logits, teacher, torch.full((1, 30, 20), -1), 4).item() == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bridge", "none"])
def test_a_share_of_the_start(method: str, data: Path, tmp_path: Path) -> None:
    origin = checkpoint(tmp_path / "old", method, ("red", "blue"))
    own = {key: TINY[key] for key in ("batch_size", "lr", "augment", "workers", "accelerator")}
    found = {}
    for share in (None, 0.25, 1.0):
        settings = set_values(own, {"epochs": 2, "ema": 0.0, "init": str(origin), "init_share": share})
        train(data / "data.yaml", tmp_path / f"{share}", quiet=True, **settings)
        found[share] = load_checkpoint(tmp_path / f"{share}" / "last").segmentor.state_dict()
    start, carried = load_checkpoint(origin).segmentor.state_dict(), 0
    for key, trained in found[None].items():
        whole = start[key].shape == trained.shape and trained.is_floating_point() and key != "class_embeddings"
        carried += whole and not torch.equal(start[key], trained)
        for share in (0.25, 1.0):
            wanted = torch.lerp(trained, start[key], share) if whole else trained
            torch.testing.assert_close(found[share][key], wanted)
    assert carried > 20
    assert "with a share of 0.25 in the weights" in (tmp_path / "0.25" / "train.log").read_text()


def test_there_is_a_start_to_have_a_share() -> None:
    with pytest.raises(ConfigError, match="`init_share` is a share of the weights of `init`, and there are none"):
        TrainConfig.parse({"data": "d", "init_share": 0.5})


@pytest.mark.slow
class TestRuns:
    @pytest.fixture(scope="class")
    def old(self, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "write_images", lambda *_: None)
            out = tmp_path_factory.mktemp("runs") / "old"
            train(data / "old.yaml", out, quiet=True, **set_values(TINY, {"epochs": 12, "batch_size": 2, "ema": 0.9}))
        return out

    def more(self, data: Path, old: Path, out: Path, **changes: Any) -> Scores:
        """Train on green alone from the old network; score all three names."""
        own = {key: TINY[key] for key in ("epochs", "batch_size", "lr", "augment", "workers", "accelerator")}
        settings = {"epochs": 14, "batch_size": 2, "ema": 0.9, "lr": 0.005, "init": str(old), **changes}
        train(data / "more.yaml", out, quiet=True, **set_values(own, settings))
        kept = load_checkpoint(out / "last")
        spec = DataSpec.load(data / "data.yaml")
        order = np.array([OLD.index(name) for name in kept.classes.names])
        model = Model.load(out / "last")

        class Renamed:
            def classes(self, images: Any) -> Any:
                return order[np.stack([model.mask(image) for image in images])]

        return evaluate_split(Renamed(), spec.samples("val"), spec, progress=False)

    def test_a_name_more_and_none_forgotten(self, data: Path, old: Path, tmp_path: Path) -> None:
        scores = self.more(data, old, tmp_path / "more")
        log = (tmp_path / "more" / "train.log").read_text()
        assert "tensors carried over" in log
        assert "2 names of the network that this run goes on from are kept: red, blue" in log
        assert min(value for value in scores.iou.values() if value is not None) > 0.5
        kept = load_checkpoint(tmp_path / "more")
        assert kept.classes.names == ("red", "blue", "green")
        assert kept.provenance["kept"] == ["red", "blue"]
        assert kept.provenance["config"]["init"] == "old"
        without = self.more(data, old, tmp_path / "without", **{"loss.teacher": 0.0})
        assert without.iou != scores.iou  # the teacher has a say

    def test_a_stopped_run_equals_an_uninterrupted_one_and_does_not_need_its_origin(
        self, data: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(old, tmp_path / "origin")
        settings: dict[str, Any] = {"freeze": ["backbone"], "epochs": 3}
        whole = self.more(data, tmp_path / "origin", tmp_path / "whole", **settings)
        begin = TrainModule.on_train_epoch_start

        def stop(module: TrainModule) -> None:
            if module.current_epoch == 1:
                raise InputError("enough")
            begin(module)

        monkeypatch.setattr(TrainModule, "on_train_epoch_start", stop)
        with pytest.raises(InputError, match="enough"):
            self.more(data, tmp_path / "origin", tmp_path / "run", **settings)
        monkeypatch.undo()
        monkeypatch.setattr(room, "write_images", lambda *_: None)
        shutil.rmtree(tmp_path / "origin")
        train(out=tmp_path / "run", resume=True, quiet=True)
        paths = [out / "last" / "model.safetensors" for out in (tmp_path / "whole", tmp_path / "run")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
        frozen, began = (load_checkpoint(path).segmentor.backbone.state_dict() for path in (tmp_path / "run", old))
        assert all(torch.equal(value, began[key]) for key, value in frozen.items())
        assert whole.miou > 0

    def test_a_run_that_keeps_no_names_goes_on_without_its_origin(self, data: Path, old: Path, tmp_path: Path) -> None:
        origin = shutil.copytree(old, tmp_path / "origin")
        train(data, tmp_path / "run", quiet=True, **set_values(TINY, {"init": str(origin), "epochs": 1}))
        shutil.rmtree(origin)
        assert train(out=tmp_path / "run", resume=True, quiet=True, epochs=2).epoch == 2

    @pytest.mark.parametrize("other", ["gone", "trained again"])
    def test_a_run_that_stopped_in_its_first_epoch_does_not_need_its_origin(
        self, data: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
    ) -> None:
        origin, run = tmp_path / "origin", tmp_path / "run"
        shutil.copytree(old, origin)
        self.more(data, origin, tmp_path / "whole", epochs=1)

        def stop(*_: Any) -> None:
            raise InputError("enough")

        monkeypatch.setattr(TrainModule, "on_train_epoch_start", stop)
        with pytest.raises(InputError, match="enough"):
            self.more(data, origin, run, epochs=1)
        monkeypatch.undo()
        monkeypatch.setattr(room, "write_images", lambda *_: None)
        shutil.rmtree(origin)
        if other != "gone":
            kept = load_checkpoint(old)
            with torch.no_grad():
                for value in kept.segmentor.parameters():
                    value.add_(0.1)
            save_checkpoint(origin, kept)
        train(out=run, resume=True, quiet=True)
        paths = [out / "last" / "model.safetensors" for out in (tmp_path / "whole", run)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
