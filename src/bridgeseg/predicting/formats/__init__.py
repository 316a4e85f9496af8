"""The forms in which results are written beside masks and overlays, one file each, and the table of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.images import Note
from bridgeseg.outlines import Area
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.network import unsure
from bridgeseg.runtime.result import Result

PNG = "png"
"""The mask, and what is written by default."""
FORMATS = {
    "coco": "bridgeseg.predicting.formats.coco",
    "labelme": "bridgeseg.predicting.formats.labelme",
    "yolo": "bridgeseg.predicting.formats.yolo",
    "geojson": "bridgeseg.predicting.formats.geojson",
    "geotiff": "bridgeseg.predicting.formats.geotiff",
    "crops": "bridgeseg.predicting.formats.crops",
    "csv": "bridgeseg.predicting.formats.table",
    "npy": "bridgeseg.predicting.formats.array",
    "confidence": "bridgeseg.predicting.formats.confidence",
    "rank": "bridgeseg.predicting.formats.rank",
}
"""Every other form and the module whose class `Form` writes it."""


class Form(Protocol):
    """Writes results in one form into the folder of a run."""

    outlined: bool
    """Whether it needs outlines."""
    sure: bool
    """Whether it needs a model that says how sure it is."""

    def __init__(self, folder: Path) -> None: ...

    def write(self, result: Result, name: str, areas: list[Area]) -> Path | tuple[Path, Note]:
        """Write an image's result; return the file that it went into, and what is to be said of it, if anything is.

        Args:
            result: named so that its name leads back to the image, from the folder that all of the run lie in.
            name: the path below the folder of the run, without ending, that no other image has.
            areas: their outlines, if the form needs them.

        Raises:
            InputError: it cannot be written.
        """

    def close(self) -> None:
        """Write what all images share; called once, when a run ends or is stopped."""


class Forms:
    """The forms in which a run writes its results.

    Args:
        names: of the forms.
        folder: of the run.
        min_area: areas of fewer pixels get no outline.
        simplify: pixels by which outlines may move to have fewer corners.

    Attributes:
        png: whether masks are written as PNG.
        outlined: whether a form needs outlines.

    Raises:
        ConfigError: there is no form of a name, or no name at all.
    """

    def __init__(
        self, names: tuple[str, ...] = (PNG,), folder: Path = Path(), min_area: int = 1, simplify: float = 0.0
    ) -> None:
        for name in names or ("",):
            if name not in (PNG, *FORMATS):
                message = f"no form is called {name!r}; {nearest(name, (PNG, *FORMATS))}"
                raise ConfigError(message, where="format", fix="name one of these, or several")
        self.png = PNG in names
        self._min_area, self._simplify = min_area, simplify
        modules: dict[str, Any] = {name: import_module(FORMATS[name]) for name in FORMATS if name in names}
        self._forms: dict[str, Form] = {name: module.Form(folder) for name, module in modules.items()}
        self.outlined = any(form.outlined for form in self._forms.values())

    def check(self, model: Model) -> None:
        """Refuse a model that does not give what the forms need, before anything is written.

        Raises:
            ConfigError: a form needs confidence, and the model gives none.
        """
        for name, form in self._forms.items():
            if form.sure and not model.confident:
                raise unsure(f"the form `{name}`", model.path)

    def write(self, result: Result, name: Path) -> tuple[dict[str, Path], tuple[Note, ...]]:
        """Write an image's result in each form; return form -> the file that it went into, and what is to be said.

        Args:
            result: named so that its name leads back to the image, from the folder that all of the run lie in.
            name: the path below the folder of the run, without ending, that no other image has.

        Raises:
            InputError: it cannot be written.
        """
        areas = result.polygons(min_area=self._min_area, simplify=self._simplify) if self.outlined else []
        files, notes = dict[str, Path](), list[Note]()
        for kind, form in self._forms.items():
            written = form.write(result, name.as_posix(), areas)
            files[kind], *more = written if isinstance(written, tuple) else (written,)
            notes += more
        return files, tuple(notes)

    def close(self) -> None:
        """Write what all images share.

        Raises:
            InputError: it cannot be written.
        """
        for form in self._forms.values():
            form.close()

    def not_of_videos(self) -> tuple[Note, ...]:
        """Say which forms are not written of videos; nothing if there are none."""
        if not self._forms:
            return ()
        message = f"frames of videos are not written as {', '.join(self._forms)}"
        return (Note("format", message, "save the frames as images, and predict these"),)
