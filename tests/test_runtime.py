from __future__ import annotations

import errno
import itertools
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import bridgeseg
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, DataError, InputError, ModelFileError, NetworkError, advising
from bridgeseg.predicting.batch import Batch
from bridgeseg.predicting.writer import Writer
from bridgeseg.reading.sources import Failure
from bridgeseg.runtime.model import BUNDLED, Model
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import Record
from bridgeseg.settings.predict import Predict

MakeOnnx = Callable[..., Path]
PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


@pytest.fixture(scope="module")
def model(rgb_onnx: Path) -> Model:
    return Model.load(rgb_onnx, threads=1)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


class TestRuntime:
    @settings(deadline=None, max_examples=25)
    @given(pixels=PIXELS)
    def test_classes_and_logits(self, model: Model, pixels: np.ndarray) -> None:
        batch = np.stack([pixels, pixels[::-1]])
        ids = model.runtime.classes(batch)
        assert ids.dtype == np.uint8
        np.testing.assert_array_equal(ids, batch.argmax(axis=3))
        np.testing.assert_array_equal(model.runtime.logits(batch), np.moveaxis(batch.astype(np.float32), 3, 1))

    def test_logits_of_a_file_without_them(self, make_onnx: MakeOnnx) -> None:
        with pytest.raises(ModelFileError, match="no logits") as caught:
            OnnxRuntime(make_onnx()).logits(np.zeros((1, 2, 2, 3), np.uint8))
        assert "--logits" in str(caught.value.fix)

    def test_threads(self, rgb_onnx: Path) -> None:
        with pytest.raises(ConfigError, match="at least one thread"):
            OnnxRuntime(rgb_onnx, threads=0)

    def test_failure_inside_the_network_is_an_input_error(self, rgb_onnx: Path) -> None:
        with pytest.raises(InputError, match="ONNX Runtime failed on a batch of 1x2x2"):
            OnnxRuntime(rgb_onnx).classes(np.zeros((1, 2, 2, 4), np.uint8))

    def test_the_fix_is_what_can_be_changed_there(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> Any:
            raise MemoryError("out of memory")

        monkeypatch.setattr(type(model.runtime), "_run", fail)
        image, large = np.zeros((64, 64, 3), np.uint8), np.zeros((1024, 1024, 3), np.uint8)
        for call, fix in (
            (lambda: model.runtime.classes(image[None]), "smaller images, or fewer at a time"),
            (lambda: model.mask(large, memory=200), "`memory=100`"),  # in tiles, and in smaller ones
            (lambda: model.mask(large), "`memory=123`"),  # in one piece of 247 MB, and in tiles
            (lambda: model.logits(large), "`memory=123`"),
            (lambda: model.mask(image), "smaller images"),
            (lambda: model.mask(image, window=(32, 48)), "`window=16`"),
        ):
            with pytest.raises(NetworkError, match="failed on a batch") as caught:
                call()
            assert fix in str(caught.value.fix)
        with pytest.raises(NetworkError) as caught, advising("do it elsewhere"):
            model.mask(image)
        assert caught.value.fix == "if memory ran out, do it elsewhere"

    def test_a_file_that_memory_is_missing_for_is_not_damaged(
        self, rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def session(*_: Any, **__: Any) -> None:
            raise RuntimeError("Load model from a.onnx failed:std::bad_alloc")

        monkeypatch.setattr("onnxruntime.InferenceSession", session)
        with pytest.raises(ModelFileError, match="bad_alloc") as caught:
            OnnxRuntime(rgb_onnx)
        assert "more memory" in str(caught.value.fix)

    @pytest.mark.slow
    def test_loading_leaves_the_descriptors_of_the_process_alone(self, rgb_onnx: Path) -> None:
        code = f"import os\nos.dup2 = os.dup = lambda *_: 1 / 0\nimport bridgeseg\nbridgeseg.load({str(rgb_onnx)!r})\n"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")


class TestLoad:
    def test_what_the_file_says(self, rgb_onnx: Path) -> None:
        model = bridgeseg.load(rgb_onnx)
        assert model.classes.names == ("red", "green", "blue")
        assert model.provenance == {"method": "rule", "seed": 0}
        facts = model.describe()
        assert json.loads(json.dumps(facts)) == facts
        assert facts["bytes"] == rgb_onnx.stat().st_size
        assert facts["classes"][1] == {"id": 1, "name": "green", "colour": [30, 180, 60], "prompts": ["green"]}
        assert facts["inputs"] == [{"name": "image", "type": "uint8", "shape": ["batch", "height", "width", 3]}]
        assert [node["name"] for node in facts["outputs"]] == ["classes", "logits"]

    def test_provenance_may_be_missing(self, make_onnx: MakeOnnx) -> None:
        assert Model.load(make_onnx(metadata={"bridgeseg.provenance": None})).provenance == {}

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"metadata": {"bridgeseg.format": None}}, r"not a bridgeseg file.*producer 'tests'.*image uint8"),
            ({"metadata": {"bridgeseg.format": "2"}}, "format '2'"),
            ({"metadata": {"bridgeseg.classes": None}}, "no `bridgeseg.classes`"),
            ({"metadata": {"bridgeseg.classes": "{"}}, "no JSON"),
            ({"metadata": {"bridgeseg.classes": "[1]"}}, "JSON object, found list"),
            ({"metadata": {"bridgeseg.classes": "{}"}}, "`bridgeseg.classes`: not a description"),
            ({"metadata": {"bridgeseg.provenance": "3"}}, "JSON object, found int"),
            ({"classes": ClassSet.build(["a", "b"]), "logits": True}, r"names 2 classes.*\(B, 2, H, W\).*'batch', 3"),
            ({"input_type": "DOUBLE"}, r"uint8 or float \(B, H, W, 3\).*found `image`, double"),
            ({"input_shape": ("b", 4, "h", "w")}, r"found `image`, uint8 \['b', 4, 'h', 'w'\]"),
            ({"input_shape": (1, 64, "w", 3)}, "B, H and W free or"),
            ({"output_type": "INT64"}, "output `classes`, uint8"),
            ({"classes": ClassSet.build([f"c{k}" for k in range(300)]), "output_type": "UINT8"}, "uint16"),
        ],
    )
    def test_files_that_are_not_as_promised(self, make_onnx: MakeOnnx, options: dict[str, Any], text: str) -> None:
        path = make_onnx(**options)
        with pytest.raises(ModelFileError, match=text) as caught:
            Model.load(path)
        assert caught.value.where == path
        assert caught.value.fix

    @pytest.mark.parametrize(("content", "text"), [(b"", "empty"), (b"not protobuf" * 20, "cannot load")])
    def test_files_that_are_no_onnx(self, tmp_path: Path, content: bytes, text: str) -> None:
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match=text):
            Model.load(tmp_path / "a.onnx")

    @pytest.mark.slow  # imports torch
    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="no such model file"):
            Model.load(tmp_path / "a.onnx")
        with pytest.raises(ModelFileError, match="a folder"):
            OnnxRuntime(tmp_path)
        with pytest.raises(ModelFileError, match="no checkpoint"):
            Model.load(tmp_path)

    @pytest.mark.parametrize("location", ["../weights.bin", "/weights.bin"])
    def test_weights_outside_the_folder_are_refused(self, make_onnx: MakeOnnx, tmp_path: Path, location: str) -> None:
        onnx = pytest.importorskip("onnx")
        path = make_onnx()
        content = onnx.load(path)
        weights = onnx.helper.make_tensor("shift", onnx.TensorProto.FLOAT, [1], [0.0])
        del weights.float_data[:]
        weights.data_location = onnx.TensorProto.EXTERNAL
        entry = weights.external_data.add()
        entry.key, entry.value = "location", location if location[0] == "." else f"{tmp_path}{location}"
        (tmp_path / "weights.bin").write_bytes(bytes(4))
        content.graph.initializer.append(weights)
        content.graph.node[1].input[0] = "shifted"
        content.graph.node.insert(1, onnx.helper.make_node("Add", ["floats", "shift"], ["shifted"]))
        path.write_bytes(content.SerializeToString())
        with pytest.raises(ModelFileError, match="External data") as caught:
            Model.load(path)
        assert "its own weights" in str(caught.value.fix)

    def test_bundled_model_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert BUNDLED.parts[-3:] == ("bridgeseg", "weights", "street-int8.onnx")
        monkeypatch.setattr("bridgeseg.runtime.processor.SHIPPED", tmp_path)
        with pytest.raises(ModelFileError, match="bundled model is missing"):
            bridgeseg.load()

    @pytest.mark.slow
    def test_bundled_models_by_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_onnx: MakeOnnx) -> None:
        monkeypatch.chdir(tmp_path)
        assert Model.load("street").path == BUNDLED.with_name("street.onnx")
        assert Model.load("street-int8").path == BUNDLED
        for unknown in ("strasse", "./street", "../street"):
            with pytest.raises(ModelFileError, match="no such model file"):
                Model.load(unknown)
        make_onnx().rename(tmp_path / "street")
        assert Model.load("street").path == Path("street")

    def test_ids_that_are_no_class(self, make_onnx: MakeOnnx) -> None:
        model = Model.load(make_onnx(classes=ClassSet.build(["red", "green"])))
        with pytest.raises(ModelFileError, match="class id 2, but its metadata names 2"):
            model.predict(np.full((2, 2, 3), (0, 0, 9), np.uint8))

    def test_more_than_256_classes(self, make_onnx: MakeOnnx, tmp_path: Path) -> None:
        model = Model.load(make_onnx(classes=ClassSet.build([f"c{k}" for k in range(766)]), rule="sum"))
        result = model.predict(np.full((2, 2, 3), 200, np.uint8))
        assert result.mask.dtype == np.uint16
        assert result.areas() == {"c600": 1.0}
        record = result.save(tmp_path / "out")
        assert np.unique(np.asarray(Image.open(record.mask))).tolist() == [600]


