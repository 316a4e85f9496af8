"""What .onnx files ask of a runtime, and the checksum that they carry."""

from __future__ import annotations

import hashlib
import io
import logging
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from bridgeseg.exporting.modelfile import lower, save
from bridgeseg.quiet import quiet
from bridgeseg.runtime.model import BUNDLED
from bridgeseg.runtime.onnx_file import SHA256, fields, graph_digest

FILES = sorted(BUNDLED.parent.glob("*.onnx"))


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


class TestChecksum:
    def test_it_is_of_the_graph(self, rgb_onnx: Path, tmp_path: Path) -> None:
        model = onnx.load(rgb_onnx)
        save(model, tmp_path / "a.onnx")
        expected = hashlib.sha256(model.graph.SerializeToString()).hexdigest()
        assert graph_digest(tmp_path / "a.onnx") == metadata(tmp_path / "a.onnx")[SHA256] == expected
        assert metadata(tmp_path / "a.onnx").items() > metadata(rgb_onnx).items()

    def test_any_bit_of_the_graph_counts_and_no_metadata(self, rgb_onnx: Path, tmp_path: Path) -> None:
        path = tmp_path / "a.onnx"
        save(onnx.load(rgb_onnx), path)
        before, content = graph_digest(path), path.read_bytes()
        with path.open("rb") as file:
            ((start, length),) = [(start, length) for number, start, length in fields(file) if number == 7]
        for place in (start, start + length // 2, start + length - 1):
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(changed)
            assert graph_digest(path) != before
        model = onnx.load(rgb_onnx)
        helper.set_model_props(model, {"other": "metadata"})
        save(model, path)
        assert graph_digest(path) == before

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_bundled_files_are_whole(self, file: Path) -> None:
        assert metadata(file)[SHA256] == graph_digest(file)

    def test_a_cut_file_is_an_error(self, rgb_onnx: Path, tmp_path: Path) -> None:
        content = rgb_onnx.read_bytes()
        for size in (1, len(content) // 2, len(content) - 1):
            (tmp_path / "a.onnx").write_bytes(content[:size])
            with pytest.raises(ValueError, match="no ONNX file, or cut"):
                graph_digest(tmp_path / "a.onnx")

    @pytest.mark.parametrize("content", [b"\xff" * 20, b"\x0b", b"\x00\x00", b"\x3a\xff\xff\xff\x7f", b"not onnx"])
    def test_no_onnx_file(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="no ONNX file"):
            list(fields(io.BytesIO(content)))

    def test_endless_fields_are_refused(self) -> None:
        with pytest.raises(ValueError, match="more than 100,000 fields"):
            list(fields(io.BytesIO(b"\x08\x01" * 100_001)))


class TestDemands:
    def test_unused_operator_sets_go(self) -> None:
        node = helper.make_node("Identity", ["x"], ["y"])
        graph = helper.make_graph([node], "g", [], [])
        model = helper.make_model(
            graph, ir_version=10, opset_imports=[helper.make_opsetid(*pair) for pair in (("ai.onnx.ml", 5), ("", 18))]
        )
        lower(model)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
        assert model.ir_version == 7

    def test_operator_sets_of_branches_stay(self) -> None:
        inner = helper.make_graph([helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")], "inner", [], [])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        sets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("", 21)]
        model = helper.make_model(helper.make_graph([node], "g", [], []), ir_version=12, opset_imports=sets)
        lower(model)
        assert len(model.opset_import) == 2
        assert model.ir_version == 10

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_bundled_files_run_in_old_runtimes(self, file: Path) -> None:
        model = onnx.load(file)
        assert model.ir_version == 8
        lowest = {"open.onnx": 17}.get(file.name, 18)  # it has no ReduceL2, whose axes are an input from 18 on
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", lowest)]


def test_bundled_weights_are_what_they_were() -> None:
    """The float file's weights have not changed since it was trained, whatever else was written anew."""
    weights = onnx.load(BUNDLED.with_name("street.onnx")).graph.initializer
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(numpy_helper.to_array(one)).tobytes() for one in weights))
    assert digest.hexdigest() == "9ef12343d5790f1125264e760e7f69fe769e356b99c23559cf2aa347733a81c8"


class TestQuiet:
    def test_levels_and_handlers_are_given_back(self, caplog: pytest.LogCaptureFixture) -> None:
        root, own = logging.getLogger(), logging.getLogger("talkative")
        own.setLevel(logging.DEBUG)
        before = root.level, root.handlers[:]

        def fail() -> None:
            with quiet("talkative", ""):
                own.warning("not said")
                own.error("said")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert (root.level, root.handlers) == before
        assert own.level == logging.DEBUG
        assert caplog.messages == ["said"]

    def test_no_handler_for_the_whole_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [])
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        with quiet("other"):
            logging.warning("from a library")
        assert root.handlers == []
