"""What `import bridgeseg` offers: load, predict, train, evaluate, export."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from bridgeseg.errors import MissingDependencyError

if TYPE_CHECKING:
    from bridgeseg.inference.model import Model, Picture
    from bridgeseg.inference.result import Result
    from bridgeseg.inference.sources import Failure
    from bridgeseg.inference.writer import Record


def load(path: str | Path | None = None, *, threads: int | None = None) -> Model:
    """Load a model.

    Args:
        path: an .onnx file written by `bridgeseg export`, or a checkpoint or run folder (which needs the train extra);
            None for the bundled street-scene model.
        threads: number of CPU threads; None for one per core.

    Raises:
        ModelFileError: there is no such file, or it cannot be used.
        MissingDependencyError: a folder was given and PyTorch is not installed.
    """
    if path is not None and Path(path).is_dir():
        if threads is not None:
            import_module_of_train_extra("torch").set_num_threads(threads)
        model: Model = import_module_of_train_extra("bridgeseg.deploy").load_model(path)
        return model
    from bridgeseg.inference.model import Model

    return Model.load(path, threads)


@overload
def predict(
    sources: Picture | Iterable[Picture], model: str | Path | Model | None = ..., out: None = ..., **options: Any
) -> list[Result | Failure]: ...
@overload
def predict(
    sources: Picture | Iterable[Picture], model: str | Path | Model | None, out: str | Path, **options: Any
) -> list[Record | Failure]: ...
@overload
def predict(
    sources: Picture | Iterable[Picture], model: str | Path | Model | None = ..., *, out: str | Path, **options: Any
) -> list[Record | Failure]: ...
def predict(
    sources: Picture | Iterable[Picture],
    model: str | Path | Model | None = None,
    out: str | Path | None = None,
    *,
    recursive: bool = False,
    overlay: bool = True,
    threads: int | None = None,
    **options: Any,
) -> list[Result | Failure] | list[Record | Failure]:
    """Segment pictures.

    Args:
        sources: one or many files, folders, globs, Pillow images, uint8 RGB arrays (H, W, 3).
        model: a model, or what `load` takes.
        out: write masks and overlays into this folder.
        recursive: search the subfolders of folders.
        overlay: with `out`, write overlays too.
        threads: as in `load`.
        options: `max_size` and `max_pixels`, as in `Model.stream`.

    Returns:
        With `out`, for each picture a Record of what was written; without, its Result (all of them in memory: for very
        many pictures use `load().stream(...)`). A picture that cannot be read is a Failure in the list.

    Raises:
        InputError: not one picture could be read, the model cannot be used, or the results cannot be written.
    """
    from bridgeseg.inference.batch import Batch
    from bridgeseg.inference.model import Model, as_list
    from bridgeseg.inference.sources import Failure

    pictures = as_list(sources)
    batch = None if out is None else Batch(pictures, out, recursive=recursive, overlay=overlay)
    network = model if isinstance(model, Model) else load(model, threads=threads)
    done: list[Any] = list(
        network.stream(pictures, recursive=recursive, **options) if batch is None else batch.run(network, **options)
    )
    if done and all(isinstance(item, Failure) for item in done):
        raise done[0].error
    return done


def train(**options: Any) -> Any:
    """Train a network on a dataset; options as in `bridgeseg.training.fit.train`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.training.fit").train(**options)


def evaluate(**options: Any) -> Any:
    """Score a model on a split of a dataset; options as in `bridgeseg.evaluation.evaluate.evaluate`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.evaluation.evaluate").evaluate(**options)


def export(**options: Any) -> Any:
    """Write a checkpoint as one .onnx file; options as in `bridgeseg.export.onnx.export`.

    Raises:
        MissingDependencyError: the train extra is not installed.
    """
    return import_module_of_train_extra("bridgeseg.export.onnx").export(**options)


def import_module_of_train_extra(name: str) -> Any:
    """Import a module that needs what the train extra installs.

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
            f"this needs the package {missing!r}, which is not installed", fix="pip install 'bridgeseg[train]'"
        ) from error
