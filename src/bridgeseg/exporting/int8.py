"""A run folder or an exported file -> an 8-bit file, compared with the one that it was made from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridgeseg.errors import ConfigError, advising
from bridgeseg.exporting.calibration import DEFAULT_IMAGES, Calibration, training_images
from bridgeseg.exporting.export import plain_options
from bridgeseg.exporting.int8_report import compare
from bridgeseg.exporting.modelfile import check_name
from bridgeseg.exporting.plain import export_plain
from bridgeseg.exporting.quantize import quantize
from bridgeseg.extras import extra
from bridgeseg.runtime.model import named


def export_int8(
    model: str | Path,
    out: str | Path,
    calibrate: str | Path | None = None,
    *,
    logits: bool = False,
    approximate: bool = False,
    data: str | Path | None = None,
    split: str = "val",
    threads: int | None = None,
    quiet: bool = True,
    report: bool = True,
    plain: bool = False,
    size: tuple[int, int] | int | None = None,
    layout: str = "nhwc",
    input: str = "uint8",
    **options: Any,
) -> dict[str, Any]:
    """Write a checkpoint folder or an exported file as an 8-bit file, and compare the two.

    Args:
        model: a checkpoint or run folder (which needs the train extra), or an .onnx file or a bundled one's name (which
            do not).
        out: as in `quantize`.
        calibrate: as in `quantize`; by default, of a run folder, the images that it was trained on.
        logits, approximate: of a folder, as in `bridgeseg.exporting.onnx.export`; `logits` of a plain file, too.
        data, split, threads, quiet: as in `bridgeseg.exporting.int8_report.compare`.
        report: compare them; without, only `quantisation` is returned.
        plain, size, layout, input: of a plain file, as in `bridgeseg.exporting.export.export`; what is compared is the
            8-bit file that it is made from.
        options: as in `quantize`.

    Returns:
        What `compare` returns, and `quantisation`: what the file's metadata says of it.

    Raises:
        ConfigError: `logits` or `approximate` with an .onnx file, or no images to calibrate on.
        DataError: the images that the run was trained on are no longer there.
        MissingDependencyError: the train extra is needed for a folder and not installed.
    """
    how = plain_options(plain, size, layout, input)
    check_name(Path(out))
    source = named(model)
    chosen: str | Path | Calibration
    if calibrate is not None:
        chosen = calibrate
    elif source.is_dir():
        chosen = training_images(source, options.get("images", DEFAULT_IMAGES))
    else:
        fix = "--calibrate FOLDER, with images as the network will see them"
        raise ConfigError("8 bits need images to calibrate on", where="--calibrate", fix=fix)
    with TemporaryDirectory() as folder:
        if source.is_file() and ((logits and not plain) or approximate):
            message = "logits and approximate are decided when a run folder is exported, and this is an exported file"
            raise ConfigError(message, where=source, fix="leave them out, or give the run folder")
        if source.is_dir():
            source = Path(folder) / "float.onnx"
            with extra("train"):
                from bridgeseg.exporting.onnx import export
            export(model, source, logits=logits, approximate=approximate)
        target = Path(folder) / "int8.onnx" if plain else Path(out)
        done = quantize(source, target, chosen, **options)
        with advising("score on a split of smaller images, or leave `data` out"):
            facts = compare(source, target, data=data, split=split, threads=threads, quiet=quiet) if report else {}
        if plain:
            export_plain(target, out, logits=logits, **how)
    return {**facts, "quantisation": done.facts}
