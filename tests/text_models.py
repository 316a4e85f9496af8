"""Tiny, randomly initialised text models for the tests of `bridgeseg.text`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
SIGLIP_LIKE = {"context_length": 16, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}
MOBILE_LIKE = {"context_length": 32, "no_causal_mask": True}


def tiny_open_clip(folder: Path, name: str, *, width: int = 24, custom: bool = False, **text: Any) -> Path:
    """Register the open_clip model `name` and return a file with random weights for it."""
    import open_clip
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
    config = {"embed_dim": width, "vision_cfg": vision, "text_cfg": {**TEXT, **text}, "custom_text": custom}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    with torch.no_grad():  # the usual initialisation is so small that all texts look alike
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    weights = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    return weights


def word_tokenizer(words: str, **options: Any) -> Any:
    """Return a fast tokenizer of whole words that frames a text in [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[CLS]", "[UNK]", *words.split(), "[SEP]"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    framing = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=framing)
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "unk_token": "[UNK]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=12, **special, **options)