def test_what_is_decided_when_a_model_is_loaded(rgb_onnx: Path) -> None:
    model = Model.load(rgb_onnx, 1)
    for options in ({"threads": 2}, {"runtime": "openvino"}, {"compile": True}, {"embeddings": "a.safetensors"}):
        (name,) = options
        with pytest.raises(ConfigError, match=f"^{name}: (is decided when|are vectors of)"):
            bridgeseg.predict("a.png", model=model, **options)
    assert Model.of(model) is model


class TestPredict:
    def test_file_pillow_image_and_array_agree(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", stripes)
        results = [model.predict(source) for source in (path, str(path), Image.fromarray(stripes), stripes)]
        for result in results:
            np.testing.assert_array_equal(result.mask, stripes.argmax(axis=2))
            np.testing.assert_array_equal(result.image, stripes)
            assert result.areas() == pytest.approx({"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3})
        assert [result.source for result in results] == [path, path, None, None]

    @settings(deadline=None, max_examples=40)
    @given(pixels=PIXELS, max_size=st.integers(1, 20))
    def test_max_size_keeps_the_size(self, model: Model, pixels: np.ndarray, max_size: int) -> None:
        result = model.predict(pixels, max_size=max_size)
        assert result.mask.shape == pixels.shape[:2]
        assert sum(result.areas().values()) == pytest.approx(1)
        if max(pixels.shape) <= max_size:
            np.testing.assert_array_equal(result.mask, pixels.argmax(axis=2))

    def test_max_size_puts_classes_where_they_are(self, model: Model, stripes: np.ndarray) -> None:
        mask = model.predict(stripes, max_size=30).mask
        assert (mask == stripes.argmax(axis=2)).mean() > 0.95

    def test_what_is_refused(self, model: Model, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            model.predict(tmp_path / "a.png")
        with pytest.raises(DataError, match="float64"):
            model.predict(np.zeros((2, 2, 3)))
        with pytest.raises(ConfigError, match="max_size"):
            model.predict(np.zeros((2, 2, 3), np.uint8), max_size=0)

    def test_stream_goes_on_after_a_failure(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        save(tmp_path / "a.png", stripes)
        (tmp_path / "b.png").write_text("no picture")
        save(tmp_path / "c.png", stripes)
        items = list(model.stream([tmp_path, tmp_path / "missing.png", np.zeros((2, 2)), stripes]))
        assert [type(item) for item in items] == [Result, Failure, Result, Failure, Failure, Result]
        assert [item.source and item.source.name for item in items] == [
            "a.png",
            "b.png",
            "c.png",
            "missing.png",
            None,
            None,
        ]

    def test_stream_is_lazy(self, model: Model, stripes: np.ndarray) -> None:
        endless = itertools.repeat(stripes)
        results = model.stream(endless)
        assert isinstance(next(results), Result)
        assert isinstance(next(results), Result)

    def test_stream_stops_for_what_is_wrong_with_every_picture(self, make_onnx: MakeOnnx, stripes: np.ndarray) -> None:
        model = Model.load(make_onnx(classes=ClassSet.build(["red"])))
        with pytest.raises(ModelFileError):
            list(model.stream(stripes))


class TestWriter:
    def test_save(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        record = model.predict(save(tmp_path / "in" / "a.b.png", stripes)).save(tmp_path / "new" / "out")
        assert record.mask == tmp_path / "new" / "out" / "a.b_mask.png"
        assert record.overlay == tmp_path / "new" / "out" / "a.b_overlay.jpg"
        with Image.open(record.mask) as mask, Image.open(record.overlay) as overlay:
            np.testing.assert_array_equal(np.asarray(mask), stripes.argmax(axis=2))
            assert overlay.width >= 60
        assert sorted(path.name for path in record.mask.parent.iterdir()) == ["a.b_mask.png", "a.b_overlay.jpg"]
        facts = record.to_dict()
        assert list(facts) == ["source", "mask", "overlay", "width", "height", "areas"]
        assert (facts["width"], facts["height"]) == (60, 40)
        assert sum(facts["areas"].values()) == pytest.approx(1, abs=1e-5)
        json.dumps(facts)

    def test_same_names_do_not_collide(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        for name in ("a/x.png", "b/x.png", "b/X.bmp", "b/x-2.png"):
            save(tmp_path / name, stripes)
        records = bridgeseg.predict([tmp_path / "a" / "x.png", tmp_path / "b"], model, out=tmp_path / "out")
        masks = [record.mask for record in records if isinstance(record, Record)]
        assert [path.name for path in masks] == ["x_mask.png", "X-2_mask.png", "x-2-2_mask.png", "x-3_mask.png"]
        assert all(path.is_file() for path in masks)

    def test_subfolders_are_kept(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        for name in ("in/x.png", "in/deep/x.png"):
            save(tmp_path / name, stripes)
        bridgeseg.predict(tmp_path / "in", model, tmp_path / "out", recursive=True, overlay=False)
        written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
        assert written == ["deep/x_mask.png", "x_mask.png"]

    def test_inputs_are_never_replaced(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        names = ("a.png", "a_mask.png", "a_overlay.jpg", "a-2_mask.png")
        before = {name: save(tmp_path / name, stripes).read_bytes() for name in names}
        bridgeseg.predict([tmp_path / name for name in names], model, out=tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in names} == before
        assert (tmp_path / "a-3_mask.png").is_file()
        bridgeseg.predict(f"{tmp_path}/a*.[pj][np]g", model, out=tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in names} == before

    def test_a_second_run_replaces_the_first(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", stripes)
        first, second = (bridgeseg.predict(path, model, out=tmp_path / "out")[0] for _ in range(2))
        assert first == second
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_out_may_not_be_the_folder_of_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot go into a folder of images"):
            Batch(Predict(sources=tmp_path, out=tmp_path / "." / ""))

    def test_out_inside_the_searched_folder_is_not_searched(
        self, model: Model, stripes: np.ndarray, tmp_path: Path
    ) -> None:
        save(tmp_path / "a.png", stripes)
        for _ in range(2):
            assert len(bridgeseg.predict(tmp_path, model, tmp_path / "out", recursive=True)) == 1

    def test_out_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")
        with pytest.raises(InputError, match="this is a file"):
            Writer(tmp_path / "out")

    def test_full_disk_leaves_nothing(
        self, model: Model, stripes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: Image.Image, file: Any, *arguments: Any, **options: Any) -> None:
            Path(file).write_bytes(b"the first half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(InputError, match="No space left") as caught:
            model.predict(stripes).save(tmp_path / "out")
        assert caught.value.where == tmp_path / "out" / "image_mask.png"
        assert list((tmp_path / "out").iterdir()) == []

    def test_folder_that_cannot_be_made(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot be written"):
            model.predict(stripes).save(tmp_path / "file" / "out")

    def test_long_names_are_cut(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        paths = [save(tmp_path / f"{'ä' * 120}{index}.png", stripes) for index in range(2)]
        records = bridgeseg.predict(paths, model, out=tmp_path / "out")
        assert len({record.mask for record in records if isinstance(record, Record)}) == 2
        (record,) = bridgeseg.predict(save(tmp_path / f"x{'é' * 120}.png", stripes), model, out=tmp_path / "out")
        assert record.mask.name.encode().decode() == record.mask.name

    def test_what_is_no_picture(self, model: Model) -> None:
        with pytest.raises(DataError, match="found a list"):
            model.predict([1, 2])

    @pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
    def test_files_have_ordinary_permissions(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        (tmp_path / "plain").write_text("")
        mask = model.predict(stripes).save(tmp_path / "out").mask
        assert mask.stat().st_mode == (tmp_path / "plain").stat().st_mode

    def test_very_long_overlay_is_png(self, tmp_path: Path) -> None:
        classes = ClassSet.build(["a"])
        result = Result(np.zeros((1, 70_000, 3), np.uint8), np.zeros((1, 70_000), np.uint8), classes)
        record = result.save(tmp_path)
        assert record.overlay == tmp_path / "image_overlay.png"


class TestApi:
    def test_results_and_records(self, model: Model, stripes: np.ndarray, rgb_onnx: Path, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", stripes)
        (result,) = bridgeseg.predict(path, rgb_onnx, threads=1)
        assert isinstance(result, Result)
        records = bridgeseg.predict([path, tmp_path / "b.png", stripes], model, out=tmp_path / "out", overlay=False)
        assert [type(item) for item in records] == [Record, Failure, Record]
        assert records[0].overlay is None  # type: ignore[union-attr]

    def test_nothing_done_is_an_error(self, model: Model, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            bridgeseg.predict(tmp_path / "a.png", model)
        with pytest.raises(InputError, match="no images were given"):
            bridgeseg.predict([], model, out=tmp_path / "out")
        with pytest.raises(InputError, match="found int"):
            bridgeseg.predict([3], model)  # type: ignore[list-item]

    @pytest.mark.slow
    def test_missing_train_extra(self, tmp_path: Path) -> None:
        code = (
            "import sys\nsys.modules['torch'] = None\n"
            "import bridgeseg\nfrom bridgeseg.errors import MissingDependencyError\n"
            "for name in ('train', 'evaluate', 'export', 'compare'):\n"
            "    try:\n        getattr(bridgeseg, name)('.', 'out')\n"
            "    except MissingDependencyError as error:\n        print(name, error)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        words = "needs the package 'torch', which is not installed\n  fix: pip install 'bridgeseg[train]'\n"
        whose = {"train": "this", "evaluate": "the runtime 'torch'", "export": "this", "compare": "this"}
        assert done.stdout == "".join(f"{name} {what} {words}" for name, what in whose.items())

    def test_no_module_bears_a_function_s_name(self) -> None:
        functions = {name for name in bridgeseg.__all__ if name.islower()} - {"__version__"}
        modules = {module.name for module in pkgutil.iter_modules(bridgeseg.__path__)}
        assert not functions & modules

    def test_names(self) -> None:
        assert set(bridgeseg.__all__) <= set(dir(bridgeseg))
        assert all(getattr(bridgeseg, name) is not None for name in bridgeseg.__all__)
        with pytest.raises(AttributeError, match="nothing"):
            bridgeseg.nothing  # noqa: B018
