"""Embeddings on disk: the file format, the atomic write, the cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bridgeseg.errors import DataError, InputError, ModelFileError
from bridgeseg.text.store import cache_folder, cached, fingerprint, load_embeddings, save_embeddings

NAMES = ["road", "sky"]
VECTORS = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


class Counted:
    """A text encoder's work, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> torch.Tensor:
        self.calls += 1
        return VECTORS


def entry(folder: Path) -> Path:
    (path,) = (folder / "text").iterdir()
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = save_embeddings(tmp_path / "new" / "e.safetensors", VECTORS, NAMES, encoder="x")
    vectors, names, meta = load_embeddings(path)
    assert torch.equal(vectors, VECTORS)
    assert (list(names), meta) == (NAMES, {"encoder": "x"})
    assert [file.name for file in path.parent.iterdir()] == ["e.safetensors"]


def test_half_precision_is_upcast_and_made_unit_length(tmp_path: Path) -> None:
    path = save_embeddings(tmp_path / "e.safetensors", (7 * VECTORS).half(), NAMES)
    vectors = load_embeddings(path).vectors
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(vectors, VECTORS, atol=1e-3, rtol=0)


def test_rows_must_match_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 names"):
        save_embeddings(tmp_path / "e.safetensors", VECTORS[:1], NAMES)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_embeddings(tmp_path / "e.safetensors", VECTORS, NAMES)

    def interrupted(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(InputError, match="disk full"):
        save_embeddings(path, -VECTORS, NAMES)
    assert torch.equal(load_embeddings(path).vectors, VECTORS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"embeddings": VECTORS}, None),
        ({"embeddings": VECTORS}, {"names": "road, sky"}),
        ({"embeddings": VECTORS}, {"names": '["road"]'}),
        ({"embeddings": VECTORS}, {"names": '{"road": 0, "sky": 1}'}),
        ({"embeddings": VECTORS.int()}, {"names": json.dumps(NAMES)}),
        ({"vectors": VECTORS}, {"names": json.dumps(NAMES)}),
        ({"embeddings": VECTORS * torch.tensor([[1.0], [0.0]])}, {"names": json.dumps(NAMES)}),
        ({"embeddings": VECTORS / torch.tensor([[1.0], [0.0]])}, {"names": json.dumps(NAMES)}),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, tensors: dict, metadata: dict | None) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelFileError, match=r"bad\.safetensors"):
        load_embeddings(path)


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        load_embeddings(tmp_path / "none.safetensors")
    path = save_embeddings(tmp_path / "e.safetensors", VECTORS, NAMES)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFileError, match="not a file of embeddings: is cut"):
        load_embeddings(path)


def test_the_cache_computes_once_per_key(tmp_path: Path) -> None:
    compute = Counted()
    for _ in range(2):
        assert torch.equal(cached({"a": 1}, NAMES, compute, tmp_path), VECTORS)
    assert compute.calls == 1
    cached({"a": 2}, NAMES, compute, tmp_path)
    assert compute.calls == 2


@pytest.mark.parametrize("damage", ["truncate", "empty", "foreign"])
def test_a_damaged_entry_is_rebuilt_with_a_warning(tmp_path: Path, damage: str) -> None:
    compute = Counted()
    cached({"a": 1}, NAMES, compute, tmp_path)
    path = entry(tmp_path)
    if damage == "foreign":
        save_embeddings(path, -VECTORS, NAMES, key="another")
    else:
        path.write_bytes(path.read_bytes()[:-5] if damage == "truncate" else b"")
    with pytest.warns(UserWarning, match="made again"):
        assert torch.equal(cached({"a": 1}, NAMES, compute, tmp_path), VECTORS)
    cached({"a": 1}, NAMES, compute, tmp_path)
    assert compute.calls == 2


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert torch.equal(cached({}, NAMES, Counted(), blocked), VECTORS)


def test_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGESEG_CACHE", str(tmp_path / "env"))
    assert cache_folder() == tmp_path / "env"
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("BRIDGESEG_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "bridgeseg"


def test_fingerprint_follows_changes(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "weights.pt"
    file.parent.mkdir()
    file.write_text("a")
    before = fingerprint(tmp_path)
    assert before == fingerprint(tmp_path)
    os.utime(file, ns=(1, 1))
    assert fingerprint(tmp_path) != before
    assert fingerprint(file)[0][1:] == [1, 1]


def test_one_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = save_embeddings(tmp_path / "e.safetensors", VECTORS, NAMES)
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not those that were written"):
        load_embeddings(path)


def test_a_flipped_bit_in_the_cache_is_computed_again(tmp_path: Path) -> None:
    cached({"a": 1}, NAMES, lambda: VECTORS, tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x10
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="made again: the vectors are not those that were written"):
        assert torch.equal(cached({"a": 1}, NAMES, lambda: VECTORS, tmp_path), VECTORS)
