"""A checkpoint, or a file exported from one -> a file: ordinary, with confidence, plain; or what another runtime reads.

A file needs no PyTorch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bridgeseg.description import SHIPPED, find_checkpoint, read_config
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.extras import extra
from bridgeseg.naming import named
from bridgeseg.settings.export import Export
from bridgeseg.vocabulary.asked import asked as named_classes

if TYPE_CHECKING:
    from bridgeseg.exporting.modelfile import Exported


def export(asked: Export) -> Exported:
    """Export a checkpoint or run folder, or give a file confidence, or make it plain; see `bridgeseg.export`."""
    check(asked)
    source, options = named(asked.model, "folder"), folder_options(asked)
    asked = asked.model_copy(update={"model": source})
    if not source.is_file():
        with extra("train"):
            from bridgeseg.exporting.onnx import export_folder
        if not (asked.plain or asked.confidence or asked.to):
            return export_folder(source, asked.out, **options)
    elif not (asked.plain or asked.confidence or asked.to):
        fix = "only 8 bits (--int8) or `confidence` can be added, or a plain file be made of it (`plain`)"
        raise ModelFileError("this is an exported file already", where=source, fix=fix)
    else:
        check_file(asked, source)
    with extra("int8"):
        from bridgeseg.exporting import converting
        from bridgeseg.exporting.modelfile import check_name
    if asked.to:
        converting.target_of(asked.to)
        converting.check_folder(Path(asked.out))
    else:
        check_name(Path(asked.out))
    if source.is_file():
        return finish(source, asked)
    asked = with_labels(asked)
    with TemporaryDirectory() as folder:
        first = export_folder(source, Path(folder) / "ordinary.onnx", **options)
        done = finish(first.path, asked)
    shares = [one.agreement for one in (first, done) if one.agreement is not None]
    return done if done.agreement is None else replace(done, agreement=min(shares))


def with_labels(asked: Export) -> Export:
    """Return settings in which the images that confidence is calibrated on are found and checked; of a bundled
    model none are.

    Raises:
        InputError: there are none, or they are not labelled for what the network knows.
    """
    if not asked.confidence or (asked.confidence_data is None and Path(asked.model).parent == SHIPPED):
        return asked
    from bridgeseg.exporting.calibration import find_calibration
    from bridgeseg.exporting.labelled import IMAGES, labelled_samples, validation_images

    classes = read_config(find_checkpoint(asked.model))[0]
    classes = classes if asked.names is None else named_classes(asked.names, classes)
    if asked.confidence_data is None:
        images = validation_images(asked.model, classes, takes_names=asked.open)
    else:
        images = find_calibration(asked.confidence_data, IMAGES, "val")
    labelled_samples(classes, images, takes_names=asked.open)
    return asked.model_copy(update={"confidence_data": images})


def finish(ordinary: Path, asked: Export) -> Exported:
    """Give an ordinary file confidence, make it plain, or both, or convert it; write what was asked for.

    Args:
        ordinary: an .onnx file, made of `asked.model` or the same.
        asked: one of the three, at least; its model is a file or folder.
    """
    if asked.to:
        from bridgeseg.exporting.converting import convert

        return convert(ordinary, Path(asked.out), asked.to, plain_options(asked)["size"])
    from bridgeseg.exporting.modelfile import Exported
    from bridgeseg.exporting.plain import export_plain
    from bridgeseg.exporting.temperature import add_confidence

    facts, target = None, Path(asked.out)
    with TemporaryDirectory() as folder:
        if asked.confidence:
            sure = Path(folder) / "confidence.onnx" if asked.plain else target
            facts, ordinary = add_confidence(ordinary, sure, asked.confidence_data), sure
        if asked.plain:
            done = export_plain(ordinary, target, logits=asked.logits, **plain_options(asked))
            return replace(done, confidence=facts)
    return Exported(target, target.stat().st_size, 1.0, facts)


def check(asked: Export) -> None:
    """Check settings that go together.

    Raises:
        ConfigError: those of a plain file without `plain`, data without `confidence`, approximate ids with it; a
            plain file with `open`; for another runtime, no size, or what that runtime decides.
    """
    plain_options(asked)
    if asked.to:
        check_target(asked)
    if asked.open and asked.plain:
        message = "a plain file takes no names"
        raise ConfigError(message, where="open", fix="leave `open` out: `names` says which names the file is to have")
    if asked.confidence_data is not None and not asked.confidence:
        message = "there is no temperature without `confidence`"
        raise ConfigError(message, where="confidence_data", fix="add `confidence`")
    if asked.confidence and asked.approximate:
        raise ConfigError("approximate class ids have no confidence for every pixel", fix="choose one of the two")


def check_target(asked: Export) -> None:
    """Check what is asked for another runtime.

    Raises:
        ConfigError: there is no size, or something that the target decides or cannot have.
    """
    if asked.size is None:
        message = "a network for another runtime takes images of one size, and none is given"
        raise ConfigError(message, where="size", fix="`size=512x512`")
    given = {"layout": asked.layout != "nhwc", "input": asked.input != "uint8"}
    given |= {name: bool(getattr(asked, name)) for name in ("plain", "logits", "confidence", "open")}
    if wrong := [name for name, value in given.items() if value]:
        message = f"`to` decides what the network takes and gives, and `{wrong[0]}` is of .onnx files"
        raise ConfigError(message, where="to", fix=f"leave `{wrong[0]}` out")


def check_file(asked: Export, source: Path) -> None:
    """Check that nothing is asked for that only a run folder can be given.

    Raises:
        ConfigError: `approximate`, `open`, names, or `logits` of a file that is not plain.
    """
    given = {"logits": asked.logits and not asked.plain}
    given |= {name: bool(getattr(asked, name)) for name in ("approximate", "open", "names", "embeddings")}
    if wrong := [name for name, value in given.items() if value]:
        message = f"`{wrong[0]}` is decided when a run folder is exported, and this is an exported file"
        raise ConfigError(message, where=source, fix="leave it out, or give the run folder")


def folder_options(asked: Export) -> dict[str, Any]:
    """Return what is decided when a run folder is exported, as `export_folder` takes it."""
    return {
        "logits": asked.logits,
        "approximate": asked.approximate,
        "takes_names": asked.open,
        "names": asked.names,
        "embeddings": asked.embeddings,
    }


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
    if not asked.plain and not asked.to and given != {"size": None, "layout": "nhwc", "input": "uint8"}:
        message = "`size`, `layout` and `input` are of a plain file"
        raise ConfigError(message, where="export", fix="add `plain`, or leave them out")
    return given
