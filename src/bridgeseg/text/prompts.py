"""From phrases to sentences to vectors: prompt templates, and the means over templates and phrases.

A class may have several phrases ("person", "pedestrian"), and each phrase is put into several templates ("a photo of
the {}."). Radford et al. (CLIP, arXiv 2103.00020, section 3.1.4) average over templates in embedding space: the mean of
unit vectors, made unit length again. The same is then done over the phrases of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import normalize

from bridgeseg.errors import ConfigError, ModelFileError, nearest

PHOTO = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven templates that CLIP's authors found best on ImageNet (its notebook Prompt_Engineering_for_ImageNet)."""

SCENE = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "a photo of a {} in the scene.",
    "a photo of the {} in the scene.",
    "a photo of one {} in the scene.",
)
"""The templates of ViLD (arXiv 2104.13921) that place the class inside a scene."""

SETS = ("none", "photo", "imagenet", "scene")
"""Names of the template sets; `imagenet` is CLIP's list of 80, taken from open_clip."""


def resolve_templates(choice: str | Sequence[str]) -> tuple[str, ...]:
    """Return the templates of a set, or check an own list.

    Args:
        choice: a name of `SETS`, one template with "{}" in it, or a list of such templates.

    Returns:
        At least one string, each with "{}" where the phrase goes.

    Raises:
        ConfigError: unknown set, empty list, or a template without "{}".
    """
    if isinstance(choice, str) and "{}" not in choice:
        return _named(choice)
    own = (choice,) if isinstance(choice, str) else tuple(choice)
    lacking = [template for template in own if not isinstance(template, str) or "{}" not in template]
    if not own or lacking:
        raise ConfigError(
            f"a prompt template needs {{}} where the phrase goes, found {lacking or 'an empty list'}",
            where="templates",
            fix=f"write templates like 'a photo of a {{}}.', or name a set: {', '.join(SETS)}",
        )
    return own


def _named(name: str) -> tuple[str, ...]:
    if name == "none":
        return ("{}",)
    if name == "photo":
        return PHOTO
    if name == "scene":
        return SCENE
    if name == "imagenet":
        # Imported here: open_clip takes seconds to import, and only this set needs it.
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    raise ConfigError(
        f"no template set is called {name!r}; {nearest(name, SETS)}",
        where="templates",
        fix="name a set, or give own templates with {} where the phrase goes",
    )


def phrase_vectors(
    encode: Callable[[Sequence[str]], torch.Tensor], phrases: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """Encode every phrase in every template and take the mean over the templates.

    Args:
        encode: maps N sentences to (N, D) vectors of any length.
        phrases: P phrases.
        templates: T templates with "{}".

    Returns:
        (P, D) float32, unit length.

    Raises:
        ModelFileError: the encoder returned NaN, infinity, or a vector of length zero.
    """
    # str.replace, not str.format: braces inside a phrase or a template stay what they are.
    sentences = [template.replace("{}", phrase) for phrase in phrases for template in templates]
    vectors = normalize(encode(sentences).float(), dim=-1)
    vectors = normalize(vectors.reshape(len(phrases), len(templates), -1).mean(dim=1), dim=-1)
    broken = ~torch.isfinite(vectors).all(dim=1) | (vectors.norm(dim=1) < 0.5)
    if broken.any():
        names = [phrase for phrase, bad in zip(phrases, broken.tolist(), strict=True) if bad]
        raise ModelFileError(
            f"the text encoder gives no usable vector (NaN, infinity or zero) for {names[:5]}",
            fix="check that the weights belong to this model and are complete",
        )
    return vectors


def class_vectors(vectors: torch.Tensor, phrases: Sequence[str], prompts: Sequence[Sequence[str]]) -> torch.Tensor:
    """Take the mean over the phrases of each class.

    Args:
        vectors: (P, D) unit vectors of the phrases.
        phrases: P distinct phrases, the rows of `vectors`.
        prompts: for each of K classes its phrases, all among `phrases`.

    Returns:
        (K, D) float32, unit length.
    """
    row = {phrase: index for index, phrase in enumerate(phrases)}
    means = [vectors[[row[phrase] for phrase in own]].mean(dim=0) for own in prompts]
    return normalize(torch.stack(means), dim=-1)
