"""Model folders of strangers: each holds a canary, code that leaves a mark if it runs. None may."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from bridgeseg.errors import InputError
from bridgeseg.text.encoders import open_encoder
from bridgeseg.text.foreign import check_open_clip, check_transformers
from text_models import TEXT

VISION = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
CANARY = """
from pathlib import Path
Path({mark!r}).write_text("ran")
from transformers import PreTrainedTokenizer, PretrainedConfig, PreTrainedModel
class Evil(PreTrainedTokenizer):
    @classmethod
    def from_pretrained(cls, *args, **options):
        return cls()
class EvilConfig(PretrainedConfig):
    model_type = "evil"
class EvilModel(PreTrainedModel):
    config_class = EvilConfig
"""
AUTO = {"AutoTokenizer": ["evil.Evil", None], "AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a canary leaves its mark. A question whether to run code is answered with yes."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    return tmp_path / "mark"


def transformers_folder(folder: Path, mark: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "auto_map": AUTO, **config}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Evil", "auto_map": AUTO}))
    (folder / "evil.py").write_text(CANARY.format(mark=str(mark)))
    return folder


def open_clip_folder(folder: Path, mark: Path, text: dict[str, Any], vision: dict[str, Any]) -> Path:
    transformers_folder(folder, mark)
    config = {"embed_dim": 16, "vision_cfg": dict(VISION), "text_cfg": dict(TEXT)}
    network = CLIP(embed_dim=16, vision_cfg=config["vision_cfg"], text_cfg=config["text_cfg"])
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    config["text_cfg"] |= text
    config["vision_cfg"] |= vision
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return folder


@pytest.mark.parametrize(
    ("text", "vision", "says"),
    [
        ({"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}, {}, "trust_remote_code"),
        ({"hf_tokenizer_name": "x"}, {}, "tokenizer"),
        ({"hf_tokenizer_name": "x", "tokenizer_kwargs": {"code_revision": "main"}}, {}, "code_revision"),
        ({"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}, {}, "bpe_path"),
        ({"tokenizer_kwargs": ["trust_remote_code"]}, {}, "tokenizer_kwargs"),
        ({"hf_model_name": "FOLDER"}, {}, "hf_model_name"),
        ({}, {"timm_model_name": "local-dir:FOLDER"}, "timm_model_name"),
        ({}, {"timm_model_name": "hf-hub:someone/something"}, "timm_model_name"),
        ({"width": 2**20}, {}, "width"),
        ({"layers": 10_000}, {}, "layers"),
        ({}, {"width": 1e9}, "width"),
    ],
)
def test_an_open_clip_folder_chooses_no_code_and_no_other_file(tmp_path, mark, text, vision, says):
    folder = tmp_path / "clip"
    text, vision = (json.loads(json.dumps(group).replace("FOLDER", str(folder))) for group in (text, vision))
    open_clip_folder(folder, mark, text, vision)
    with pytest.raises(InputError, match=says):
        open_encoder(f"open_clip:local-dir:{folder}").encode(["road"])
    assert not mark.exists()


@pytest.mark.slow
def test_the_canary_would_sing(tmp_path, mark):
    from transformers import AutoTokenizer

    folder = transformers_folder(tmp_path / "model", mark)
    with suppress(NotImplementedError):
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert mark.exists()


@pytest.mark.parametrize("model_type", ["clip", "evil"])
def test_a_hugging_face_folder_runs_no_code(tmp_path, mark, model_type):
    folder = transformers_folder(tmp_path / "model", mark, model_type=model_type)
    with pytest.raises(InputError):
        open_encoder(f"hf:{folder}").encode(["road"])
    assert not mark.exists()


@pytest.mark.parametrize(
    "config",
    [{"attn_implementation": "someone/kernel"}, {"text_config": {"_attn_implementation": {"": "someone/kernel"}}}],
)
def test_a_kernel_of_a_repository_is_refused(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = {"config.json": tmp_path / "config.json", "adapter_config.json": None}
    with pytest.raises(InputError, match=r"someone/kernel.*code of another repository"):
        check_transformers(files)


def test_an_adapter_does_not_lead_to_another_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/model"}))
    with pytest.raises(InputError, match="an adapter for a model elsewhere"):
        check_transformers({"adapter_config.json": tmp_path / "adapter_config.json"})


def test_every_configuration_that_open_clip_ships_is_allowed():
    import open_clip

    for name in open_clip.list_models():
        check_open_clip(open_clip.get_model_config(name), name)


def test_ids_of_tokens_are_as_large_as_a_vocabulary_and_no_larger():
    known = {"embed_dim": 512, "vision_cfg": {}}
    check_open_clip({**known, "text_cfg": {"eos_id": 49407}}, "model")
    with pytest.raises(InputError, match=r"`eos_id` of 9999999, beyond all models"):
        check_open_clip({**known, "text_cfg": {"eos_id": 9_999_999}}, "model")


def test_pooling_is_not_read_from_outside_the_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    folder = tmp_path / "model"
    folder.mkdir()
    encoder = open_encoder(f"hf:{folder}")
    with pytest.raises(InputError, match="leads outside"):
        encoder._side_file("../outside/config.json")


def test_what_is_checked_still_loads(tmp_path, mark):
    folder = open_clip_folder(tmp_path / "clip", mark, {"tokenizer_kwargs": {"clean": "lower"}}, {})
    vectors = open_encoder(f"open_clip:local-dir:{folder}").encode(["road", "car"])
    assert vectors.shape == (2, 16)
    assert torch.isfinite(vectors).all()
