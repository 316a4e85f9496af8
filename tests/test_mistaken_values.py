"""Values of another kind than functions take: one for a list of one is taken, others are refused in plain words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bridgeseg
from bridgeseg.errors import InputError
from bridgeseg.settings.benchmark import Benchmark
from bridgeseg.settings.compare import Compare
from bridgeseg.settings.evaluate import Evaluate

CALLS: dict[str, Callable[[Path], object]] = {
    "out: is empty": lambda file: bridgeseg.train("data.yaml", out=""),
    "config: settings are a mapping, or a file of them, found int": lambda file: bridgeseg.train(config=3),  # type: ignore[arg-type]
    "unknown key 'epoch'; did you mean 'epochs'": lambda file: bridgeseg.train("d", config={"epoch": 3}),
    "scales are numbers from 0.01 to 16": lambda file: bridgeseg.evaluate(file, "d", scales=[1000]),
    "found NoneType": lambda file: bridgeseg.predict(None, model=file),  # type: ignore[arg-type]
    "found int": lambda file: bridgeseg.predict(5, model=file),  # type: ignore[arg-type]
    "a file name, a Pillow image or an array, found NoneType": lambda file: list(bridgeseg.load(file).stream(None)),  # type: ignore[arg-type]
    "no dataset to check": lambda _: bridgeseg.check([]),
    "one dataset is evaluated on at a time, found 2": lambda file: bridgeseg.evaluate(file, ["a", "b"]),  # type: ignore[arg-type]
    "a size is .height, width. in pixels, found 64": lambda file: bridgeseg.benchmark(file, sizes=[64]),  # type: ignore[list-item]
    "in pixels, found '64'": lambda file: bridgeseg.benchmark(file, sizes=["64"]),  # type: ignore[list-item]
    "at least one thread is needed, found '2'": lambda file: bridgeseg.load(file, threads="2"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("message", CALLS)
def test_other_kinds_are_refused_in_words(message: str, rgb_onnx: Path) -> None:
    with pytest.raises(InputError, match=message):
        CALLS[message](rgb_onnx)


@pytest.mark.slow
def test_a_training_on_no_dataset(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    with pytest.raises(InputError, match="no dataset given"):
        bridgeseg.train([], out=tmp_path / "run")


def test_a_type_that_numpy_lacks() -> None:
    torch = pytest.importorskip("torch")
    image = torch.zeros(8, 9, 3, dtype=torch.bfloat16)
    with pytest.raises(InputError, match="BFloat16") as caught:
        bridgeseg.predict(image)
    converted = eval(str(caught.value.fix).rpartition(": ")[2], {"image": image})
    assert bridgeseg.load().predict(converted).mask.shape == (8, 9)


def test_one_number_is_a_list_of_it() -> None:
    assert Benchmark(threads=1, runtimes="onnxruntime, openvino").threads == [1]
    assert Benchmark(runtimes="onnxruntime, openvino").runtimes == ["onnxruntime", "openvino"]
    assert (Compare(methods="none").methods, Compare(backbones="a,b").backbones) == (["none"], ["a", "b"])
    assert (Compare(seeds=0).seeds, Compare(fractions=0.5).fractions) == ([0], [0.5])
    assert Evaluate(scales=2.0).scales == [2.0]
