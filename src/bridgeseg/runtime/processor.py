"""What a processor makes of 8 bits: whether its sums can overflow, and which of the bundled files it is given.

docs/int8.md has the measurements.
"""

from __future__ import annotations

import os
from pathlib import Path

from bridgeseg.description import SHIPPED
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.hardware import features, is_x86
from bridgeseg.wording import shown

FLOAT, INT8 = "street", "street-int8"
VARIABLE = "BRIDGESEG_BUNDLED"
"""The environment variable that names the bundled file to take where no model is named."""


def adds_in_16_bits() -> bool:
    """Return whether the processor is an x86 without dot products of bytes (VNNI), or does not say.

    It adds two products uint8 x int8 in 16 bits, so that sums overflow in files that do not keep them small.
    """
    return is_x86() and not any("vnni" in name for name in features())


def bundled() -> tuple[Path, str]:
    """Return the bundled file for this processor, and why this one.

    Raises:
        ConfigError: the environment variable names none.
    """
    name, why = _chosen()
    return SHIPPED / f"{name}.onnx", why


def _chosen() -> tuple[str, str]:
    if asked := os.environ.get(VARIABLE):
        if asked not in (FLOAT, INT8):
            message = f"{VARIABLE} is {shown(asked)}; {nearest(asked, (FLOAT, INT8))}"
            raise ConfigError(message, where="environment", fix=f"unset {VARIABLE}")
        return asked, f"{VARIABLE} says so"
    known = features()
    if not is_x86() or not known:
        return INT8, "8 bits, the default: nothing is known of this processor that speaks against them"
    if any("vnni" in name for name in known):
        return INT8, "8 bits: this processor has dot products of bytes (VNNI)"
    if "avx2" in known:
        return INT8, "8 bits: this processor has AVX2, where they are faster than floats"
    return FLOAT, "floats: without AVX2, 8 bits are no faster"
