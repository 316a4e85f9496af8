"""A checkpoint, or a file that was exported from one -> a file: ordinary or plain. A file needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.extras import extra
from bridgeseg.runtime.model import named
from bridgeseg.settings.export import Export

if TYPE_CHECKING:
    from bridgeseg.exporting.modelfile import Exported


def export(asked: Export) -> Exported:
    """Export a checkpoint or run folder, or make an exported file plain; see `bridgeseg.export`."""
    how = plain_options(asked)
    source, options = named(asked.model), {"logits": asked.logits, "approximate": asked.approximate}
    if source.is_file() and not asked.plain:
        fix = "only 8 bits can be added (`int8`), or a plain file made of it (`plain`)"
        raise ModelFileError("this is an exported file already", where=source, fix=fix)
    if not source.is_file():
        with extra("train"):
            from bridgeseg.exporting.onnx import export_folder
        if not asked.plain:
            return export_folder(source, asked.out, **options)
    elif asked.approximate:
        message = "`approximate` is decided when a run folder is exported, and this is an exported file"
        raise ConfigError(message, where=source, fix="leave it out, or give the run folder")
    with extra("int8"):
        from bridgeseg.exporting.modelfile import check_name
        from bridgeseg.exporting.plain import export_plain
    check_name(Path(asked.out))
    with TemporaryDirectory() as folder:
        if not source.is_file():
            ordinary = Path(folder) / "ordinary.onnx"
            export_folder(source, ordinary, **options)
            source = ordinary
        return export_plain(source, asked.out, logits=asked.logits, **how)


def plain_options(asked: Export) -> dict[str, Any]:
    """Check what is said of a plain file, and return it as `export_plain` takes it.

    Raises:
        ConfigError: a size that is none, or a value that is not the default without `plain`.
    """
    size = asked.size
    sides = (size, size) if isinstance(size, int) else size
    if sides is not None and (len(sides) != 2 or min(sides) < 1):
        raise ConfigError(f"a size is (height, width) in pixels, found {size}", where="size", fix="`size=512x512`")
    given = {"size": None if sides is None else tuple(sides), "layout": asked.layout, "input": asked.input}
    if not asked.plain and given != {"size": None, "layout": "nhwc", "input": "uint8"}:
        message = "`size`, `layout` and `input` are of a plain file"
        raise ConfigError(message, where="export", fix="add `plain`, or leave them out")
    return given
