"""A file of this package -> a folder for a runtime that reads no .onnx file, compared with ONNX Runtime's ids."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.exporting.graph import drop_dead
from bridgeseg.exporting.modelfile import Exported
from bridgeseg.exporting.plain import export_plain
from bridgeseg.exporting.targets import TARGETS, Target
from bridgeseg.extras import require
from bridgeseg.files import replace_folder
from bridgeseg.measuring.image import sample_image
from bridgeseg.quiet import quiet
from bridgeseg.runtime.metadata import read_metadata
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.wording import shown

AGREEMENT = 0.995
"""The least share of pixels with ONNX Runtime's ids."""
FACTS = "bridgeseg.json"
"""What a folder says of itself: classes and colours, how images are taken, the share of equal ids."""


def target_of(name: str) -> Target:
    """Return the converter of a name, if it can be used here.

    Raises:
        ConfigError: there is none of this name.
        MissingDependencyError: a package that it needs is not installed.
    """
    if name not in TARGETS:
        raise ConfigError(TARGETS.unknown(name), where="to", fix="name one of these")
    target = TARGETS.get(name)()
    for package in target.packages:
        require(package, target.extra)
    return target


def check_folder(out: Path) -> None:
    """Check that a folder can be written here.

    Raises:
        InputError: there is a file, or a folder that holds something else.
    """
    if out.suffix == ".onnx" or out.is_file() or out.is_symlink():
        raise InputError("a converted model is a folder of files", where=out, fix="name a folder as `out`")
    if out.is_dir() and any(out.iterdir()) and not (out / FACTS).is_file():
        raise InputError("this folder holds something else", where=out, fix="choose another `out`")


def convert(source: Path, out: Path, name: str, size: tuple[int, int]) -> Exported:
    """Convert a file and write the folder, whole or not at all; an older one of this kind is replaced.

    Args:
        source: an ordinary .onnx file of this package, in float.
        out: the folder to write.
        name: of the target.
        size: (height, width) of the only images that it takes, one at a time.

    Returns:
        What was written, and the share of pixels with ONNX Runtime's ids on an image of colours that run into each
        other; None where this machine cannot run it.

    Raises:
        ConfigError, MissingDependencyError: see `target_of`.
        InputError: the folder cannot be written.
        ModelFileError: the file has 8 bits, the converter fails, or what it made gives other ids.
    """
    target = target_of(name)
    check_folder(out)
    before = OnnxRuntime(source)
    classes, provenance = read_metadata(before)
    if "quantisation" in provenance:
        fix = "give the float file that it was made from: other runtimes have 8 bits of their own"
        raise ModelFileError("only files in float are converted, and this one has 8 bits", where=source, fix=fix)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            plain, fresh = Path(scratch) / "plain.onnx", Path(scratch) / "converted"
            fresh.mkdir()
            export_plain(
                source, plain, size=size, layout=target.layout, input=target.input, logits=target.output == "logits"
            )
            _keep(plain, target.output)
            agreement = _converted(target, plain, fresh, before, size, out)
            _describe(fresh, name, target, size, agreement, {"classes": classes.to_dict(), "provenance": provenance})
            replace_folder(fresh, out)
    except OSError as error:
        fix = "free some space, or choose another `out`"
        raise InputError(f"cannot be written: {error.strerror or error}", where=out, fix=fix) from error
    total = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Exported(out, total, agreement)


def _keep(plain: Path, output: str) -> None:
    """Leave a plain file one output."""
    model = onnx.load(plain)
    kept = [value for value in model.graph.output if value.name == output]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    drop_dead(model.graph)
    onnx.save(model, plain)


def _converted(
    target: Target, plain: Path, folder: Path, before: OnnxRuntime, size: tuple[int, int], out: Path
) -> float | None:
    """Convert, run and compare; return the share of equal ids, None if it does not run here."""
    image = sample_image(*size)[None]
    try:
        with quiet("", "torch"):
            target.convert(plain, folder)
            run = target.open(folder)
            found = None if run is None else np.asarray(run(image))
    except (InputError, OSError):
        raise
    except Exception as error:  # converters and runtimes share no base class
        fix = f"update its packages ({', '.join(target.packages)}), or take another target"
        raise ModelFileError(f"cannot be made for {target.title}: {shown(error)}", where=out, fix=fix) from error
    if found is None:
        return None
    expected = before.classes(image)
    agreement = float(np.mean(found == expected)) if found.shape == expected.shape else 0.0
    if agreement < AGREEMENT:
        message = f"{target.title} gives ONNX Runtime's ids on {agreement:.2%} of the pixels of an example only"
        fix = f"nothing was written; update its packages ({', '.join(target.packages)}), or take another target"
        raise ModelFileError(message, where=out, fix=fix)
    return agreement


def _describe(
    folder: Path, name: str, target: Target, size: tuple[int, int], agreement: float | None, known: dict[str, Any]
) -> None:
    takes = {"layout": target.layout, "type": target.input, "values": [0, 255], "size": list(size)}
    facts = {"target": name, "image": takes, "output": target.output, "agreement": agreement, **known}
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
