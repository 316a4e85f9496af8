"""The page itself, in Gradio, without what that could send elsewhere: statistics, a public address, foreign fonts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from bridgeseg.errors import BridgeSegError, ConfigError
from bridgeseg.extras import extra
from bridgeseg.settings.demo import Demo
from bridgeseg.showing.stage import Look, Stage

BUTTONS = ["fullscreen", "download"]
"""Of an image that is shown; none that shares it."""
EVERY = 0.15
"""Seconds between frames of a camera."""
LONGEST = 600
"""Seconds after which a camera is stopped."""


def page(asked: Demo) -> Any:
    """Make the page of some models: a `gradio.Blocks`, to be launched or mounted.

    Args:
        asked: which models; where it listens is left to whoever launches it.

    Raises:
        InputError: a model cannot be used.
        MissingDependencyError: Gradio is not installed.
    """
    with extra("demo"):
        import gradio as gr
    stage = Stage.of(asked)
    with gr.Blocks(title="bridgeseg", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown(f"## bridgeseg\n{', '.join(stage.titles)}: {len(stage.names)} classes")
        with gr.Row():
            with gr.Column(scale=1, min_width=220):
                names = gr.Textbox(
                    label="names",
                    info="any names, separated by commas, then Enter; empty for those that it was trained with",
                    visible=stage.takes_names,
                    elem_id="names",
                )
                opacity = gr.Slider(0, 1, Look().opacity, step=0.05, label="opacity", elem_id="opacity")
                least = gr.Slider(
                    0, 1, 0, step=0.05, label="least confidence", visible=stage.confident, elem_id="least"
                )
                show = gr.CheckboxGroup(stage.names, value=stage.names, label="classes", elem_id="classes")
            with gr.Column(scale=4):
                _tabs(gr, stage, names, [opacity, show, least])
    return blocks


def _tabs(gr: Any, stage: Stage, names: Any, looks: list[Any]) -> None:
    """Make the tabs for images, the camera and videos, and say what becomes of each change."""
    entered = gr.State("")  # what the checkboxes are of: names that are still being typed are no names yet
    given = [entered, *looks]
    with gr.Tab("Image"):
        kept = gr.State(None)  # what the networks made of the image: other looks need no new run
        image = gr.Image(type="numpy", sources=["upload", "clipboard"], label="image", elem_id="image")
        with gr.Row():
            shown = [
                gr.Image(label=title, interactive=False, format="png", buttons=BUTTONS, elem_id=f"found-{place}")
                for place, title in enumerate(stage.titles)
            ]
    with gr.Tab("Webcam"), gr.Row():
        camera = gr.Image(type="numpy", sources=["webcam"], streaming=True, label="camera", elem_id="camera")
        live = [
            gr.Image(label=title, interactive=False, format="jpeg", buttons=BUTTONS, elem_id=f"live-{place}")
            for place, title in enumerate(stage.titles)
        ]
    with gr.Tab("Video"):
        film = gr.Video(sources=["upload"], label="video", elem_id="film")
        button = gr.Button("Segment the video")
        with gr.Row():
            films = [gr.Video(label=title, interactive=False, buttons=["download"]) for title in stage.titles]

    @_told(gr)
    def segment(picture: Any, text: str, *look: Any) -> list[Any]:
        if picture is None:
            return [None, *[None] * len(shown)]
        found = stage.with_names(text).segment(picture)
        return [(*found, text), *stage.with_names(text).draw(*found, _look(*look))]

    @_told(gr)
    def redraw(before: Any, text: str, *look: Any) -> list[Any]:
        if before is None:
            return [None] * len(shown)
        return list(stage.with_names(before[2]).draw(before[0], before[1], _look(*look)))

    @_told(gr)
    def rename(text: str) -> list[Any]:
        known = stage.with_names(text).names
        return [text, gr.CheckboxGroup(choices=known, value=known)]

    @_told(gr)
    def frame(picture: Any, text: str, *look: Any) -> list[Any]:
        if picture is None:
            return [None] * len(live)
        named = stage.with_names(text)
        return list(named.draw(*named.segment(picture), _look(*look)))

    @_told(gr)
    def segment_video(path: str | None, text: str, *look: Any) -> list[Any]:
        if path is None:
            raise ConfigError("no video was given", fix="choose one above")
        return [str(made) for made in stage.with_names(text).video(path, _look(*look))]

    image.change(_single(segment, len(shown) + 1), [image, *given], [kept, *shown])
    for control in looks:
        control.change(_single(redraw, len(shown)), [kept, *given], shown, show_progress="hidden")
    again = names.submit(rename, [names], [entered, looks[1]])
    again.then(_single(segment, len(shown) + 1), [image, *given], [kept, *shown])
    camera.stream(
        _single(frame, len(live)), [camera, *given], live,
        stream_every=EVERY, time_limit=LONGEST, concurrency_limit=1, show_progress="hidden",
    )  # fmt: skip
    button.click(_single(segment_video, len(films)), [film, *given], films)


def _look(opacity: float, show: list[str], least: float) -> Look:
    return Look(opacity, tuple(show), least)


def _single(function: Callable[..., list[Any]], count: int) -> Callable[..., Any]:
    """Return a function as Gradio wants it, which takes the value of one output without a list around it."""

    @wraps(function)
    def call(*values: Any) -> Any:
        found = function(*values)
        return found[0] if count == 1 else found

    return call


def _told(gr: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that shows an error of this package on the page."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*values: Any) -> Any:
            try:
                return function(*values)
            except BridgeSegError as error:
                raise gr.Error(str(error), print_exception=False) from error

        return call

    return decorate


def launch(asked: Demo, *, wait: bool = True) -> tuple[Any, str]:
    """Show the page.

    Args:
        asked: the settings.
        wait: until Ctrl-C; else return while it is shown, and `close()` what is returned.

    Returns:
        The page, and the address that it is shown at.

    Raises:
        ConfigError: the address is taken or cannot be listened at.
        InputError, MissingDependencyError: as of `page`.
    """
    blocks = page(asked)
    import gradio as gr

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, address, _ = blocks.launch(
            server_name=asked.host, server_port=asked.port, inbrowser=asked.browser, share=False, quiet=True,
            prevent_thread_lock=True, theme=theme, footer_links=[], ssr_mode=False,
        )  # fmt: skip
    except OSError as error:
        message = f"{asked.host} cannot be listened at: {error}"
        raise ConfigError(message, where="port", fix="choose another `port`, or leave it out") from error
    if wait:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        blocks.block_thread()
    return blocks, address
