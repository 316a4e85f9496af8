"""The checks of CONTRIBUTING.md as sessions: `nox` runs lint, types, docs and fast tests; `nox --list` shows all."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "docs", "fast"]
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13"]
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    """Check types."""
    session.install(".[train,test]")
    session.run("mypy")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Build the site, and stop at a link or a name that leads nowhere."""
    session.install(".[docs]")
    session.run("zensical", "build", "--clean", "--strict")


@nox.session(python=OLDEST)
def fast(session: nox.Session) -> None:
    """Run the fast tests."""
    session.install(".[train,test]")
    session.run("pytest", "-m", "fast", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests."""
    session.install(".[train,test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def light(session: nox.Session) -> None:
    """Run the tests that need no PyTorch, where it is not installed."""
    session.install(".[light-test]")
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST, venv_backend="uv")
@nox.parametrize("extras", ["light-test", "train,test"], ids=["light", "train"])
def minimal(session: nox.Session, extras: str) -> None:
    """Run the tests with the oldest versions that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", f".[{extras}]")
    session.run("pytest", "-m", "fast", *session.posargs)
