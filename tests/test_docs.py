"""What the pages say is tried: Python is run and type-checked, commands are parsed, README's are run on tiny data."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from markdown_it import MarkdownIt
from PIL import Image

import bridgeseg
from bridgeseg.cli import COMMANDS, app, main, whole
from type_checking import MYPY, variables

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
LANGUAGES = {"python", "bash", "yaml", "toml", "json", "text"}
SHORTER = {
    "train": "--epochs 1 --batch-size 4 --crop 32x32 --text-encoder random:16/0 --set workers=0",
    "compare": "--epochs 1 --batch-size 4 --crop 32x32 --text-encoder random:16/0 --dry-run",
}
"""Options that go behind those of a page, so that the command takes seconds and no network."""
LENIENT = "allow-untyped-defs, allow-untyped-calls, allow-redefinition"
"""What the checker allows in a page, whose snippets are one module."""
NAMES = ("road", "car", "pedestrian")


@dataclass(frozen=True)
class Snippet:
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def snippets(page: Path, *languages: str) -> list[Snippet]:
    """Return the blocks of code of a page, those of some languages or all."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    blocks = [token for token in tokens if token.type in ("fence", "code_block")]
    found = [Snippet(page, (block.map or [0])[0] + 1, block.info.strip(), block.content) for block in blocks]
    return [snippet for snippet in found if not languages or snippet.language in languages]


def excerpts(page: Path) -> list[tuple[Snippet, str]]:
    """Return the blocks of a page that stand in a file of the repository, ```LANGUAGE title="FILE", and the file."""
    return [(block, found[1]) for block in snippets(page) if (found := re.search(r'title="(.*)"', block.language))]


def commands(snippet: Snippet, program: str) -> list[list[str]]:
    """Return the words of every call of `program` in a block for a shell, without pipes, redirections and comments."""
    lines = snippet.text.replace("\\\n", " ").replace("$options", "").splitlines()
    calls = []
    for part in (part for line in lines for part in _split(line)):
        if program in part:
            calls.append(part[part.index(program) + 1 :])
    return calls


def _split(line: str) -> Iterator[list[str]]:
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    words.whitespace_split = True
    part: list[str] = []
    for word in words:
        if set(word) <= set("|&;<>"):
            yield part
            part = []
        else:
            part.append(word)
    yield part


