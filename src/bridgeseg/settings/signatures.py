"""Write what comes out of the settings: the functions of `bridgeseg.api`, and the table of docs/training.md.

    python -m bridgeseg.settings.signatures

A test holds both against the settings.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from bridgeseg.settings.benchmark import Benchmark
from bridgeseg.settings.build import OTHERS, Build
from bridgeseg.settings.check import Check
from bridgeseg.settings.compare import OWNED, Compare
from bridgeseg.settings.evaluate import Evaluate
from bridgeseg.settings.export import Export, Quantize
from bridgeseg.settings.fields import Setting, settings_of
from bridgeseg.settings.gallery import Gallery
from bridgeseg.settings.given import python_name
from bridgeseg.settings.importing import Import
from bridgeseg.settings.label import Label
from bridgeseg.settings.load import Load
from bridgeseg.settings.predict import Predict
from bridgeseg.settings.push import Push
from bridgeseg.settings.train import Train, TrainConfig

WIDTH = 120
HEADER = '''# ruff: noqa: B008
# fmt: off
"""What `import bridgeseg` offers. Made by `python -m bridgeseg.settings.signatures`: change the settings instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from bridgeseg.extend import DEFAULT_DECODER, DEFAULT_METHOD, REFERENCES
from bridgeseg.extras import extra
from bridgeseg.settings.given import chosen, default

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

