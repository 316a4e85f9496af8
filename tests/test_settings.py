"""Settings are written once: options, functions and the table of the docs come out of their models."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bridgeseg
from bridgeseg import api
from bridgeseg.cli import COMMANDS, main, whole
from bridgeseg.commands import wording
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.settings import signatures
from bridgeseg.settings.evaluate import Evaluate
from bridgeseg.settings.fields import settings_of
from bridgeseg.settings.given import Default, chosen, default, python_name
from bridgeseg.settings.machine import devices_of
from bridgeseg.settings.predict import Predict
from bridgeseg.settings.train import Train, TrainConfig
from bridgeseg.settings.values import set_values
from type_checking import MYPY, variables

ROOT = Path(__file__).parents[1]
PROGRAM = """
from pathlib import Path
from typing import Any

import bridgeseg

model = bridgeseg.load("street", threads=1)
areas: dict[str, float] = model.predict("a.jpg").areas()
results: list[bridgeseg.Result | bridgeseg.Failure] = bridgeseg.predict("a.jpg", model)
written = bridgeseg.predict(["a.jpg"], out=Path("out"), overlay=False)
masks: list[Path | None] = [item.mask for item in written if isinstance(item, bridgeseg.Record)]
inner: dict[str, Any] = {"model.bridge.dim": 128}
run = bridgeseg.train("data.yaml", "runs/a", epochs=3, method="none", crop_size=(192, 256), val_split=None, **inner)
folder: Path = run.folder
miou: float = bridgeseg.evaluate(folder, "data.yaml", split="test").miou
size: int = bridgeseg.export(folder, "a.onnx", logits=True).bytes
saved: int = bridgeseg.quantize("a.onnx", "b.onnx", "photos", images=8).bytes
failed: tuple[object, ...] = bridgeseg.compare("data.yaml", methods=["none"], seeds=range(3), jobs=2).failed
errors: int = len(bridgeseg.check("data.yaml", quick=True).of("error"))
rows: object = bridgeseg.benchmark(sizes=[(512, 512)], threads=[1])["rows"]
data: Path = bridgeseg.prepare("camvid", "download", "camvid").data
"""
WRONG = {
    'bridgeseg.evaluate("a.onnx", "data.yaml", spilt="test")': "spilt",
    'bridgeseg.train("data.yaml", epochs="many")': "epochs",
    'bridgeseg.evaluate("a.onnx", "data.yaml", flip="x")': "flip",
    'bridgeseg.export("run")': "out",
    "bridgeseg.load().predict(3)": "predict",
    "bridgeseg.train().scores.milou": "milou",
}
"""Lines that a type checker refuses, and a word of what it says."""


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, " ".join(captured.err.replace("│", " ").split())


class TestWhatIsWritten:
    def test_the_functions_are_those_of_the_settings(self) -> None:
        assert Path(api.__file__).read_text() == signatures.api(), "run: python -m bridgeseg.settings.signatures"

    def test_the_table_is_that_of_the_settings(self) -> None:
        pytest.importorskip("torch")
        page = (ROOT / "docs" / "training.md").read_text()
        assert page == signatures.with_table(page), "run: python -m bridgeseg.settings.signatures"
        assert page.count("| key | default | option |") == 1
        assert signatures.table().count("\n| `") == len(list(settings_of(TrainConfig, groups=True)))

    def test_every_setting_of_train_is_a_parameter_with_its_default(self) -> None:
        parameters = inspect.signature(bridgeseg.train).parameters
        defaults = {setting.key: setting for setting in settings_of(TrainConfig)}
        assert len(defaults) > 50
        for key, setting in defaults.items():
            if key == "data":
                continue
            parameter = parameters[python_name(key)]
            assert parameter.annotation not in (inspect.Parameter.empty, "Any")
            assert isinstance(parameter.default, Default)
            assert parameter.default.value == setting.default
        assert repr(parameters["batch_size"]) == "<Parameter \"batch_size: 'int' = 16\">"

    @pytest.mark.parametrize("function", signatures.FUNCTIONS, ids=lambda function: function.name)
    def test_every_parameter_is_typed_and_explained(self, function: signatures.Function) -> None:
        found = getattr(bridgeseg, function.name)
        signature = inspect.signature(found)
        assert signature.return_annotation not in ("Any", inspect.Signature.empty)
        for name, parameter in signature.parameters.items():
            assert parameter.annotation not in ("Any", inspect.Parameter.empty)
            explained = bridgeseg.train.__doc__ if isinstance(parameter.default, Default) else found.__doc__
            assert f"        {name}: " in explained

    def test_every_setting_says_what_it_does(self) -> None:
        models = [function.model for function in signatures.FUNCTIONS] + [TrainConfig]
        for setting in (setting for model in models for setting in settings_of(model)):
            assert setting.text, setting.key
            assert not setting.text.endswith(".") or setting.text.endswith("...")


def checked(tmp_path: Path, program: str, *command: str) -> tuple[int, str]:
    """Type-check a program of a user of the package."""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([*command, "program.py"], cwd=tmp_path, capture_output=True, text=True, env=variables())
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_type_checker_knows_the_functions(checker: str, tmp_path: Path) -> None:
    pytest.importorskip(checker)
    command = [sys.executable, "-m", checker, *(MYPY if checker == "mypy" else ["--pythonpath", sys.executable])]
    code, said = checked(tmp_path, PROGRAM, *command)
    if checker == "pyright" and "program.py" not in said and "0 errors" not in said:
        pytest.skip("pyright itself is not here, and would have to be downloaded")
    assert code == 0, said
    code, said = checked(tmp_path, "import bridgeseg\n" + "\n".join(WRONG), *command)
    assert code == 1
    for line, word in enumerate(WRONG.values(), 2):
        found = [text for text in said.splitlines() if f"program.py:{line}:" in text and "error" in text]
        assert any(word in text for text in found), said


class TestCommandLine:
    @pytest.mark.slow
    def test_help_of_all_imports_no_settings(self) -> None:
        code = (
            "import sys\nfrom bridgeseg.cli import main\nassert main(['--help']) == 0\n"
            "print(sorted({'pydantic', 'numpy', 'torch', 'yaml', 'onnxruntime'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"
        assert all(name in done.stdout for name in COMMANDS)

    @pytest.mark.parametrize("name", COMMANDS)
    @pytest.mark.slow
    def test_help_of_each_needs_no_torch(self, name: str) -> None:
        code = (
            f"import sys\nfrom bridgeseg.cli import main\nassert main([{name!r}, '--help']) == 0\n"
            "print(sorted({'torch', 'onnxruntime', 'lightning'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    def test_options_show_defaults_and_panels(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        code, out, _ = run(capsys, "train", "--help")
        assert code == 0
        for setting in settings_of(TrainConfig):
            if setting.option:
                assert setting.option.split("/")[0] in out
        assert "[default: (16)]" in out
        assert "needed unless --config or a resumed run names it" in out
        for panel in ("Training", "Network", "Optimisation", "Loss", "Augmentation", "Machine"):
            assert f"─ {panel} ─" in out
        assert "bridge, denseclip, lseg, none" in out

    def test_ema_is_a_decay(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []

        def train(**given: Any) -> None:
            seen.append(given.get("ema"))
            raise ConfigError("enough")

        monkeypatch.setattr(api, "train", train)
        for words in (["--ema", "0.9"], ["--no-ema"], ["--ema", "0"], ["--ema", "0", "--no-ema"], []):
            run(capsys, "train", *words)
        assert seen == [0.9, 0.0, 0.0, 0.0, None]
        assert "contradict" in run(capsys, "train", "--ema", "0.9", "--no-ema")[2]

    @pytest.mark.slow
    def test_completion_knows_commands_and_options(self) -> None:
        words = {"": "evaluate", "evaluate --mo": "--mode", "train --bat": "--batch-size"}
        for typed, found in words.items():
            environment = os.environ | {
                "_BRIDGESEG_COMPLETE": "complete_bash", "COMP_WORDS": f"bridgeseg {typed}",
                "COMP_CWORD": str(max(1, len(typed.split()))), "_TYPER_COMPLETE_ARGS": f"bridgeseg {typed}",
            }  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-m", "bridgeseg"], capture_output=True, text=True, env=environment, check=False
            )
            assert found in done.stdout.split(), (typed, done)

    def test_each_command_is_built_once_it_is_called(self) -> None:
        for name in COMMANDS:
            command = whole(name)
            assert command.params or command.commands


class TestGiven:
    def test_defaults_are_not_given(self) -> None:
        parameters = {"lr": default(1), "dice": 1, "width": None, "data": "d", "dotted": {"model.bridge.dim": 2}}
        assert chosen(parameters, TrainConfig, Train) == {"loss.dice": 1, "model.width": None, "model.bridge.dim": 2}

    def test_a_value_that_is_not_allowed(self) -> None:
        for given, said in ((0, "at least 1, found 0"), ("many", "a whole number, found 'many'")):
            with pytest.raises(ConfigError, match=f"workers: must be .*{said}\n  fix: .*leave `workers` out"):
                bridgeseg.check("data.yaml", workers=given)  # type: ignore[arg-type]

    def test_one_setting_by_two_names(self) -> None:
        with pytest.raises(ConfigError, match=r"'loss.dice' is given twice"):
            bridgeseg.train(dice=0.5, **{"loss.dice": 0.25})  # type: ignore[arg-type]


def test_one_device_in_a_list_is_that_one() -> None:
    found = [TrainConfig.parse({"data": "d", "devices": given}).devices for given in (1, [1], (0, 1), "1,")]
    assert [devices_of(value) for value in found] == [1, [1], [0, 1], [1]]


@pytest.mark.parametrize(("value", "meant"), [("smp:fpn", "smp:FPN"), ("RESNET", "resnet")])
def test_the_nearest_name_whatever_its_case(value: str, meant: str) -> None:
    assert nearest(value, ["none", "smp:FPN", "resnet", "smp:PAN"]).startswith(f"did you mean {meant!r}?")


def test_mappings_of_names_are_values() -> None:
    parts = {"parts": {"sign no. 3": ["car", "sky"]}}
    assert set_values(parts, {"epochs": 3}) == {**parts, "epochs": 3}
    assert set_values(parts, {"parts": {"wall": ["road"]}}) == {"parts": {"wall": ["road"]}}
    assert set_values(parts, {"parts.wall": ["road"]})["parts"] == {**parts["parts"], "wall": ["road"]}
    assert parts == {"parts": {"sign no. 3": ["car", "sky"]}}
    assert TrainConfig.parse({"data": "d", "names": {"no. 3": ["a", "b"], "c": None}}).names == ("no. 3=a|b", "c")


class TestWording:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("give `max_size=1024`", "give --max-size 1024"),
            ("leave `compile` out", "leave --compile out"),
            ("`overlay=False` writes none", "--no-overlay writes none"),
            ("`overlay=True` writes them", "--overlay writes them"),
            ("`out='my results'`", "--out 'my results'"),
            ("`label_map` of data.yaml stays", "`label_map` of data.yaml stays"),
        ],
    )
    def test_settings_become_options(self, text: str, shown: str) -> None:
        wording.use(settings_of(Predict))
        assert wording.as_options(text) == shown

    def test_settings_without_an_option(self) -> None:
        wording.use([*settings_of(Train), *settings_of(TrainConfig)])
        assert wording.as_options("`val_split=None`, or `epochs=3`") == "--set val_split=none, or --epochs 3"
        assert wording.as_options("`learned` needs `prompt: learned`") == "`learned` needs --prompt learned"

    def test_keys_of_a_data_yaml_stay(self) -> None:
        wording.use([*settings_of(Train), *settings_of(TrainConfig)])
        text = "add to `names`, as in `names: [road, nothing]`, or `names=road, nothing`"
        told = wording.worded(DataError("`names` is no list", where=Path("a/data.yaml"), fix=text))
        assert told.startswith("a/data.yaml: `names` is no list")
        assert "add to `names`, as in `names: [road, nothing]`, or --names 'road, nothing'" in told
        assert "add to --names" in wording.worded(DataError("none", where="names", fix=text))

    def test_the_place_of_an_error(self) -> None:
        wording.use(settings_of(Evaluate))
        error = ConfigError("no such mode", where="mode", fix="use `mode=whole`")
        assert wording.worded(error) == "--mode: no such mode\n  fix: use --mode whole"
        assert wording.worded(ConfigError("x", where=Path("mode"))) == "mode: x"
