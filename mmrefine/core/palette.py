"""Colours of label maps in palette PNG files."""

from __future__ import annotations

from functools import cache


@cache
def voc_palette() -> bytes:
    """The 256 colours of PASCAL VOC as RGBRGB...

    The bits of a label, from the lowest, go to red, green and blue in turn and fill their bits from the highest.
    """
    colours = bytearray()
    for label in range(256):
        for channel in range(3):
            colours.append(sum((label >> (3 * step + channel) & 1) << (7 - step) for step in range(8)))
    return bytes(colours)
