"""Commands that train start with an allocator that keeps what is freed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bridgeseg.commands import memory

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")


class StartedError(Exception):
    """In place of a program that is replaced by another."""


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], dict[str, str]]]:
    """Return what programs would be started, and keep them from it."""
    found: list[tuple[str, list[str], dict[str, str]]] = []

    def execve(path: str, words: list[str], environment: dict[str, str]) -> None:
        found.append((path, words, environment))
        raise StartedError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    return found


@glibc
@pytest.mark.parametrize("command", memory.TRAINING)
def test_a_training_starts_again_once(
    starts: list[tuple[str, list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with pytest.raises(StartedError):
        memory.keep([command, "--data", "data.yaml"])
    [(path, words, environment)] = starts
    assert (path, words) == (sys.executable, sys.orig_argv)
    assert "trim_threshold" in environment[memory.VARIABLE]
    monkeypatch.setenv(memory.VARIABLE, environment[memory.VARIABLE])
    memory.keep([command, "--data", "data.yaml"])


@pytest.mark.parametrize("words", [[], ["predict", "train"], ["train", "--help"], ["compare", "-h"], ["--version"]])
def test_others_do_not(starts: list[tuple[str, list[str], dict[str, str]]], words: list[str]) -> None:
    memory.keep(words)
    assert not starts


@pytest.mark.slow
@glibc
def test_the_command_says_its_mistake_once_and_keeps_its_number(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != memory.VARIABLE}
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nwith open(os.environ['SEEN'], 'a') as file:\n"
        f"    print(os.getpid(), {memory.VARIABLE!r} in os.environ, file=file)\n"
    )
    seen = tmp_path / "seen.txt"
    done = subprocess.run(
        [sys.executable, "-m", "bridgeseg", "train", "--data", "missing.yaml", "--method", "none"],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "SEEN": str(seen)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    (first, before), (second, after) = (line.split() for line in seen.read_text().splitlines())
    assert first == second
    assert (before, after) == ("False", "True")
