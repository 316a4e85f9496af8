"""Downloads of public datasets: from a server of this machine, whole, broken off, wrong, too large, and hostile."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridgeseg.catalog import entry, names, prepare
from bridgeseg.catalog.fetch import TRIES, fetch
from bridgeseg.catalog.obtain import RECORD, obtain
from bridgeseg.catalog.schema import Archive, Entry
from bridgeseg.catalog.unpack import unpack
from bridgeseg.cli import main
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError
from file_server import FileServer
from test_catalog import make_camvid11

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "*")
    with FileServer({"file": CONTENT}) as running:
        yield running


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFetch:
    def test_a_file_comes_whole(self, tmp_path: Path, server: FileServer) -> None:
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT
        assert left(tmp_path) == ["here"]

    def test_what_breaks_off_is_continued(self, tmp_path: Path, server: FileServer) -> None:
        server.breaks = 2
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT
        half = len(CONTENT) // 2
        assert [part for _, part in server.asked] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]

    def test_a_later_call_continues(self, tmp_path: Path, server: FileServer) -> None:
        server.breaks = TRIES
        with pytest.raises(InputError, match=r"broke off 5 times, 1\.0 MB are here[\s\S]*run the same command again"):
            fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert not (tmp_path / "here").exists()
        there = (tmp_path / "here.part").stat().st_size
        server.asked.clear()
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert server.asked == [("file", f"bytes={there}-")]
        assert (tmp_path / "here").read_bytes() == CONTENT

    @pytest.mark.parametrize("change", [{"tag": '"two"'}, {"ranges": False}, {"tag": ""}])
    def test_what_has_changed_is_loaded_anew(self, tmp_path: Path, server: FileServer, change: dict[str, Any]) -> None:
        server.tag = "" if change.get("tag") == "" else server.tag
        server.breaks = TRIES
        with pytest.raises(InputError, match="broke off"):
            fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        server.files["file"] = CONTENT[::-1]
        for name, value in change.items():
            setattr(server, name, value)
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT[::-1]

    def test_one_that_was_whole_when_the_call_was_killed(self, tmp_path: Path, server: FileServer) -> None:
        (tmp_path / "here.part").write_bytes(CONTENT)
        (tmp_path / "here.part.json").write_text(json.dumps({"validator": server.tag}))
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT

    @pytest.mark.parametrize("sized", [True, False])
    def test_it_is_bounded(self, tmp_path: Path, server: FileServer, sized: bool) -> None:
        server.sized = sized
        with pytest.raises(InputError, match=r"at most 0\.5 MB|more than the 0\.5 MB"):
            fetch(f"{server.address}/file", tmp_path / "here", 500_000)
        assert not (tmp_path / "here").exists()

    def test_the_disk_is_full(self, tmp_path: Path, server: FileServer) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            with pytest.raises(InputError, match=r"here\.part: cannot be written[\s\S]*free some space"):
                fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        fetch(f"{server.address}/file", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT

    def test_the_server_has_it_not(self, tmp_path: Path, server: FileServer) -> None:
        with pytest.raises(InputError, match="the server answered 404 'Not Found'"):
            fetch(f"{server.address}/other", tmp_path / "here", 9)

    def test_there_is_no_server(self, tmp_path: Path, server: FileServer) -> None:
        server.__exit__()
        with pytest.raises(InputError, match=r"cannot be reached[\s\S]*check the network"):
            fetch(f"{server.address}/file", tmp_path / "here", 9)

    def test_redirections(self, tmp_path: Path, server: FileServer) -> None:
        server.leads = {"moved": f"{server.address}/file", "away": "ftp://127.0.0.1/file"}
        fetch(f"{server.address}/moved", tmp_path / "here", len(CONTENT))
        assert (tmp_path / "here").read_bytes() == CONTENT
        with pytest.raises(InputError, match="cannot be reached"):
            fetch(f"{server.address}/away", tmp_path / "there", len(CONTENT))


def zipped(files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return file.getvalue()


def tarred(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return file.getvalue()


def described(**changes: Any) -> Archive:
    values = {"url": "https://example.org/a.zip", "strip": 1, "takes": ("data",), "size_mb": 5, "unpacked_mb": 1}
    return Archive.model_validate(values | changes)


def linked(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


def hard_linked(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "top/data/a", 0


def device(info: tarfile.TarInfo) -> None:
    info.type, info.size = tarfile.CHRTYPE, 0


def zip_link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


GOOD = {"top/data/a": b"1", "top/data/in/b": b"22", "top/other": b"3", "top/database": b"4"}


class TestUnpack:
    @pytest.mark.parametrize("pack", [zipped, tarred])
    def test_what_is_asked_for_and_nothing_else(self, tmp_path: Path, pack: Callable[..., bytes]) -> None:
        (tmp_path / "file").write_bytes(pack(GOOD))
        unpack(tmp_path / "file", described(), tmp_path / "new")
        found = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*")}
        assert found == {"data", "data/a", "data/in", "data/in/b"}
        assert (tmp_path / "new/data/in/b").read_bytes() == b"22"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (zipped({"top/data/../../../out": b"1"}), "leads outside"),
            (tarred({"top/data/../../../out": b"1"}), "leads outside"),
            (zipped({"top/data/a": b"/etc/passwd"}, zip_link), "no regular file"),
            (tarred({"top/data/a": b""}, linked), "no regular file"),
            (tarred({"top/data/a": b""}, hard_linked), "no regular file"),
            (tarred({"top/data/a": b""}, device), "no regular file"),
            (zipped({"top/data/a": bytes(1_000_001)}), "unpacks to more than 1 MB"),
            (tarred({"top/data/a": bytes(600_000), "top/data/b": bytes(600_000)}), "unpacks to more than 1 MB"),
            (tarred({"top/data/a": b"1"}) + tarred({"top/data/a": b"1"}), None),  # what follows the end is not read
            (zipped(GOOD)[:-30], "is damaged"),
            (zipped(GOOD).replace(b"top/data/a", b"top/data/b", 1), "is damaged"),
            (tarred(GOOD)[:60], "is damaged"),
            (b"<html>Sign in</html>", "is damaged"),
            (zipped({"top/other": b"1"}), "it holds no data"),
            (zipped({"/top/data/a": b"1"}), "it holds no data"),
        ],
        ids=lambda value: value if isinstance(value, str) else "archive",  # archives hold the time
    )
    def test_strangers(self, tmp_path: Path, content: bytes, message: str | None) -> None:
        (tmp_path / "file").write_bytes(content)
        if message is None:
            unpack(tmp_path / "file", described(), tmp_path / "new" / "deep")
            return
        with pytest.raises(DataError, match=message):
            unpack(tmp_path / "file", described(), tmp_path / "new" / "deep")
        assert left(tmp_path) in (["file"], ["file", "new"])
        assert not any(path.is_symlink() for path in tmp_path.rglob("*"))

    def test_a_name_that_is_there_twice(self, tmp_path: Path) -> None:
        content = zipped({"top/data/a": b"1", "top/data/b": b"2"}).replace(b"top/data/b", b"top/data/a")
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(DataError, match="twice"):
            unpack(tmp_path / "file", described(), tmp_path / "new")


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    """An archive like that of camvid-11."""
    make_camvid11(tmp_path / "made")
    files = [path for path in sorted((tmp_path / "made").rglob("*")) if path.is_file()]
    return zipped({f"top/{path.relative_to(tmp_path / 'made').as_posix()}": path.read_bytes() for path in files})


def small(server: FileServer, content: bytes, **changes: Any) -> Entry:
    """Return the entry of camvid-11 with an archive that a server of this machine has."""
    server.files["camvid.zip"] = content
    archive = described(url=f"{server.address}/camvid.zip", takes=("CamVid",), **changes)
    return entry("camvid-11").model_copy(update={"archives": (archive,)})


class TestObtain:
    def test_it_is_loaded_once_and_remembered(self, tmp_path: Path, server: FileServer, packed: bytes) -> None:
        known, root = small(server, packed), tmp_path / "root"
        (line,) = obtain(known, root)
        sha256 = hashlib.sha256(packed).hexdigest()
        assert sha256 in line
        assert left(root) == ["CamVid", RECORD]
        record = json.loads((root / RECORD).read_text())
        assert record == {known.archives[0].url: {"bytes": len(packed), "sha256": sha256}}
        server.files.clear()
        assert obtain(known, root) == ()

    @pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
    def test_a_published_digest(self, tmp_path: Path, server: FileServer, packed: bytes, kind: str) -> None:
        wanted = f"{kind}:{hashlib.new(kind, packed).hexdigest()}"
        (line,) = obtain(small(server, packed, digest=wanted), tmp_path / "root")
        assert f"its {kind} digest is the published one" in line
        with pytest.raises(DataError, match=rf"its {kind} digest is \w+, not {wanted[-32:]}|not \w+{wanted[-8:]}"):
            obtain(small(server, packed + b"\0", digest=wanted), tmp_path / "other")
        assert left(tmp_path / "other") == []

    def test_another_file_than_before(self, tmp_path: Path, server: FileServer, packed: bytes) -> None:
        root = tmp_path / "root"
        obtain(small(server, packed), root)
        (root / "CamVid").rename(tmp_path / "elsewhere")
        with pytest.raises(DataError, match=r"when it was loaded before[\s\S]*delete download\.json"):
            obtain(small(server, zipped(GOOD)), root)
        (root / RECORD).unlink()
        obtain(small(server, packed), root)
        assert left(root) == ["CamVid", RECORD]

    def test_contents_of_an_archive_that_is_packed_anew(self, tmp_path: Path, server: FileServer) -> None:
        listed = "".join(f"{hashlib.sha256(c).hexdigest()}  CamVid/{n}\n" for n, c in (("a", b"1"), ("b/c", b"2")))
        wanted = hashlib.sha256(listed.encode()).hexdigest()
        files = {"x/CamVid/a": b"1", "x/CamVid/b/c": b"2"}
        for number, content in enumerate((zipped(files), tarred(files))):
            (line,) = obtain(small(server, content, contents=wanted), tmp_path / str(number))
            assert "its files are those of the published version" in line
        with pytest.raises(DataError, match=r"the files in it have the SHA-256"):
            obtain(small(server, zipped(files | {"x/CamVid/a": b"3"}), contents=wanted), tmp_path / "other")
        assert left(tmp_path / "other") == []

    def test_folders_of_somebody_else_stay(self, tmp_path: Path, server: FileServer, packed: bytes) -> None:
        root = tmp_path / "made"  # where `packed` comes from
        with pytest.raises(InputError, match=r"holds CamVid already[\s\S]*bridgeseg data prepare camvid-11 --root"):
            obtain(small(server, packed), root)
        assert left(root) == ["CamVid"]
        assert server.asked == []
        assert main(["data", "prepare", "camvid-11", "--root", str(root), "--out", str(tmp_path / "out")]) == 0

    def test_a_call_that_was_killed_while_it_unpacked(self, tmp_path: Path, server: FileServer, packed: bytes) -> None:
        known, root = small(server, packed), tmp_path / "root"
        obtain(known, root)
        (root / "CamVid/train/0001TP_train.png").rename(root / ".camvid.zip")
        (root / ".camvid.zip").write_bytes(packed)  # it had come whole
        (root / ".unpacked/CamVid").mkdir(parents=True)
        (root / ".unpacked/CamVid/half").touch()
        (root / "CamVid").rename(tmp_path / "lost")
        server.files.clear()
        assert len(obtain(known, root)) == 1
        assert left(root) == ["CamVid", RECORD]
        assert (root / "CamVid/train/0001TP_train.png").exists()

    def test_a_record_that_is_damaged(self, tmp_path: Path, server: FileServer, packed: bytes) -> None:
        (tmp_path / RECORD).write_text('{"a": 1}')
        with pytest.raises(InputError, match="does not tell what was loaded"):
            obtain(small(server, packed), tmp_path)


class TestCommand:
    def test_from_an_address_to_a_dataset(
        self,
        tmp_path: Path,
        server: FileServer,
        packed: bytes,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        known = small(server, packed)
        monkeypatch.setattr("bridgeseg.catalog.build.entry", lambda name: known)
        words = ["data", "prepare", "camvid-11", "--download", "--out", str(tmp_path / "out")]
        assert main(words) == 0
        printed = capsys.readouterr()
        assert "terms of use" in printed.err
        assert f"SHA-256 {hashlib.sha256(packed).hexdigest()}" in printed.err
        spec = DataSpec.load(tmp_path / "out/data.yaml")
        assert {split: len(spec.samples(split)) for split in spec.splits} == {"train": 1, "val": 1, "test": 1}
        server.files.clear()
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["files"] == {"kept": 6}

    def test_a_mirror_with_other_files(
        self, tmp_path: Path, server: FileServer, packed: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.files[f"all/{entry('camvid-11').archives[0].name}"] = packed
        words = ["data", "prepare", "camvid-11", "--download", "--out", str(tmp_path / "out")]
        assert main([*words, "--mirror", f"{server.address}/all/"]) == 2
        assert "the server has another version: download it by hand" in capsys.readouterr().err
        assert not (tmp_path / "out/data.yaml").exists()

    @pytest.mark.parametrize("name", [name for name in names() if not entry(name).archives])
    def test_datasets_that_no_program_may_load(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ConfigError, match=f"download it from http[\\s\\S]*data prepare {name} --root"):
            prepare(name, out=tmp_path / "out", download=True)
        assert left(tmp_path) == []

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"out": "new"}, "--download --out DIR, or bridgeseg data prepare camvid-11 --root FOLDER --out DIR"),
            ({"root": "."}, "no folder to make"),
            ({"root": ".", "out": "new", "mirror": "https://example.org"}, "it is for a download"),
            ({"out": "new", "download": True, "mirror": "file:///etc"}, "expected the address of a folder"),
        ],
    )
    def test_what_is_missing_or_too_much(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            prepare("camvid-11", **given)

    def test_entries_name_plain_addresses_and_bounds(self) -> None:
        loaded = [name for name in names() if entry(name).archives]
        assert loaded == ["ade20k", "camvid-11", "labelmefacade", "voc2012"]
        for name in loaded:
            for archive in entry(name).archives:
                assert archive.digest or archive.contents
                assert archive.name.endswith((".zip", ".tar"))
