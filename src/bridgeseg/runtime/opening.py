"""A file or folder -> what runs it, its classes and its provenance, with other names if any are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError
from bridgeseg.runtime.metadata import check_provenance, read_metadata
from bridgeseg.runtime.open_file import check_count, vocabulary
from bridgeseg.runtime.runtimes import FILES, FOLDERS, FileRuntime, Runtime, open_folder, open_runtime
from bridgeseg.vocabulary.asked import Names, asked
from bridgeseg.vocabulary.lookup import look_up, trained_names


class Opened(NamedTuple):
    """What `Model` is made of.

    Attributes:
        runtime: what runs the network.
        classes: names and colours of its classes.
        provenance: training facts.
        path: the file, or the checkpoint folder, where it has one.
    """

    runtime: Runtime
    classes: ClassSet
    provenance: dict[str, Any]
    path: Path | None


def open_place(
    place: Path,
    threads: int | None,
    runtime: str | None,
    compile: bool,
    names: Names | None,
    embeddings: str | Path | None,
) -> Opened:
    """Open a file in a runtime, or a folder in PyTorch; arguments and errors are those of `Model.load`."""
    if place.is_dir():
        if runtime not in (None, FOLDERS):
            fix = "export it: bridgeseg export --model FOLDER --out FILE.onnx"
            raise ConfigError(f"a folder runs in PyTorch, not in {runtime!r}", where="runtime", fix=fix)
        folder = open_folder(place, threads, compile=compile, names=names, embeddings=embeddings)
        check_provenance(folder.provenance, place)
        return Opened(folder, folder.class_set, folder.provenance, folder.path)
    if compile:
        fix = "give the run folder, or leave `compile` out"
        raise ConfigError("only a folder, which runs in PyTorch, can be compiled", where="compile", fix=fix)
    opened = open_runtime(place, threads, runtime or FILES)
    return Opened(opened, *_renamed(opened, names, embeddings), opened.path)


def _renamed(
    opened: FileRuntime, names: Names | None, embeddings: str | Path | None
) -> tuple[ClassSet, dict[str, Any]]:
    """Return classes and provenance of a file, which gets the class embeddings of other names if such are given."""
    own, provenance = read_metadata(opened)
    if names is None and embeddings is None:
        return own, provenance
    if opened.class_embeddings is None:
        raise ConfigError(
            f"this file knows its own {len(own)} classes only",
            where=opened.path,
            fix="export its run with names as an input, bridgeseg export --model RUN --open --out open.onnx, or give "
            "the run folder itself",
        )
    classes = own if names is None else asked(names, own)
    check_count(classes, len(own), opened.path)
    known = vocabulary(own, opened.class_embeddings, opened.metadata, opened.path)
    opened.class_embeddings = look_up(classes, known, embeddings)
    facts = {key: value for key, value in provenance.items() if key != "scores"}
    return classes, facts | {"trained_names": list(trained_names(own, provenance))}
