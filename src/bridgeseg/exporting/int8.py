"""A run folder or an exported file -> an 8-bit file, compared with the one that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridgeseg.errors import ConfigError, advising
from bridgeseg.exporting.calibration import training_images
from bridgeseg.exporting.export import check, check_file, finish, folder_options, with_labels
from bridgeseg.exporting.int8_report import compare
from bridgeseg.exporting.modelfile import check_name
from bridgeseg.exporting.quantize import quantize
from bridgeseg.extras import extra
from bridgeseg.naming import named
from bridgeseg.settings.export import Compared, Export, Quantize


def export_int8(asked: Mapping[str, Any], *, quiet: bool = True, report: bool = True) -> dict[str, Any]:
    """Write a checkpoint folder or an exported file as an 8-bit file, and compare the two.

    Args:
        asked: settings of `Export`, `Quantize` and `Compared`, by their keys; of a run folder the images that it was
            trained on are the default of `calibrate`.
        quiet: show no progress bar.
        report: compare them; without, only `quantisation` is returned. What is compared is the 8-bit file without
            confidence, and before it was made plain.

    Returns:
        What `compare` returns, and `quantisation`: what the file's metadata says of it.

    Raises:
        ConfigError: `logits` or `approximate` with an .onnx file, or no images to calibrate on.
        DataError: the images that the run was trained on are no longer there.
        MissingDependencyError: the train extra is needed for a folder and not installed.
    """
    whole, wanted = Export(**Export.of(asked)), Quantize(**{"calibrate": None} | Quantize.of(asked))
    check(whole)
    if whole.to:
        fix = "leave `int8` out: other runtimes have 8 bits of their own"
        raise ConfigError("only files in float are converted for other runtimes", where="to", fix=fix)
    if whole.open:
        fix = "leave `open` out: `names` says which names the file is to have"
        raise ConfigError("a file of 8 bits takes no other names", where="open", fix=fix)
    check_name(Path(whole.out))
    source, images = named(whole.model, "folder"), wanted.calibrate
    whole = whole.model_copy(update={"model": source})
    if images is None:
        if not source.is_dir():
            fix = "`calibrate=FOLDER`, with images as the network will see them"
            raise ConfigError("8 bits need images to calibrate on", where="calibrate", fix=fix)
        images = training_images(source, wanted.images)
    whole = with_labels(whole) if source.is_dir() else whole
    with TemporaryDirectory() as folder:
        if source.is_file():
            check_file(whole, source)
        if source.is_dir():
            source = Path(folder) / "float.onnx"
            with extra("train"):
                from bridgeseg.exporting.onnx import export_folder
            export_folder(whole.model, source, **folder_options(whole))
        more = whole.plain or whole.confidence
        target = Path(folder) / "int8.onnx" if more else Path(whole.out)
        done = quantize(wanted.model_copy(update={"model": source, "out": target, "calibrate": images}))
        with advising("score on a split of smaller images, or leave `data` out"):
            facts = compare(source, target, Compared(**Compared.of(asked)), quiet=quiet) if report else {}
        if more:
            made = finish(target, whole)
            facts |= {"confidence": made.confidence} if made.confidence else {}
    return {**facts, "quantisation": done.facts}
