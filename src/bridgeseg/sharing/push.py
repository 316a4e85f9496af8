"""A model -> a repository of the hub: one folder, one commit, nothing that is not listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridgeseg import __version__
from bridgeseg.description import CARD
from bridgeseg.errors import InputError
from bridgeseg.extras import extra
from bridgeseg.hub.access import LOGIN, explained, hub_access
from bridgeseg.hub.repository import MAIN, Repository
from bridgeseg.settings.push import Push
from bridgeseg.sharing.contents import OURS, contents


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be.

    Attributes:
        name: what finds it: `hf:OWNER/NAME`.
        files: name -> bytes.
        url: where it can be seen; None of a dry run.
        commit: of the upload; None of a dry run.
        folder: what a dry run wrote; None of an upload.
    """

    name: str
    files: dict[str, int]
    url: str | None = None
    commit: str | None = None
    folder: Path | None = None

    def text(self) -> str:
        """Say where it is."""
        if self.folder is not None:
            return f"{self.folder}: nothing was uploaded; this is what would be"
        return f"{self.url}: --model {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        place = None if self.folder is None else str(self.folder)
        return {"name": self.name, "files": self.files, "url": self.url, "commit": self.commit, "folder": place}


def push(asked: Push) -> Pushed:
    """Upload a model to the hub; see `bridgeseg.push`."""
    repository = Repository.of(asked.name)
    if asked.revision != MAIN:
        repository = repository.at(asked.revision)
    if not asked.dry_run:
        with TemporaryDirectory() as place:
            files = _write(Path(place), asked, repository)
            url, commit = _upload(Path(place), list(files), asked, repository)
        return Pushed(str(repository), files, url, commit)
    out = Path(asked.out or repository.id.partition("/")[2])
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError("is there already, and not empty", where=out, fix="choose another `out`")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as place:
            fresh = Path(place) / "fresh"
            fresh.mkdir()
            files = _write(fresh, asked, repository)
            if out.is_dir():
                out.rmdir()
            fresh.rename(out)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise InputError(message, where=out, fix="choose another `out`") from error
    return Pushed(str(repository), files, folder=out)


def _write(folder: Path, asked: Push, repository: Repository) -> dict[str, int]:
    """Write all that is to be uploaded; return name -> bytes."""
    with extra("hub"):
        from bridgeseg.sharing.card import model_card
    found = contents(asked)
    found.write(folder)
    (folder / CARD).write_text(model_card(repository, found, asked.license), encoding="utf-8")
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def _upload(folder: Path, files: list[str], asked: Push, repository: Repository) -> tuple[str, str]:
    """Upload the files of a folder in one commit; return where they can be seen, and the commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token

    name = repository.id
    with hub_access(needed=True), explained(str(repository)):
        if constants.HF_HUB_OFFLINE:  # it is set where nothing answers, too
            fix = "connect to the network (and unset HF_HUB_OFFLINE), or write the folder for later with `dry_run=True`"
            raise InputError("the hub cannot be reached", where=constants.ENDPOINT, fix=fix)
        if get_token() is None:
            raise InputError("you are not logged in to the hub", where=constants.ENDPOINT, fix=LOGIN)
        api = HfApi(endpoint=constants.ENDPOINT, library_name="bridgeseg", library_version=__version__)
        url = api.create_repo(name, private=asked.private or None, exist_ok=True)
        if asked.private and not api.model_info(name).private:
            message = "this repository is public already, and what is uploaded would be seen by all"
            raise InputError(message, where=str(repository), fix="choose another NAME, or leave `private` out")
        if repository.revision != MAIN:
            api.create_branch(name, branch=repository.revision, exist_ok=True)
        known = {item.rfilename for item in api.model_info(name, revision=repository.revision).siblings or ()}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(file, folder / file) for file in files),
            *(CommitOperationDelete(file) for file in OURS if file in known and file not in files),
        ]
        done = api.create_commit(
            name, operations, commit_message=f"Upload with bridgeseg {__version__}", revision=repository.revision
        )
    return str(url), str(done.oid)
