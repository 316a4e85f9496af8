from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgeseg import __version__, api
from bridgeseg.cli import ELSEWHERE, main, whole
from bridgeseg.commands import arguments
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.pixels import Reading
from bridgeseg.wording import printable


@pytest.fixture
def photo(tmp_path: Path, stripes: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(stripes).save(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class TestPredict:
    def test_one_picture(self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path) -> None:
        code, out, err = run(capsys, "predict", photo, "--model", rgb_onnx, "--out", tmp_path / "out")
        assert (code, err) == (0, "")
        assert "red    33 %" in out
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo_mask.png", "photo_overlay.jpg"]

    def test_json_is_one_object_a_line(self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path) -> None:
        bad = tmp_path / "bad.png"
        bad.write_text("no picture")
        code, out, err = run(
            capsys, "predict", photo, bad, "-m", rgb_onnx, "-o", tmp_path / "out", "--json", "--no-overlay"
        )
        good, failed = (json.loads(line) for line in out.splitlines())
        assert code == 1
        assert good == {
            "source": str(photo),
            "mask": str(tmp_path / "out" / "photo_mask.png"),
            "overlay": None,
            "width": 60,
            "height": 40,
            "areas": {"red": 0.333333, "green": 0.333333, "blue": 0.333333},
        }
        assert failed["source"] == str(bad)
        assert "not an image" in failed["error"]
        assert err == "1 of 2 failed, 1 done\n"

    def test_many_pictures_one_bad(self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path) -> None:
        code, out, err = run(capsys, "predict", tmp_path, f"{tmp_path}/*.jpg", "-m", rgb_onnx, "-o", tmp_path / "out")
        assert code == 1
        assert out == f"{photo}: red 33 %, green 33 %, blue 33 %\n"
        assert "no image matches" in err
        assert f"results: {tmp_path / 'out'}\n1 of 2 failed, 1 done\n" in err

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["missing.jpg"], "there is no such file"),
            (["missing.jpg", "gone.jpg"], "2 of 2 failed"),
            ([".", "--out", "."], "cannot go into a folder of images"),
            (["photo.png", "--model", "missing.onnx"], "no such model file"),
            (["photo.png", "--max-pixels", "10"], "--max-pixels 2400"),
            (["photo.png", "--threads", "0"], "threads"),
            (["photo.png", "--nonsense"], "nonsense"),
            ([], "SOURCES"),
        ],
    )
    def test_mistakes_exit_with_2_and_no_traceback(
        self, capsys: Any, rgb_onnx: Path, photo: Path, monkeypatch: Any, words: list[str], text: str
    ) -> None:
        monkeypatch.chdir(photo.parent)
        model = [] if "--model" in words else ["--model", rgb_onnx]
        code, out, err = run(capsys, "predict", *words, *model)
        assert (code, out) == (2, "")
        assert text in err
        assert "Traceback" not in err

    def test_debug_shows_where(self, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
        words = ["predict", str(photo), "--model", "missing.onnx"]
        with pytest.raises(ModelFileError, match="no such model file"):
            main([*words, "--debug"])
        monkeypatch.setenv("BRIDGESEG_DEBUG", "1")
        with pytest.raises(ModelFileError):
            main(words)
        monkeypatch.setenv("BRIDGESEG_DEBUG", "0")
        assert main(words) == 2

    def test_own_mistakes_are_one_line(self, capsys: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr("bridgeseg.runtime.model.Model.load", broken)
        code, _, err = run(capsys, "predict", photo)
        assert code == 1
        assert err.startswith("error: ZeroDivisionError: by zero\n  fix:")

    def test_what_was_dropped_or_left_out_is_said_once_and_the_fix_works(
        self, capsys: Any, rgb_onnx: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "in" / ".git").mkdir(parents=True)
        (tmp_path / "in" / "b.HEIF2").write_text("")
        for name in ("a.png", "b.png"):
            Image.fromarray(np.array([[0, 4000]], np.uint16)).save(tmp_path / "in" / name)
        words = ["predict", tmp_path / "in", "-r", "-m", rgb_onnx, "-o", tmp_path / "in" / "out"]
        code, _, err = run(capsys, *words)
        first = tmp_path / "in" / "a.png"
        assert code == 0
        assert f"warning: {first}: 16 bits, but no value above 4095 (12 bits)" in err
        assert "nearly black (and 1 more)\n  fix: say what is white: --image-range 4095\n" in err
        assert "1 file of other kinds left out: .heif2\n1 hidden folder passed over\n" in err
        again = run(capsys, *words[:-1], tmp_path / "out2", "--image-range", "4095")
        assert "16 bits" not in again[2]
        assert "4 results of earlier runs left out" in again[2]
        assert run(capsys, *words, "--quiet")[1:] == ("", "")
        assert json.loads(run(capsys, *words, "--json")[1].splitlines()[0])["notes"][0]["code"] == "range"

    def test_overlays_leave_hidden_classes_as_they_are(
        self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path
    ) -> None:
        words = ["predict", photo, "-m", rgb_onnx, "-o", tmp_path / "out"]
        assert run(capsys, *words, "--opacity", "1", "--hide", "red, green")[0] == 0
        drawn = np.asarray(Image.open(tmp_path / "out" / "photo_overlay.jpg")).astype(int)
        left = (drawn.shape[1] - 60) // 2
        pixels = np.asarray(Image.open(photo)).astype(int)
        assert abs(drawn[20, left + 8] - pixels[20, 8]).max() < 12
        assert abs(drawn[20, left + 52] - pixels[20, 52]).max() > 12
        code, _, err = run(capsys, *words, "--hide", "blu")
        assert (code, "--hide: no class 'blu'" in err, "did you mean 'blue'" in err) == (2, True, True)
        assert run(capsys, *words, "--opacity", "2")[0] == 2
        code, _, err = run(capsys, *words, "--no-overlay", "--hide", "red")
        assert (code, "--hide: only overlays follow it" in err, "fix: add --overlay" in err) == (2, True, True)
        assert run(capsys, *words, "--min-area", "9", "--format", "png,csv")[0] == 2

    def test_a_password_is_shown_nowhere(self, capsys: Any, rgb_onnx: Path, tmp_path: Path) -> None:
        words = ["predict", "rtsp://user:secret@127.0.0.1/1", "-m", rgb_onnx, "-o", tmp_path / "out"]
        for more in ([], ["--json"], ["--quiet"]):
            code, out, err = run(capsys, *words, *more)
            assert code == 2
            assert "rtsp://127.0.0.1/1: cannot be read as a stream" in out + err
            assert "secret" not in out + err

    def test_quiet(self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path) -> None:
        words = ("predict", photo, photo, "-m", rgb_onnx, "-o", tmp_path / "out", "--quiet")
        assert run(capsys, *words) == (0, "", "")

    def test_odd_names(self, capsys: Any, rgb_onnx: Path, photo: Path, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("-x.png", "new\nline [bold].png"):
            photo.with_name(name).write_bytes(photo.read_bytes())
        words = ["--model", rgb_onnx, "--", "-x.png", "new\nline [bold].png"]
        code, out, _ = run(capsys, "predict", *words)
        assert code == 0
        assert out.splitlines()[1].startswith("new\\nline [bold].png: red 33 %")
        assert (tmp_path / "out" / "-x_mask.png").is_file()


def test_info(capsys: Any, rgb_onnx: Path) -> None:
    code, out, _ = run(capsys, "info", "--model", rgb_onnx)
    assert code == 0
    assert "green" in out
    assert "image uint8 (batch, height, width, 3)" in out
    code, out, _ = run(capsys, "info", "--model", rgb_onnx, "--json")
    facts = json.loads(out)
    assert [entry["name"] for entry in facts["classes"]] == ["red", "green", "blue"]
    assert facts["provenance"] == {"method": "rule", "seed": 0}


class TestWrappers:
    """train, evaluate and export hand their options on, and print what comes back."""

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        class Answer:
            folder, epoch, first, bytes, confidence, ended = Path("run"), 3, True, 5, None, None

            def parts_dict(self) -> dict[str, Any]:
                return {}

            def to_dict(self) -> dict[str, Any]:
                return {"miou": 0.5}

            def table(self) -> str:
                return "the table"

        Answer.scores = Answer()  # type: ignore[attr-defined]
        seen: list[dict[str, Any]] = []

        def answer(**options: Any) -> Answer:
            seen.append(options)
            return Answer()

        for name in ("train", "evaluate", "export"):
            monkeypatch.setattr(api, name, answer)
        return seen

    def test_train(self, capsys: Any, calls: list[dict[str, Any]]) -> None:
        words = "train --data d.yaml --out run --method none --crop 192x256 --no-ema --epochs 2 --dice 0.5 --json"
        code, out, _ = run(capsys, *words.split(), "--set", "lr=1e-3", "--set", "loss.class_weights=true")
        assert code == 0
        assert json.loads(out) == {"run": "run", "epoch": 3, "ended": None, "scores": {"miou": 0.5}}
        assert calls == [
            {
                "data": "d.yaml",
                "out": "run",
                "quiet": True,
                "model.method": "none",
                "augment.crop_size": (192, 256),
                "ema": 0.0,
                "epochs": 2,
                "loss.dice": 0.5,
                "lr": 0.001,
                "loss.class_weights": True,
            }
        ]

    def test_evaluate(self, capsys: Any, calls: list[dict[str, Any]]) -> None:
        words = "evaluate --data d.yaml --mode slide --window 360 --scales 0.5,1 --flip"
        code, out, _ = run(capsys, *words.split())
        assert (code, out) == (0, "the table\n")
        assert "model" not in calls[0]
        assert calls[0]["window"] == (360, 360)
        assert calls[0]["scales"] == (0.5, 1.0)
        assert calls[0]["flip"] is True
        assert json.loads(run(capsys, "evaluate", "--data", "d.yaml", "--json")[1]) == {"miou": 0.5}

    def test_export(self, capsys: Any, calls: list[dict[str, Any]], tmp_path: Path) -> None:
        out_file = tmp_path / "a.onnx"
        code, out, _ = run(capsys, "export", "--model", "run", "--out", out_file, "--logits", "--json")
        assert (code, json.loads(out)) == (0, {"model": str(out_file), "bytes": 5})
        run(capsys, "export", "--model", "run", "--out", out_file, "--approximate", "--quiet")
        assert calls == [{"model": "run", "out": str(out_file), kind: True} for kind in ("logits", "approximate")]

    def test_data_is_required(self, capsys: Any, calls: list[dict[str, Any]]) -> None:
        assert run(capsys, "evaluate")[0] == 2
        assert not calls


@pytest.mark.parametrize("text", ["", "0x3", "axb", "1x2x3"])
def test_size_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="HEIGHTxWIDTH"):
        arguments.size(text, "--crop")


def test_settings() -> None:
    pairs = ["a=1", "b=1e-3", "c=x", "d=[1, 2]", "e=null", "f=a=b"]
    assert arguments.settings(pairs) == {"a": 1, "b": 0.001, "c": "x", "d": [1, 2], "e": None, "f": "a=b"}
    for wrong in ("a", "=1", "a=[", "a={"):
        with pytest.raises(ConfigError):
            arguments.settings([wrong])
    with pytest.raises(ConfigError, match="numbers separated by commas"):
        arguments.numbers("1,two", "--scales")


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("key", ["data", "out", "quiet"])
def test_options_are_no_settings(command: str, key: str, tmp_path: Path, capsys: Any) -> None:
    code, _, err = run(capsys, command, "--out", tmp_path / "run", "--set", f"{key}=x")
    assert code == 2
    assert f"--set {key}: {key!r} is no setting but an option" in " ".join(err.split())
    assert not (tmp_path / "run").exists()


def test_whole_numbers() -> None:
    assert arguments.integers("1,2", "--threads") == [1, 2]
    for wrong in ("nan", "inf", "1.5", "", "1,,2"):
        with pytest.raises(ConfigError, match="whole numbers"):
            arguments.integers(wrong, "--threads")


def test_closed_standard_input(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = run(capsys, "predict", "-", "--out", tmp_path)
    assert code == 2
    assert "standard input is closed" in err


def test_printable() -> None:
    assert printable("a\n\x1b[31m\udcff é 中") == "a\\n\\x1b[31m\\udcff é 中"


def test_version_and_help(capsys: Any) -> None:
    assert run(capsys, "--version") == (0, f"bridgeseg {__version__}\n", "")
    for command in ("predict", "info", "train", "evaluate", "export"):
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        assert "--debug" in out


@pytest.mark.slow
def test_light_half_imports_nothing_heavy(rgb_onnx: Path, photo: Path) -> None:
    code = (
        "import sys\n"
        "import bridgeseg.cli\n"
        "early = {'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)\n"
        f"bridgeseg.cli.main(['predict', {str(photo)!r}, '--model', {str(rgb_onnx)!r}, '-q'])\n"
        "late = {'torch', 'torchvision', 'timm', 'lightning', 'onnx', 'matplotlib'} & set(sys.modules)\n"
        "print(sorted(early), sorted(late))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=photo.parent, env=os.environ
    )
    assert done.stdout == "[] []\n"


def bridgeseg_command(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bridgeseg", *words], stderr=subprocess.PIPE, text=True, **more)


class TestHabits:
    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ("val --data data.yaml", "fix: bridgeseg evaluate --data data.yaml --split val"),
            ("test", "fix: bridgeseg evaluate --data data.yaml --split test"),
            ("infer a.jpg", "fix: bridgeseg predict IMAGES"),
            ("detect", "fix: bridgeseg predict"),
            ("segment", "fix: bridgeseg predict"),
            ("fit", "fix: bridgeseg train --data data.yaml"),
            ("trian", "No such command 'trian'"),
            ("train --dat x", "--data"),
            ("train --data x --set patience=5", "unknown key 'patience'; did you mean 'early_stop'?"),
            ("train --data x --set imgsz=640", "did you mean 'augment.crop_size'?"),
            ("train --data x --set epoch=5", "did you mean 'epochs'?"),
            ("train --data x --set bridge.dim=5", "unknown key 'bridge'"),
        ],
    )
    def test_they_lead_to_what_is_here(
        self, capsys: Any, tmp_path: Path, words: str, text: str, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        code, out, err = run(capsys, *words.split())
        assert (code, out) == (2, "")
        assert text in err
        assert not list(tmp_path.iterdir())

    def test_each_of_them_is_a_command_that_is_understood(self) -> None:
        for fix in ELSEWHERE.values():
            name, *words = shlex.split(fix)
            whole(name).make_context(name, words, resilient_parsing=True)


class TestOutput:
    @pytest.mark.slow
    def test_a_full_disk(self, rgb_onnx: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        for more in ([], ["--json"]):
            with Path("/dev/full").open("w") as full:
                done = bridgeseg_command("info", "--model", str(rgb_onnx), *more, stdout=full)
            assert done.returncode == 1
            assert done.stderr == "error: standard output cannot be written: No space left on device\n"

    @pytest.mark.slow
    def test_a_reader_that_is_gone(self, rgb_onnx: Path) -> None:
        ours, theirs = os.pipe()
        os.close(ours)
        with os.fdopen(theirs, "w") as pipe:
            done = bridgeseg_command("info", "--model", str(rgb_onnx), stdout=pipe)
        assert done.returncode == 1
        assert done.stderr == "error: standard output cannot be written: its reader is gone\n"

    def test_a_name_outside_utf8(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def load(*_: Any, **__: Any) -> None:
            "runs/\udcff".encode()

        monkeypatch.setattr(api, "load", load)
        code, _, err = run(capsys, "info")
        assert (code, "report it" in err) == (2, False)
        assert "runs/\\udcff: a name that is not valid UTF-8" in err

    @pytest.mark.parametrize("error", [MemoryError(), ImportError("a.so: failed to map segment from shared object")])
    def test_too_little_memory(self, error: Exception, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def load(*_: Any, **__: Any) -> None:
            try:
                raise error
            finally:
                raise RuntimeError("cannot join thread before it is started")

        monkeypatch.setattr(api, "load", load)
        code, _, err = run(capsys, "info")
        assert (code, "report it" in err) == (2, False)
        assert "error: there is too little memory: RuntimeError: cannot join thread" in err
        assert "fix: let the process have more memory" in err

    def test_warnings_are_lines_and_come_once(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def load(*_: Any, **__: Any) -> None:
            for module in ("bridgeseg.text.store", "torch.nn", "torchvision", "somebody.elses"):
                for text in ("the cache is\nstale", f"of {module}: `runtime='openvino'`"):
                    warnings.warn_explicit(text, UserWarning, f"{module}.py", 1, module=module)
            raise ConfigError("enough")

        monkeypatch.setattr(api, "load", load)
        assert run(capsys, "info") == (
            2,
            "",
            "warning: the cache is stale\nwarning: of bridgeseg.text.store: --runtime openvino\n"
            "warning: of somebody.elses: --runtime openvino\nerror: enough\n",
        )


class TestInfo:
    @pytest.mark.slow
    def test_many_classes_are_bounded(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        classes = [{"id": index, "name": f"c{index}", "colour": [0, 0, 0], "prompts": ["p"]} for index in range(60_000)]
        facts = {
            "path": "a",
            "bytes": 1,
            "parameters": 1,
            "classes": classes,
            "provenance": {"note": "x\x1b[31m" * 9999},
        }
        loaded = SimpleNamespace(describe=lambda: facts)
        monkeypatch.setattr(api, "load", lambda *_, **__: loaded)
        code, out, _ = run(capsys, "info")
        assert code == 0
        assert "and 59,960 more classes" in out
        assert "\x1b" not in out
        assert len(out) < 20_000
        assert "and 59,000 more classes" in run(capsys, "info", "--full")[1]
        assert len(json.loads(run(capsys, "info", "--json")[1])["classes"]) == 60_000

    @pytest.mark.slow
    def test_a_folder_is_described_by_its_config_alone(self, tmp_path: Path) -> None:
        best = tmp_path / "run" / "best"
        best.mkdir(parents=True)
        (best / "model.safetensors").write_bytes(b"")
        classes = {"names": ["road", "sky"], "palette": [[1, 2, 3], [4, 5, 6]], "prompts": {}, "ignore_index": 255}
        scores = {"split": "val", "miou": 0.5, "iou": {"road": 0.25, "sky": 0.75}}
        provenance = {"method": "none", "config": {"epochs": 3}, "parameters": 7, "scores": scores}
        config = {"format": 1, "classes": classes, "provenance": provenance}
        (best / "config.json").write_text(json.dumps(config))
        code = (
            "import sys\nfrom bridgeseg.cli import main\n"
            f"assert main(['info', '--model', {str(tmp_path / 'run')!r}]) == 0\n"
            "assert not {'torch', 'onnxruntime'} & set(sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "road" in done.stdout
        assert "0.250" in done.stdout
        assert "epochs" not in done.stdout

    @pytest.mark.parametrize("damage", ["", "[]", '{"format": 1}', '{"format": 9}', '{"format": 1, "classes": 3}'])
    def test_a_damaged_folder(self, damage: str, tmp_path: Path, capsys: Any) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"")
        (tmp_path / "config.json").write_text(damage)
        code, out, err = run(capsys, "info", "--model", tmp_path)
        assert (code, out) == (2, "")
        assert "fix:" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(("option", "wrong"), [("--image-range", "abc"), ("--bands", "[0,1,2"), ("--bands", "a")])
def test_the_example_of_numbers_is_one_of_the_option(option: str, wrong: str) -> None:
    read = arguments.numbers if option == "--image-range" else arguments.integers
    with pytest.raises(ConfigError) as caught:
        read(wrong, option)
    values = list(read(str(caught.value.fix).removeprefix(f"{option} "), option))
    Reading.of(values) if option == "--image-range" else Reading.of(None, [int(value) for value in values])
    assert list(arguments.integers(" [0, 1,2] ", "--bands")) == [0, 1, 2]


def test_null_is_of_names_on_standard_input(tmp_path: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "predict", tmp_path, "--null", "--out", tmp_path / "out")
    assert (code, "name - as a source" in err) == (2, True)
