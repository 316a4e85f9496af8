"""Access to the Hugging Face hub: quiet, quick to notice that there is no network, and with errors that help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from bridgeseg.errors import ModelFileError
from bridgeseg.quiet import quiet

PROBE_SECONDS = 5.0


def unavailable(encoder: str, cause: object, *, model: str = "ViT-B-16-quickgelu") -> ModelFileError:
    """Return the error for a text encoder whose files are neither here nor to be had, with the three ways out.

    Args:
        encoder: the encoder as the user named it.
        cause: what went wrong, see `reason`.
        model: an open_clip model for the example of a weights file.
    """
    return ModelFileError(
        f"this text encoder is not on this machine and could not be downloaded ({reason(cause)})",
        where=encoder,
        fix="connect to the network, or take one of three ways that need none:\n"
        "    1. a file of embeddings made elsewhere:         FILE.safetensors\n"
        f"    2. a weights file of an open_clip model:        open_clip:{model}/FILE (.safetensors or .pt)\n"
        "    3. a folder with a Hugging Face text model:     hf:FOLDER",
    )


def reason(cause: object) -> str:
    """Return the first sentence of an error, on one line."""
    sentence: str = re.split(r"\.\s", " ".join(str(cause).split()))[0][:300]
    return sentence.rstrip(" .:") or type(cause).__name__


@contextmanager
def hub_access(*, needed: bool) -> Iterator[None]:
    """Let the libraries inside reach the hub, or make them use local files only.

    Without network the hub's client retries for most of a minute, one warning each. One short request tells
    beforehand; when it fails, or when the hub is not needed, the client is put into its offline mode. Its progress
    bars and warnings are off inside, and everything is as it was afterwards.

    Args:
        needed: whether files may have to come from the hub.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    offline, bars_off = constants.HF_HUB_OFFLINE, are_progress_bars_disabled()
    with quiet("huggingface_hub"):  # open_clip logs through the root logger, which `quiet` gives a handler
        try:
            disable_progress_bars()
            constants.HF_HUB_OFFLINE = offline or not needed or not _reachable(constants.ENDPOINT)
            yield
        finally:
            constants.HF_HUB_OFFLINE = offline
            if not bars_off:
                enable_progress_bars()


def _reachable(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=PROBE_SECONDS)
    except Exception:  # the client's errors differ between its versions; each of them means: no hub
        return False
    return True
