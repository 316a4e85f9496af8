"""Folders for runtimes that read no .onnx file: converted, run, compared; whole or not there at all."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from bridgeseg.api import export  # noqa: E402
from bridgeseg.cli import main  # noqa: E402
from bridgeseg.errors import ConfigError, InputError, MissingDependencyError, ModelFileError  # noqa: E402
from bridgeseg.exporting.converting import FACTS, target_of  # noqa: E402
from bridgeseg.exporting.plain import export_plain  # noqa: E402
from bridgeseg.exporting.targets import TARGETS, Run, Target, register_target  # noqa: E402
from bridgeseg.runtime.onnx_runtime import OnnxRuntime  # noqa: E402
from tiny_onnx import photo, write_network  # noqa: E402

SIZE = (64, 96)
NAMES = ("openvino", "ncnn", "litert", "executorch", "coreml")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("small") / "small.onnx")


def skip_without(name: str) -> None:
    for package in TARGETS.get(name).packages:
        if find_spec(package) is None:
            pytest.skip(f"{name} needs the package {package}, which is not installed")


class Copied(Target):
    """Keeps the plain file and runs it in ONNX Runtime."""

    title, packages = "the copying runtime", ("onnx",)

    def convert(self, plain: Path, folder: Path) -> None:
        (folder / "copy.onnx").write_bytes(plain.read_bytes())

    def open(self, folder: Path) -> Run | None:
        return OnnxRuntime(folder / "copy.onnx").classes


@pytest.fixture
def copied() -> str:
    if "copied" not in TARGETS:
        register_target("copied")(Copied)
    return "copied"


def test_every_target_is_known_by_name() -> None:
    assert [name for name in TARGETS.names() if name in NAMES] == sorted(NAMES)
    for name in NAMES:
        assert TARGETS.get(name).extra == name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_model_is_converted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip_without(name)
    out = tmp_path / "converted"
    words = ["export", "--model", "street", "--to", name, "--size", "64x96", "--out", str(out), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    facts = json.loads((out / FACTS).read_text(encoding="utf-8"))
    run = TARGETS.get(name)().open(out)
    assert (told["agreement"] is None) == (run is None)
    assert facts["agreement"] == told["agreement"]
    assert (facts["target"], facts["image"]["size"], len(facts["classes"]["names"])) == (name, [*SIZE], 11)
    assert told["bytes"] > 5_000_000
    if run is not None:
        plain = tmp_path / "plain.onnx"
        export_plain("street", plain, size=SIZE)
        image = photo(3, *SIZE)[None]
        assert np.mean(np.asarray(run(image)) == OnnxRuntime(plain).classes(image)) > 0.995


def test_a_target_of_a_package(small: Path, tmp_path: Path, copied: str) -> None:
    out = tmp_path / "new" / "folder"
    done = export(small, out, to=copied, size=SIZE)
    assert sorted(path.name for path in out.iterdir()) == [FACTS, "copy.onnx"]
    assert (done.path, done.agreement) == (out, 1.0)
    assert done.bytes == sum(path.stat().st_size for path in out.iterdir())
    export(small, out, to=copied, size=(32, 32))
    assert json.loads((out / FACTS).read_text(encoding="utf-8"))["image"]["size"] == [32, 32]
    assert [path.name for path in out.parent.iterdir()] == ["folder"]


def test_what_gives_other_ids_is_not_written(
    small: Path, tmp_path: Path, copied: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @register_target("shifted")
    class Shifted(Copied):
        def open(self, folder: Path) -> Run | None:
            run = OnnxRuntime(folder / "copy.onnx").classes
            return lambda image: np.roll(run(image), 9, axis=2)

    out = tmp_path / "folder"
    export(small, out, to=copied, size=SIZE)
    before = (out / FACTS).read_bytes()
    with pytest.raises(ModelFileError, match=r"ONNX Runtime's ids on \d+\.\d\d% of the pixels"):
        export(small, out, to="shifted", size=SIZE)
    assert (out / FACTS).read_bytes() == before
    assert main(["export", "-m", str(small), "--to", "shifted", "--size", "64", "-o", str(tmp_path / "other")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_converter_that_fails_and_a_runtime_that_is_elsewhere(small: Path, tmp_path: Path) -> None:
    @register_target("failing")
    class Failing(Copied):
        def convert(self, plain: Path, folder: Path) -> None:
            super().convert(plain, folder)
            raise RuntimeError("no such layer")

    @register_target("elsewhere")
    class Elsewhere(Copied):
        def open(self, folder: Path) -> Run | None:
            return None

    with pytest.raises(ModelFileError, match="cannot be made for the copying runtime: no such layer"):
        export(small, tmp_path / "folder", to="failing", size=SIZE)
    assert not list(tmp_path.iterdir())
    assert export(small, tmp_path / "folder", to="elsewhere", size=SIZE).agreement is None


def test_mistakes(small: Path, tmp_path: Path, copied: str) -> None:
    out = tmp_path / "folder"

    def refused(message: str, kind: type[InputError] = ConfigError, **given: Any) -> None:
        with pytest.raises(kind, match=message):
            export(small, **({"out": out, "to": copied, "size": SIZE} | given))

    refused("no target 'openvin'; did you mean 'openvino'", to="openvin")
    refused("images of one size, and none is given", size=None)
    refused("`logits` is of .onnx files", logits=True)
    refused("`layout` is of .onnx files", layout="nchw")
    refused("a converted model is a folder of files", InputError, out=tmp_path / "a.onnx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.txt").write_text("mine")
    refused("this folder holds something else", InputError, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "photo.txt").read_text() == "mine"
    with pytest.raises(ModelFileError, match="this one has 8 bits"):
        export("street-int8", out, to=copied, size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_a_target_decides_is_left_out(small: Path, tmp_path: Path, copied: str) -> None:
    wrong: dict[str, Any] = {"logits": True, "layout": "nchw", "input": "float", "plain": True, "confidence": True}
    given: dict[str, Any] = {"out": tmp_path / "folder", "to": copied, "size": SIZE, **wrong}
    while wrong:
        with pytest.raises(ConfigError, match="leave `") as caught:
            export(small, **given)
        name = str(caught.value.fix).split("`")[1]
        del wrong[name], given[name]
    assert export(small, **given).agreement == 1.0


def test_8_bits_are_refused(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "-m", str(small), "--int8", "--calibrate", str(tmp_path), "--to", "openvino", "--size", "64"]
    assert main([*words, "-o", str(tmp_path / "folder")]) == 2
    assert "other runtimes have 8 bits of their own" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_told_with_the_command_that_installs_it(name: str) -> None:
    if all(find_spec(package) is not None for package in TARGETS.get(name).packages):
        pytest.skip(f"the packages of {name} are installed")
    with pytest.raises(MissingDependencyError, match=rf"pip install 'bridgeseg\[{name}\]'"):
        target_of(name)


def test_a_missing_package_of_another_target() -> None:
    @register_target("unheard")
    class Unheard(Copied):
        packages = ("onnx", "no_such_package")

    with pytest.raises(MissingDependencyError, match="pip install no_such_package"):
        target_of("unheard")
