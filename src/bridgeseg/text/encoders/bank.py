"""A bank that comes with the package as text encoder: common names, without its model and without a network."""

from __future__ import annotations

from bridgeseg.errors import ConfigError
from bridgeseg.extend import register_encoder
from bridgeseg.text.encoders._file import FileEncoder
from bridgeseg.vocabulary.bank import FILES, FOLDER
from bridgeseg.vocabulary.embeddings import canonical


@register_encoder("bank")
class BankEncoder(FileEncoder):
    """Look up phrases in the vectors that an encoder gave to common names; see `FileEncoder`.

    Args:
        name: the encoder, one of `bridgeseg.vocabulary.bank.FILES`.

    Raises:
        ConfigError: the package has no bank of it.
    """

    def __init__(self, name: str) -> None:
        file = FILES.get(canonical(name) or "")
        if file is None:
            allowed = ", ".join(f"bank:{encoder}" for encoder in FILES)
            raise ConfigError("no bank of this encoder comes with the package", where=name, fix=f"allowed: {allowed}")
        super().__init__(FOLDER / file)
