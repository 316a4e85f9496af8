"""Many images and videos into one folder: find, count, segment, write."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

from bridgeseg.errors import ConfigError, InputError
from bridgeseg.predicting.common import Common
from bridgeseg.predicting.formats import Forms
from bridgeseg.predicting.video_writer import DEFAULT_CODEC, VideoRecord, VideoSink, check_codec
from bridgeseg.predicting.writer import Writer
from bridgeseg.reading.addresses import is_stream
from bridgeseg.reading.left_out import LeftOut
from bridgeseg.reading.loading import Found, ImageInput, as_list, expand
from bridgeseg.reading.pipeline import Pipeline
from bridgeseg.reading.sources import Failure, PathStream, Source, is_below, is_folder, survey
from bridgeseg.reading.video import Video, is_camera, is_video
from bridgeseg.report.draw import Drawing
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import Record
from bridgeseg.runtime.streaming import results
from bridgeseg.settings.fields import settings_of
from bridgeseg.settings.predict import VIDEOS, Predict

RECORDS = 8
"""Records that may wait for whoever prints them."""
_OF_VIDEOS = {setting.key for setting in settings_of(Predict) if setting.panel == VIDEOS}


class Batch:
    """A run over many images whose results are written to a folder.

    The images are looked for twice, once to count them and to learn which lie where results will go, and once to do
    them; neither time are they all in memory. Names from a `PathStream` can be read only once: they are not counted,
    and one that lies where results go is refused.

    Args:
        asked: settings of `bridgeseg.predict`; `out` is left out of the search if it lies in a folder that is searched,
            and masks of frames are always written where overlays are not.

    Attributes:
        total: how many images and videos (and names that lead to none) there are; None if that is not known.
        videos: whether some sources are named as videos or cameras.
        frames: how many frames of them have been written so far.
        left_out: what the search of folders passed over.

    Raises:
        ConfigError: a form that is not known; a setting of overlays or outlines, where none are written, or of videos,
            where there is none.
        InputError: no sources; `out` is a file, or a folder that images are taken from; there is no such codec.
    """

    def __init__(self, asked: Predict) -> None:
        self._asked, self._sources, out = asked, list(as_list(asked.sources)), Path(asked.out or "")
        self._out = out
        if not self._sources:
            raise InputError("no images were given", fix="name files, folders or globs: bridgeseg predict photos/")
        drawing = Drawing(asked.opacity, tuple(asked.hide))
        names = dict.fromkeys([*asked.format, *(["crops"] if asked.save_crops else [])])
        forms = Forms(tuple(names), out, asked.min_area, asked.simplify)
        _refuse_without_effect(asked, forms)
        real = os.path.realpath(out)
        for source in self._sources:
            if isinstance(source, str | Path) and is_folder(source) and os.path.realpath(source) == real:
                raise InputError(
                    "results cannot go into a folder of images: the next run would take them for images",
                    where=out,
                    fix=f"choose another folder: `out={out / 'out'}`",
                )
        self._counted = not any(isinstance(source, PathStream) for source in self._sources)
        self.left_out, common = LeftOut(), Common()
        self.videos = any(map(_leads_to_frames, self._sources))
        if self._counted and not self.videos and (wrong := _own(asked, _OF_VIDEOS)):
            message = "only videos, cameras and streams follow it, and none is among the sources"
            fix = "leave it out, or name a video: of folders only the images are taken"
            raise ConfigError(message, where=min(wrong), fix=fix)
        if asked.codec != DEFAULT_CODEC:
            check_codec(asked.codec)
        count, inputs = survey(common.passing(self._find(self.left_out)), out) if self._counted else (0, frozenset())
        self.total = count if self._counted else None
        self.frames = self._done = 0
        self._forms = forms
        self._writer = Writer(out, overlay=asked.overlay, inputs=inputs, drawing=drawing, forms=forms, common=common)

    def run(self, model: Model, stop: threading.Event | None = None) -> Iterator[Record | VideoRecord | Failure]:
        """Do one image after the other. A thread of its own writes the results.

        Once `stop` is set, what has been begun is finished, videos are closed as long as they are, and the run ends.

        Raises:
            InputError: a result cannot be written.
            ConfigError: a class to hide that the model does not have; a form of confidence, which it does not give.
        """
        self._writer.drawing.check(model.classes)
        self._forms.check(model)
        with Pipeline(stop) as pipeline:
            found = self._find() if self._counted else self._outside(self._find(self.left_out))
            written = self._write(results(model, found, pipeline, self._asked))
            yield from pipeline.ahead(written, depth=RECORDS)

    def _write(self, items: Iterator[Result | Failure]) -> Iterator[Record | VideoRecord | Failure]:
        sink: VideoSink | None = None
        masks = self._asked.masks or not self._asked.overlay
        try:
            for item in items:
                if isinstance(item, Failure):
                    yield item
                    continue
                if sink is not None and (item.frame is None or item.frame.video is not sink.video):
                    yield sink.finish()
                    sink = None
                if item.frame is None:
                    yield self._written(item)
                else:
                    if sink is None:
                        sink = self._writer.video(item.frame.video, item.classes, masks=masks, codec=self._asked.codec)
                    sink.write(item, item.frame)
                    self.frames += 1
                del item  # a large image must not outlive its turn
            if sink is not None:
                yield sink.finish()
                sink = None
            self._writer.close()
        finally:
            if sink is not None:
                sink.abort()

    def _written(self, result: Result) -> Record:
        """Write an image; if it cannot be, finish what those before it share, and say how many these are."""
        try:
            record = self._writer.write(result)
        except InputError as error:
            with suppress(InputError):  # what is wrong there is likely the same
                self._writer.close()
            message = f"{error.message}; the run ends here, {self._done} images are done"
            raise InputError(message, where=error.where, fix=error.fix) from error
        self._done += 1
        return record

    def _find(self, left_out: LeftOut | None = None) -> Iterator[Found]:
        return expand(self._sources, recursive=self._asked.recursive, skip=self._out, left_out=left_out)

    def _outside(self, found: Iterable[Found]) -> Iterator[Found]:
        for item in found:
            file = isinstance(item, Source) or (isinstance(item, Video) and item.is_file)
            if isinstance(item, Source | Video) and file and is_below(item.path, self._out):
                error = InputError(
                    "lies in the folder of results, which may replace it",
                    where=item.path,
                    fix="choose another folder: `out=DIR`",
                )
                yield Failure(item.path, error)
            else:
                yield item


def _refuse_without_effect(asked: Predict, forms: Forms) -> None:
    """Refuse settings of what is not written.

    Raises:
        ConfigError: colours of overlays or the size of outlines, and there are none.
    """
    if not asked.overlay and (wrong := _own(asked, {"opacity", "hide", "codec"})):
        raise ConfigError("only overlays follow it, and none are written", where=min(wrong), fix="add `overlay=True`")
    if not forms.outlined and (wrong := _own(asked, {"min_area", "simplify"})):
        message = "only outlines follow it, and no form that is written has any"
        raise ConfigError(message, where=min(wrong), fix="write one that has, such as `format=geojson`")


def _own(asked: Predict, keys: Set[str]) -> set[str]:
    """Return those of some settings that were given, and are not as they are by default."""
    fields = type(asked).model_fields
    return {key for key in asked.model_fields_set & keys if getattr(asked, key) != fields[key].default}


def _leads_to_frames(source: ImageInput) -> bool:
    if isinstance(source, str | Path):
        return is_camera(str(source)) or is_stream(str(source)) or is_video(Path(source))
    return isinstance(source, Video)
