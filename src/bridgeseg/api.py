"""What `import bridgeseg` offers: load, predict, check, train, evaluate, export, compare."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, overload

from bridgeseg.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from bridgeseg.checking.report import Report
    from bridgeseg.predicting.video_writer import VideoRecord
    from bridgeseg.reading.loading import ImageInput
    from bridgeseg.reading.sources import Failure
    from bridgeseg.runtime.model import Model
    from bridgeseg.runtime.result import Result
    from bridgeseg.runtime.saving import Record


def load(
    path: str | Path | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
) -> Model:
    """Load a model.

    Args:
        path: an .onnx file written by `bridgeseg export`, or a checkpoint or run folder (which needs the train extra);
            None for the bundled street-scene model.
        threads: number of CPU threads; None for one per core.
        runtime: what runs it: `onnxruntime` (the default) or `openvino` for a file, `torch` for a folder.
        compile: of a folder, let `torch.compile` translate the network at the first picture.

    Raises:
        ModelFileError: there is no such file, or it cannot be used.
        MissingDependencyError: a folder was given and PyTorch is not installed, or the runtime is not.
        ConfigError: a runtime that does not exist or does not go with what was given.
    """
    from bridgeseg.runtime.model import Model

    return Model.load(path, threads, runtime, compile)


@overload
def predict(
    sources: ImageInput | Iterable[ImageInput], model: str | Path | Model | None = ..., out: None = ..., **options: Any
) -> list[Result | Failure]: ...
@overload
def predict(
    sources: ImageInput | Iterable[ImageInput], model: str | Path | Model | None, out: str | Path, **options: Any
) -> list[Record | VideoRecord | Failure]: ...
@overload
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = ...,
    *,
    out: str | Path,
    **options: Any,
) -> list[Record | VideoRecord | Failure]: ...
def predict(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    out: str | Path | None = None,
    *,
    recursive: bool = False,
    overlay: bool = True,
    masks: bool = False,
    codec: str = "libx264",
    threads: int | None = None,
    **options: Any,
) -> list[Result | Failure] | list[Record | VideoRecord | Failure]:
    """Segment pictures and videos.

    Args:
        sources: one or many files, folders, globs, videos, Pillow images, uint8 RGB arrays (H, W, 3).
        model: a model, or what `load` takes.
        out: write masks and overlays into this folder.
        recursive: search the subfolders of folders.
        overlay: with `out`, write overlays too.
        masks: with `out`, write the masks of the frames of videos too.
        codec: with `out`, FFmpeg's name of an encoder, for overlays of videos.
        threads: as in `load`.
        options: `max_size`, `max_pixels`, `memory`, `every` and `max_fps`, as in `Model.stream`.

    Returns:
        With `out`, for each picture a Record of what was written, and for each video a VideoRecord; without, the Result
        of each picture and frame (all of them in memory: for very many pictures or videos use `load().stream(...)`). A
        picture that cannot be read is a Failure in the list.

    Raises:
        InputError: not one picture could be read, the model cannot be used, or the results cannot be written.
    """
    from bridgeseg.predicting.batch import Batch
    from bridgeseg.reading.loading import as_list
    from bridgeseg.reading.sources import Failure
    from bridgeseg.runtime.model import Model

    pictures = as_list(sources)
    batch = (
        None if out is None else Batch(pictures, out, recursive=recursive, overlay=overlay, masks=masks, codec=codec)
    )
    network = model if isinstance(model, Model) else load(model, threads=threads)
    done: list[Any] = list(
        network.stream(pictures, recursive=recursive, **options) if batch is None else batch.run(network, **options)
    )
    if done and all(isinstance(item, Failure) for item in done):
        raise done[0].error
    return done


def check(data: str | Path, **options: Any) -> Report:
    """Look for everything that is wrong with a dataset; options as in `bridgeseg.checking.check.check`.

    Raises:
        InputError: a mistake in the options, or a result cannot be written. What is wrong with the dataset is
            not raised but in the report.
    """
    from bridgeseg.checking.check import check

    return check(data, **options)


def train(**options: Any) -> Any:
    """Train a network on a dataset; options as in `bridgeseg.training.fit.train`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.training.fit").train(**options)


def evaluate(**options: Any) -> Any:
    """Score a model on a split of a dataset; options as in `bridgeseg.evaluating.evaluate.evaluate`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.evaluating.evaluate").evaluate(**options)


def export(**options: Any) -> Any:
    """Write a checkpoint as one .onnx file; options as in `bridgeseg.exporting.onnx.export`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.exporting.onnx").export(**options)


def quantize(model: str | Path, out: str | Path, calibrate: str | Path, **options: Any) -> Any:
    """Write an exported file as an 8-bit file; options as in `bridgeseg.exporting.quantize.quantize`.

    Raises:
        MissingDependencyError: the package onnx (extra `int8`) is not installed.
    """
    room = import_module_of_train_extra("bridgeseg.exporting.quantize", "int8")
    return room.quantize(model, out, calibrate, **options)


def export_int8(
    model: str | Path,
    out: str | Path,
    calibrate: str | Path,
    *,
    logits: bool = False,
    approximate: bool = False,
    data: str | Path | None = None,
    split: str = "val",
    threads: int | None = None,
    quiet: bool = True,
    report: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Write a checkpoint folder or an exported file as an 8-bit file, and compare the two.

    Args:
        model: a checkpoint or run folder (which needs the train extra), or an .onnx file or a bundled one's name (which
            do not).
        out, calibrate: as in `quantize`.
        logits, approximate: of a folder, as in `bridgeseg.exporting.onnx.export`.
        data, split, threads, quiet: as in `bridgeseg.exporting.int8_report.compare`.
        report: compare them; without, only `quantisation` is returned.
        options: as in `quantize`.

    Returns:
        What `compare` returns, and `quantisation`: what the file's metadata says of it.

    Raises:
        ConfigError: `logits` or `approximate` with an .onnx file.
        MissingDependencyError: the package onnx (extra `int8`) is not installed, or, for a folder, the train extra.
    """
    from bridgeseg.runtime.model import named

    compare = import_module_of_train_extra("bridgeseg.exporting.int8_report", "int8").compare
    with TemporaryDirectory() as folder:
        source = named(model)
        if source.is_file() and (logits or approximate):
            message = "logits and approximate are decided when a run folder is exported, and this is an exported file"
            raise ConfigError(message, where=source, fix="leave them out, or give the run folder")
        if source.is_dir():
            source = Path(folder) / "float.onnx"
            export(model=model, out=source, logits=logits, approximate=approximate)
        done = quantize(source, out, calibrate, **options)
        facts = compare(source, out, data=data, split=split, threads=threads, quiet=quiet) if report else {}
    return {**facts, "quantisation": done.facts}


def benchmark(model: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Measure a file on this machine; options and result as in `bridgeseg.measuring.measure.benchmark`."""
    from bridgeseg.measuring.measure import benchmark

    return benchmark(model, **options)


def compare(**options: Any) -> Any:
    """Train a grid of variants and report on it; options as in `bridgeseg.comparing.compare.compare`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.comparing.compare").compare(**options)


def import_module_of_train_extra(name: str, extra: str = "train") -> Any:
    """Import a module that needs what the train extra, or another one, installs.

    Raises:
        MissingDependencyError: a package of the extra is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "bridgeseg"):
            raise
        raise MissingDependencyError(
            f"this needs the package {missing!r}, which is not installed", fix=f"pip install 'bridgeseg[{extra}]'"
        ) from error
