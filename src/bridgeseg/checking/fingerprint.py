"""Images that look the same: a difference hash, a thumbnail to confirm it, and a search that is not quadratic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 9, 8
MOST_BITS = 7
"""Bits of 64 in which the hashes of near-duplicates differ at most. Of eight bands of 8 bits, one is then the same."""
MOST_LEVELS = 6.0
"""Grey levels of 256 by which their thumbnails differ at most, on average."""
LEAST_CONTRAST = 4.0
"""Standard deviation of a thumbnail, in grey levels, below which an image is too empty to be told from others."""
WINDOW = 64
"""Neighbours in the order of the hashes that each image is compared with: bounds the search for any images."""
_BITS_SET = np.unpackbits(np.arange(65536, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1).sum(
    axis=1, dtype=np.uint8
)
"""Number of bits set in 0..65535."""


class Fingerprint(NamedTuple):
    """A 64-bit difference hash (each bit: is a pixel brighter than its left neighbour) and the 9x8 grey thumbnail."""

    bits: int
    thumbnail: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of a decoded image; its size, compression and colours hardly matter."""
    if "transparency" in image.info or image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    small = image.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    pixels = np.asarray(small)
    brighter = pixels[:, 1:] > pixels[:, :-1]
    return Fingerprint(int.from_bytes(np.packbits(brighter).tobytes(), "big"), small.tobytes())


def pairs_across(prints: Sequence[tuple[int, tuple[int, bytes]]]) -> list[tuple[int, int]]:
    """Return pairs (i, j), i < j, of near-duplicates in different groups: for each j the first i, in order of j.

    The hashes are sorted eight times, each time by another band first, and compared with the `WINDOW` that follow: of
    n images 8 * `WINDOW` * n pairs are looked at. Hashes that are close are confirmed by the thumbnails; images
    without contrast look like no other.

    Args:
        prints: (group, fingerprint) of every image.
    """
    if len(prints) < 2:
        return []
    groups = np.array([group for group, _ in prints])
    bits = np.array([bits for _, (bits, _) in prints], np.uint64)
    looks = np.frombuffer(b"".join(thumbnail for _, (_, thumbnail) in prints), np.uint8).reshape(len(prints), -1)
    telling = looks.std(axis=1) >= LEAST_CONTRAST
    partner = np.full(len(prints), len(prints))
    for band in range(0, 64, 8):
        turned = bits << np.uint64(band) | bits >> np.uint64((64 - band) % 64)
        order = np.argsort(turned, kind="stable")
        order = order[telling[order]]
        for step in range(1, min(WINDOW + 1, len(order))):
            first, second = order[:-step], order[step:]
            close = (groups[first] != groups[second]) & (_distance(bits[first], bits[second]) <= MOST_BITS)
            one, other = np.sort(np.stack([first[close], second[close]]), axis=0)
            levels = np.abs(looks[one].astype(np.int16) - looks[other]).mean(axis=1)
            np.minimum.at(partner, other[levels <= MOST_LEVELS], one[levels <= MOST_LEVELS])
    return [(int(partner[index]), int(index)) for index in np.flatnonzero(partner < len(prints))]


def _distance(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return in how many bits numbers differ."""
    return np.asarray(_BITS_SET[(first ^ second).view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.int64))
