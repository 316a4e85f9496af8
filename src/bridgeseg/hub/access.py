"""Access to the Hugging Face hub: quiet, quick to notice that there is no network, and with errors that help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from bridgeseg.errors import BridgeSegError, InputError
from bridgeseg.quiet import quiet
from bridgeseg.wording import shortened

PROBE_SECONDS = 5.0
LOGIN = "hf auth login"
"""What logs in to the hub; it comes with the hub's client."""


def reachable() -> bool:
    """Ask the hub for a sign of life, in one short request; none in its offline mode."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _reachable(constants.ENDPOINT)


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


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Say what the hub answered within, and what can be done about it.

    Args:
        where: the repository, as the user named it.

    Raises:
        InputError: the hub refused something, or broke off.
    """
    from huggingface_hub import errors

    try:
        yield
    except BridgeSegError:
        raise
    except Exception as error:  # the client's errors differ between its versions
        code = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError):
            message, fix = "its owner asks for consent first", f"give it on its page, then log in: {LOGIN}"
        elif isinstance(error, errors.RevisionNotFoundError):
            message, fix = "there is no such revision", "name a branch, a tag or a commit of it, or leave it out"
        elif code == 403:
            message = f"the hub does not allow this to you ({reason(error)})"
            fix = f"name an OWNER that is you or an organisation of yours; log in with a token that may write: {LOGIN}"
        elif isinstance(error, errors.RepositoryNotFoundError) or code == 401:
            message = "there is no such repository on the hub, or it is not open to you"
            fix = f"check the spelling; if it is a private one, log in: {LOGIN}"
        else:
            message, fix = (
                f"the hub did not do this: {shortened(str(error))}",
                "correct what it says, or try again later",
            )
        raise InputError(message, where=where, fix=fix) from error
