"""Which bundled file a processor is given, and why; what is injected are the features that it says it has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError
from bridgeseg.runtime.processor import FLOAT, INT8, VARIABLE, adds_in_16_bits, bundled
from tiny_onnx import photo


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def pretend(machine: str, flags: str | None) -> None:
        file = tmp_path / "cpuinfo"
        if flags is not None:
            file.write_text(f"processor\t: 0\nmodel name\t: with avx2 in its name\nflags\t\t: {flags}\n")
        monkeypatch.setattr("platform.machine", lambda: machine)
        monkeypatch.setattr("bridgeseg.hardware.CPU_INFO", file)

    monkeypatch.delenv(VARIABLE, raising=False)
    return pretend


@pytest.mark.parametrize(
    ("machine", "flags", "file", "why", "narrow"),
    [
        ("x86_64", "sse4_1 avx avx2 avx512_vnni", INT8, "VNNI", False),
        ("AMD64", "avx avx2 avx_vnni", INT8, "VNNI", False),
        ("x86_64", "sse4_1 avx avx2 fma", INT8, "AVX2", True),
        ("x86_64", "sse4_1 avx", FLOAT, "without AVX2", True),
        ("x86_64", "sse4_1 avx2x", FLOAT, "without AVX2", True),
        ("x86_64", None, INT8, "nothing is known", True),
        ("aarch64", None, INT8, "nothing is known", False),
        ("aarch64", "fp asimd", INT8, "nothing is known", False),
    ],
)
def test_the_file_suits_the_processor(processor, machine, flags, file, why, narrow) -> None:  # type: ignore[no-untyped-def]
    processor(machine, flags)
    path, told = bundled()
    assert path.stem == file
    assert why in told
    assert adds_in_16_bits() == narrow


def test_the_environment_decides(processor, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    processor("x86_64", "avx2 avx512_vnni")
    monkeypatch.setenv(VARIABLE, FLOAT)
    assert (bundled()[0].stem, bundled()[1]) == (FLOAT, f"{VARIABLE} says so")
    monkeypatch.setenv(VARIABLE, "strete")
    with pytest.raises(ConfigError, match="did you mean 'street'"):
        bundled()
    assert main(["info"]) == 2


def test_what_is_loaded_and_what_info_says(processor, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    processor("x86_64", "sse4_1 avx")
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (Path(facts["path"]).stem, facts["chosen"]) == (FLOAT, "floats: without AVX2, 8 bits are no faster")
    assert main(["info"]) == 0
    assert "without AVX2, 8 bits are no faster" in capsys.readouterr().out
    assert bridgeseg.load(INT8).describe().get("chosen") is None
    model, image = bridgeseg.load(), photo(1, 64, 96)
    assert np.array_equal(model.predict(image).mask, bridgeseg.load(FLOAT).predict(image).mask)
