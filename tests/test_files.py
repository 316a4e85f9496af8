"""Files that are whole or not there at all, and names that stay in their folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from bridgeseg import files
from bridgeseg.errors import InputError
from bridgeseg.files import below, digest, replace_folder, replacing, sweep, write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWrite:
    def test_text_and_bytes(self, tmp_path: Path) -> None:
        write(tmp_path / "new" / "a.txt", "é")
        write(tmp_path / "new" / "b", b"\0")
        assert (tmp_path / "new" / "a.txt").read_bytes() == b"\xc3\xa9"
        assert names(tmp_path / "new") == ["a.txt", "b"]

    def test_the_old_file_stays_if_the_disk_is_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.png"
        write(path, b"old")

        def full(self: Path, content: bytes) -> None:
            with self.open("wb") as file:
                file.write(content[:1])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match=r"a\.png: cannot be written: No space left on device\n  fix: or"):
            write(path, b"new", fix="or")
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["a.png"]

    def test_the_old_file_stays_if_the_block_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        write(path, "old")

        def fail() -> None:
            with replacing(path) as part:
                part.write_text("half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a"]

    def test_a_link_is_replaced_and_its_target_left_alone(self, tmp_path: Path) -> None:
        target, link = tmp_path / "mine", tmp_path / "link"
        target.write_text("mine")
        link.symlink_to(target)
        write(link, "new")
        assert target.read_text() == "mine"
        assert link.read_text() == "new"
        assert not link.is_symlink()

    def test_file_and_folder_are_flushed_around_the_rename(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []
        fsync, replace = os.fsync, Path.replace

        def flushed(number: int) -> None:
            events.append("folder" if os.path.isdir(f"/proc/self/fd/{number}") else "file")  # noqa: PTH112
            fsync(number)

        def renamed(self: Path, target: Path) -> Path:
            events.append("rename")
            return replace(self, target)

        monkeypatch.setattr(os, "fsync", flushed)
        monkeypatch.setattr(Path, "replace", renamed)
        write(tmp_path / "a", "x")
        assert events == ["file", "rename", "folder"]


class TestReplaceFolder:
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Path:
        fresh = tmp_path / "fresh"
        (fresh / "sub").mkdir(parents=True)
        (fresh / "sub" / "a").write_text("new")
        return fresh

    def test_it_takes_the_place(self, fresh: Path, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "old").touch()
        replace_folder(fresh, folder)
        assert (folder / "sub" / "a").read_text() == "new"
        assert names(tmp_path) == ["run"]
        assert names(folder) == ["sub"]

    def test_a_link_is_not_followed(self, fresh: Path, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        mine.mkdir()
        (tmp_path / "run").symlink_to(mine)
        replace_folder(fresh, tmp_path / "run")
        assert names(mine) == []
        assert not (tmp_path / "run").is_symlink()

    def test_the_old_one_is_back_if_a_rename_fails(
        self, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, rename = tmp_path / "run", Path.rename
        folder.mkdir()
        (folder / "old").touch()

        def fails(self: Path, target: Path) -> Path:
            if self == fresh:
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fails)
        with pytest.raises(OSError, match="Input/output error"):
            replace_folder(fresh, folder)
        assert names(folder) == ["old"]


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "C:\\a", "..\\a", "", "C:a"])
def test_names_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leads outside the folder"):
        below(tmp_path, name)


def test_names_below_the_folder(tmp_path: Path) -> None:
    assert below(tmp_path, "a/b.png") == tmp_path / "a" / "b.png"
    assert below(tmp_path, "a\\b.png") == tmp_path / "a" / "b.png"


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_that_refuses_to_be_flushed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(number: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuses)
    files.flush(tmp_path)
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        files.flush(tmp_path / "a")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with suppress(RuntimeError), replacing(tmp_path / "a.png") as part:
        name = part.name
        raise RuntimeError
    kept = ["." + "z" * 32 + ".part", "a" + name, name + "x/y", name.replace(".part", ".old"), ".part", "mine.part"]
    for other in kept:
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).touch()
    (tmp_path / name).touch()
    (tmp_path / ("." + "b" * 32 + ".part")).symlink_to(tmp_path / "mine.part")
    sweep(tmp_path)
    assert (tmp_path / name).exists(), "another process may be writing it"
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    sweep(tmp_path)
    assert not (tmp_path / name).exists()
    assert all((tmp_path / other).exists() for other in kept)
    sweep(tmp_path / "missing")


def test_space_is_asked_for_only_where_it_helps(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written") as caught:
        write(tmp_path / "folder", "text", "free some space, or choose another `out`")
    assert caught.value.fix == "choose another `out`"
