"""A checkpoint, or a file that was exported from one -> a file: ordinary or plain. A file needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.extras import extra
from bridgeseg.runtime.model import named
from bridgeseg.runtime.taking import KINDS

if TYPE_CHECKING:
    from bridgeseg.exporting.modelfile import Exported

LAYOUTS = ("nhwc", "nchw")


def export(
    model: str | Path,
    out: str | Path,
    *,
    logits: bool = False,
    plain: bool = False,
    size: tuple[int, int] | int | None = None,
    layout: str = "nhwc",
    input: str = "uint8",
    **options: Any,
) -> Exported:
    """Export a checkpoint or run folder, or make an exported file plain.

    Args:
        model: a folder, an .onnx file or a bundled one's name.
        out, logits: as in `exporting.onnx.export`.
        plain: make the file plain.
        size, layout, input: of a plain file, as in `exporting.plain.export_plain`; one number is a square.
        options: of a folder, as in `exporting.onnx.export`.

    Returns:
        What was written.

    Raises:
        ConfigError: an argument is not allowed, or one of a plain file without `plain`.
        ModelFileError, InputError: as in `exporting.onnx.export` and `exporting.plain.export_plain`.
        MissingDependencyError: the train extra, for a folder, or the package onnx is not installed.
    """
    how = plain_options(plain, size, layout, input)
    source = named(model)
    if source.is_file() and not plain:
        fix = "only 8 bits can be added (--int8), or a plain file made of it (`plain`)"
        raise ModelFileError("this is an exported file already", where=source, fix=fix)
    if not source.is_file():
        with extra("train"):
            from bridgeseg.exporting.onnx import export as export_folder
        if not plain:
            return export_folder(source, out, logits=logits, **options)
    elif wrong := [name for name, value in options.items() if value]:
        message = f"{wrong[0]} is decided when a run folder is exported, and this is an exported file"
        raise ConfigError(message, where=source, fix="leave it out, or give the run folder")
    with extra("int8"):
        from bridgeseg.exporting.modelfile import check_name
        from bridgeseg.exporting.plain import export_plain
    check_name(Path(out))
    with TemporaryDirectory() as folder:
        if not source.is_file():
            ordinary = Path(folder) / "ordinary.onnx"
            export_folder(source, ordinary, logits=logits, **options)
            source = ordinary
        return export_plain(source, out, logits=logits, **how)


def plain_options(
    plain: bool = False, size: tuple[int, int] | int | None = None, layout: str = "nhwc", input: str = "uint8"
) -> dict[str, Any]:
    """Check what is said of a plain file, and return it as `export_plain` takes it.

    Raises:
        ConfigError: a value is not allowed, or one that is not the default comes without `plain`.
    """
    for name, value, allowed in (("layout", layout, LAYOUTS), ("input", input, KINDS)):
        if value not in allowed:
            raise ConfigError(f"{value!r} is no {name} of a file", where=name, fix=" or ".join(allowed))
    sides = (size, size) if isinstance(size, int) else size
    if sides is not None and (len(sides) != 2 or min(sides) < 1):
        raise ConfigError(f"a size is (height, width) in pixels, found {size}", where="size", fix="size=(512, 512)")
    given = {"size": None if sides is None else tuple(sides), "layout": layout, "input": input}
    if not plain and given != {"size": None, "layout": LAYOUTS[0], "input": KINDS[0]}:
        message = "`size`, `layout` and `input` are of a plain file"
        raise ConfigError(message, where="export", fix="add `plain`, or leave them out")
    return given
