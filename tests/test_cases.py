"""Situations from the field: every folder of `cases` holds input, the commands typed, and what is to come of them.

`cmd` is run by a shell in a copy of the folder; `want.txt` says in words what is wanted, and `expect.yaml` so that it
can be tested: `exit` is the exit code of the last command, each text of `says` must stand in what the commands print
(line breaks and runs of blanks count as one blank), and none of `silent_about` may. `without` names packages with
which the case would be another, `needs` those without which it would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

CASES = Path(__file__).parent / "cases"
NAMES = sorted(folder.name for folder in CASES.iterdir() if (folder / "cmd").is_file())

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")]


def in_words(text: str) -> str:
    """Return a text without line breaks and the frames of tables, so that a sentence can be found in it."""
    return " ".join("".join(" " if mark in "│┃|\n" else mark for mark in text).split())


@pytest.mark.parametrize("name", NAMES)
def test_case(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(CASES / name, folder)
    expected = yaml.safe_load((folder / "expect.yaml").read_text(encoding="utf-8"))
    if any(find_spec(package) for package in expected.get("without", ())):
        pytest.skip(f"{expected['without']} is installed")
    if not all(find_spec(package) for package in expected.get("needs", ())):
        pytest.skip(f"{expected['needs']} is not installed")
    assert (folder / "want.txt").read_text(encoding="utf-8").strip()
    shim = tmp_path / "bin" / "bridgeseg"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bridgeseg "$@"\n')
    shim.chmod(0o755)
    paths = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "cmd"],
        cwd=folder,
        env=os.environ | {"PATH": paths, "COLUMNS": "10000", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    said = in_words(done.stdout)
    assert "Traceback" not in said
    assert done.returncode == expected["exit"], done.stdout
    for text in expected.get("says", ()):
        assert in_words(text) in said, done.stdout
    for text in expected.get("silent_about", ()):
        assert in_words(text) not in said, done.stdout