'''
TYPES = {
    "bridgeseg.checking.report": "Report",
    "bridgeseg.comparing.compare": "Comparison",
    "bridgeseg.data.spec": "DataSpec",
    "bridgeseg.evaluating.gallery": "GalleryReport",
    "bridgeseg.exporting.modelfile": "Exported",
    "bridgeseg.exporting.quantize": "Quantized",
    "bridgeseg.importing.report": "Imported",
    "bridgeseg.metrics": "Scores",
    "bridgeseg.models.segmentor": "Segmentor",
    "bridgeseg.predicting.video_writer": "VideoRecord",
    "bridgeseg.reading.loading": "ImageInput",
    "bridgeseg.reading.sources": "Failure",
    "bridgeseg.runtime.model": "Model",
    "bridgeseg.runtime.result": "Result",
    "bridgeseg.runtime.saving": "Record",
    "bridgeseg.settings.train": "TrainConfig",
    "bridgeseg.sharing.push": "Pushed",
    "bridgeseg.training.fit": "TrainResult",
    "bridgeseg.vocabulary.asked": "Names",
}
"""Where the types of the signatures are defined."""


@dataclass(frozen=True)
class Function:
    """A function of the API.

    Attributes:
        name: its name.
        model: its settings; the docstring of the model becomes its own.
        home: the module that does it, in a function of the same name.
        returns: its type.
        extra: the extra that it needs.
        positional: how many of its parameters can be given by position.
        trains: whether it takes settings of trainings as well.
        without: those that it does not take.
        calls: what of `home` does it, if it is called otherwise.
    """

    name: str
    model: type[BaseModel]
    home: str
    returns: str
    extra: str | None = None
    positional: int = 1
    trains: bool = False
    without: tuple[str, ...] = ()
    calls: str | None = None


RESULTS, RECORDS = "list[Result | Failure]", "list[Record | VideoRecord | Failure]"
FUNCTIONS = (
    Function("load", Load, "bridgeseg.runtime.model", "Model", calls="Model.load"),
    Function("predict", Predict, "bridgeseg.predicting.run", "", positional=3),
    Function("label", Label, "bridgeseg.predicting.run", RECORDS, positional=3),
    Function("check", Check, "bridgeseg.checking.check", "Report"),
    Function("import_data", Import, "bridgeseg.importing.run", "Imported"),
    Function("train", Train, "bridgeseg.training.start", "TrainResult", "train", 2, True, ("data",)),
    Function("build", Build, "bridgeseg.training.network", "Segmentor", "train", 1, True, OTHERS),
    Function("evaluate", Evaluate, "bridgeseg.evaluating.evaluate", "Scores", "train", 8),
    Function("gallery", Gallery, "bridgeseg.evaluating.gallery", "GalleryReport", positional=2),
    Function("export", Export, "bridgeseg.exporting.export", "Exported", positional=2),
    Function("quantize", Quantize, "bridgeseg.exporting.quantize", "Quantized", "int8", 3),
    Function("benchmark", Benchmark, "bridgeseg.measuring.measure", "dict[str, Any]"),
    Function("push", Push, "bridgeseg.sharing.push", "Pushed", positional=2),
    Function("compare", Compare, "bridgeseg.comparing.compare", "Comparison", "train", 2, True, tuple(OWNED)),
)
REGISTERED = {"model.method": "DEFAULT_METHOD", "model.decoder": "DEFAULT_DECODER", "against": "REFERENCES"}
"""Defaults that `bridgeseg.extend` knows."""
BEGIN, END = "<!-- settings: made by python -m bridgeseg.settings.signatures -->\n", "<!-- end of settings -->\n"


def api() -> str:
    """Return the source of `bridgeseg.api`."""
    imports = "".join(f"    from {module} import {name}\n" for module, name in TYPES.items())
    options = "".join(f"        {item.name}: {item.written_type}\n" for item in list(settings_of(Predict))[3:])
    imports += '\n    class PredictOptions(TypedDict, total=False):\n        """What `predict` takes by name."""\n\n'
    imports += options
    return HEADER + imports + "".join(f"\n\n{_source(function)}" for function in FUNCTIONS)


def table() -> str:
    """Return the table of the settings of `train`, in Markdown."""
    rows = ["| key | default | option | meaning |", "|---|---|---|---|"]
    panel = None
    for setting in settings_of(TrainConfig, groups=True):
        if setting.panel != panel:
            panel = setting.panel
            rows.append(f"| **{(panel or '').lower()}** | | | |")
        default = f"`{setting.default_text}`" if setting.default_text else ""
        option = f"`{setting.option}`" if setting.option else ""
        rows.append(f"| `{setting.key}` | {default} | {option} | {setting.text} |")
    return "\n".join(rows) + "\n"


def write(root: Path) -> None:
    """Write all of it into a working copy."""
    (root / "src/bridgeseg/api.py").write_text(api())
    page = root / "docs/training.md"
    page.write_text(with_table(page.read_text()))


def with_table(page: str) -> str:
    """Return the text of docs/training.md with the table of today's settings."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _source(function: Function) -> str:
    own = list(settings_of(function.model))
    trained = _trained(function)
    body = _body(function)
    if function.name != "predict":
        parameters = _parameters(own, trained, function.positional)
        return f"{_head(function.name, parameters, function.returns)}\n{_docstring(function, own, trained)}{body}"
    plain = _parameters(own, trained, function.positional)
    sources, model, *_ = plain
    options, out = "**options: Unpack[PredictOptions]", "out: str | Path"
    heads = [
        _head("predict", [sources, model, "out: None = None", options], RESULTS),
        _head("predict", [sources, model.removesuffix(" = None"), out, options], RECORDS),
        _head("predict", [sources, model, "*", out, options], RECORDS),
    ]
    overloads = "".join(f"@overload\n{head} ...\n" for head in heads)
    whole = _head("predict", plain, f"{RESULTS} | {RECORDS}")
    return f"{overloads}{whole}\n{_docstring(function, own, trained)}{body}"


def _trained(function: Function) -> list[Setting]:
    """Return the settings of trainings that the function takes; those of a method of its own are no parameters."""
    settings = settings_of(TrainConfig) if function.trains else ()
    return [item for item in settings if item.key not in function.without]


def _parameters(own: list[Setting], trained: list[Setting], positional: int) -> list[str]:
    names = [f"{item.name}: {item.written_type}{_default(item)}" for item in own]
    names += [f"{python_name(item.key)}: {item.written_type} = default({_value(item)})" for item in trained]
    names.insert(positional, "*")
    return [*names, *(["**dotted: object"] if trained else [])]


def _default(item: Setting) -> str:
    return "" if item.required else f" = {_value(item)}"


def _value(item: Setting) -> str:
    """Write a default as Python source: the name of one that is decided elsewhere, where the part is chosen by name."""
    return REGISTERED.get(item.key) or (
        json.dumps(item.default) if isinstance(item.default, str) else repr(item.default)
    )


def _head(name: str, parameters: list[str], returns: str) -> str:
    return f"def {name}(\n" + "".join(f"    {item},\n" for item in parameters) + f") -> {returns}:"


def _docstring(function: Function, own: list[Setting], trained: list[Setting]) -> str:
    text = textwrap.dedent("    " + (function.model.__doc__ or "")).strip()
    start, mark, rest = text.partition("\nReturns:")
    lines = ["Args:"]
    if function.model in (Train, Build):  # that of `compare`, whose settings are those of runs, refers to `train`
        own = [*own, *(replace(item, key=python_name(item.key)) for item in trained)]
    for name, meaning in ((item.name, item.text) for item in own):
        lines += textwrap.wrap(f"{name}: {meaning}.", WIDTH - 4, initial_indent=" " * 4, subsequent_indent=" " * 8)
    if trained:
        more = "" if function.model is Build else " or `loss.dice`"
        lines.append(f"    dotted: settings by their whole key, such as `model.bridge.dim`{more}.")
    whole = start + "\n" + "\n".join(lines) + "\n" + mark + rest
    return _indented(f'"""{whole}\n"""\n')


def _body(function: Function) -> str:
    name = function.model.__name__
    called = function.calls or function.name
    load = f"from {function.home} import {called.partition('.')[0]}{'' if function.calls else ' as run'}\n"
    if function.extra:
        load = f'with extra("{function.extra}"):\n    {load}'
    if function.calls:
        return _indented(f"given = locals()\n{load}return {called}(**given)\n")
    named = f"{name}, TrainConfig" if function.model is Train else name
    load += f"from {function.model.__module__} import {named}\n"
    load = load if function.extra else "".join(sorted(load.splitlines(keepends=True)))
    own = f"{name}(**given)"
    if function.trains:
        load += "" if function.model is Train else "from bridgeseg.settings.train import TrainConfig\n"
        own = f"{name}(**{name}.of(given)), chosen(given, TrainConfig, {name})"
    return _indented(f"given = locals()\n{load}return run({own})\n")


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))


if __name__ == "__main__":
    write(Path(__file__).parents[3])
