"""mypy on programs of tests, by the settings and the cache of the package's own check: PyTorch is read once."""

from __future__ import annotations

import os
from pathlib import Path

import bridgeseg

ROOT = Path(__file__).parents[1]
MYPY = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
"""Options of mypy."""


def variables() -> dict[str, str]:
    """Return the variables with which a type checker finds the package that is tested."""
    source = str(Path(bridgeseg.__file__).parents[1])
    places = {} if "site-packages" in source else {"MYPYPATH": source, "PYTHONPATH": source}  # mypy refuses the former
    return os.environ | places