SHELL = [snippet for page in PAGES for snippet in snippets(page, "bash")]
PYTHON = [page for page in PAGES if snippets(page, "python")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_say_their_language(page: Path) -> None:
    strange = [str(snippet) for snippet in snippets(page) if snippet.language.partition(" ")[0] not in LANGUAGES]
    assert not strange, f"not one of {sorted(LANGUAGES)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_excerpts_are_what_the_file_says(page: Path) -> None:
    for snippet, file in excerpts(page):
        assert snippet.text in (ROOT / file).read_text(encoding="utf-8"), snippet


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    inner = [child for token in tokens for child in token.children or ()]
    targets = {str(child.attrs.get("href") or child.attrs.get("src")) for child in inner if child.attrs}
    files = {target.partition("#")[0] for target in targets if not re.match(r"https?:|mailto:", target)}
    assert not [file for file in files if file and not (page.parent / file).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_leads_out_of_the_repository(page: Path) -> None:
    assert "../shared" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("snippet", SHELL, ids=str)
def test_commands_are_understood(snippet: Snippet) -> None:
    for words in commands(snippet, "bridgeseg"):
        parse(words)


def parse(words: list[str]) -> None:
    """Let the parser of the command line read words; nothing is run."""
    command: Any = typer.main.get_command(app)
    if words == ["--version"]:
        return
    context = command.make_context("bridgeseg", list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = whole(name) if name in COMMANDS else command.commands[name]
        context = command.make_context(name, list(words), parent=context)
    context.close()


@pytest.mark.parametrize("words", ["train --dat data.yaml", "predikt x.jpg", "train --epochs many", "info --model"])
def test_a_wrong_command_is_noticed(words: str) -> None:
    with pytest.raises(Exception, match=r"no command|No such option|valid integer|requires an argument"):
        parse(words.split())


@pytest.mark.parametrize("snippet", [snippet for snippet in SHELL if "python benchmarks/" in snippet.text], ids=str)
def test_scripts_and_their_options_exist(snippet: Snippet) -> None:
    for words in commands(snippet, "python"):
        if words[0].startswith("benchmarks/"):
            code = (ROOT / words[0]).read_text(encoding="utf-8")
            helpers = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "benchmarks").glob("_*.py"))
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            assert not [option for option in options if f'"{option}"' not in code + helpers]


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train for a second and export; return what `bridgeseg.train` gives."""
    pytest.importorskip("lightning")
    from tiny_data import TINY, write_dataset

    root = tmp_path_factory.mktemp("docs")
    run = bridgeseg.train(data=write_dataset(root / "data", names=NAMES), out=root / "run", quiet=True, **TINY)
    bridgeseg.export(model=run.folder, out=root / "run" / "file.onnx", logits=True)
    return run


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with what the pages take for granted: datasets, images, videos."""
    from tiny_data import write_dataset

    for root in (tmp_path, tmp_path / "data" / "camvid"):
        write_dataset(root, names=NAMES)
        for kind in ("images", "masks"):
            shutil.copytree(root / kind / "val", root / kind / "test")
        text = (root / "data.yaml").read_text(encoding="utf-8")
        (root / "data.yaml").write_text(text.replace("masks_dir", "test: images/test\nmasks_dir"), encoding="utf-8")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "photos").mkdir()
    for name in ("photos/a.jpg", "photos/b.jpg", "photo.jpg", "street.jpg"):
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(desk: Path, tiny_run: Any) -> Path:
    """Enter the same folder with a run and its file."""
    for name in ("mine", "demo"):
        shutil.copytree(tiny_run.folder, desk / "runs" / name)
    for name in ("mine.onnx", "street.onnx"):
        shutil.copy(tiny_run.folder / "file.onnx", desk / name)
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and what OpenAI's files are
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), desk / "ViT-B-16.pt")
    return desk


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path, trained: Path, tiny_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGESEG_CACHE", str(trained / "cache"))
    compared = SimpleNamespace(results={"cells": [{"miou": {"mean": 0.5}}]}, failed=[])
    for name, result in (("train", tiny_run), ("compare", compared)):
        monkeypatch.setattr(bridgeseg, name, checked(getattr(bridgeseg, name), result), raising=False)
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in snippets(page, "python"):
        exec(compile("\n" * snippet.line + snippet.text, str(page), "exec"), names)


def checked(function: Callable[..., Any], result: Any) -> Callable[..., Any]:
    """Return a function that takes what `function` takes, looks at the settings among it, and returns `result`."""

    def call(*args: Any, **given: Any) -> Any:
        bound = inspect.signature(function).bind(*args, **given)
        assert bound.arguments
        return result

    return call


@pytest.mark.slow
def test_python_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for page in PYTHON:
        code = "\n".join(snippet.text for snippet in snippets(page, "python"))
        name = f"page_{page.stem.lower().replace('-', '_')}.py"
        (tmp_path / name).write_text(f"# mypy: {LENIENT}\n{code}", encoding="utf-8")
    run = [sys.executable, "-m", "mypy", *MYPY, str(tmp_path)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, env=variables())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_readme_can_be_followed(desk: Path, tiny_run: Any) -> None:
    for split in ("train", "val", "test"):  # CamVid as SegNet's tutorial lays it out
        shutil.copytree(desk / "images" / split, desk / "DOWNLOAD" / split)
        shutil.copytree(desk / "masks" / split, desk / "DOWNLOAD" / f"{split}annot")
    shutil.rmtree(desk / "data")
    for snippet in snippets(ROOT / "README.md", "bash"):
        for words in commands(snippet, "bridgeseg"):
            words = [
                file for word in words for file in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
            ]
            if "--download" in words:  # there is no network in tests; what is downloaded lies here
                words[words.index("--download") : words.index("--download") + 1] = ["--root", "DOWNLOAD"]
            assert main([*words, *shlex.split(SHORTER.get(words[0], ""))]) == 0, words
