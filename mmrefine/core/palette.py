"""Colours of label maps in palette PNG files."""

from __future__ import annotations

from functools import cache


@cache
def voc_palette() -> bytes:
    """The 256 colours of PASCAL VOC as RGBRGB...: the bits of a label, three by three from the lowest, one each for
    red, green and blue, fill the colour's bits from the highest down."""
    colours = bytearray()
    for label in range(256):
        for channel in range(3):
            colours.append(sum((label >> (3 * step + channel) & 1) << (7 - step) for step in range(8)))
    return bytes(colours)
