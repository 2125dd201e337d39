"""Label Studio's run-length encoding of brush masks: bits of RGBA bytes, as in ``@thi.ng/rle-pack``.

The header has 32 bits for the number of bytes, 5 bits for the word size minus one (here 8 bits), and four times 4 bits
for the size of lengths minus one. Then come runs: one bit that distinguishes a repeated word (1) from individual words
(0), 2 bits that select the size of the length, the length minus one, and the word or words. The mask is the alpha
channel, every fourth byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SIZES = (3, 4, 8, 16)  # bits of lengths, the same as in Label Studio's encoder
_MAX_RUN = 2**16


def decode_brush(code: Sequence[int], size_hw: tuple[int, int]) -> np.ndarray:
    """Decode a brush mask to (H, W) bool.

    Raises:
        ValueError: the code is invalid, or its size is not ``size_hw``.
    """
    try:
        values = np.array(code)
        if values.ndim != 1 or values.dtype.kind not in 'iu' or values.min() < 0 or values.max() > 255:
            raise ValueError('not a list of bytes')
    except (ValueError, TypeError) as error:
        raise ValueError(f'a brush must be a list of integers from 0 to 255, got {str(code)[:60]}.') from error
    text = ''.join(f'{value:08b}' for value in values.tolist())
    position = 0

    def take(count: int) -> int:
        nonlocal position
        if position + count > len(text):
            raise ValueError('a brush is truncated: its code ends before its mask is complete.')
        position += count
        return int(text[position - count : position], 2)

    num_words, word_bits = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if word_bits != 8 or num_words != 4 * size_hw[0] * size_hw[1]:
        raise ValueError(
            f'a brush must have four bytes for each of {size_hw[0]} x {size_hw[1]} pixels, got {num_words} of '
            f'{word_bits} bits; does it belong to another image?'
        )
    words = np.zeros(num_words, np.uint8)
    filled = 0
    while filled < num_words:
        is_run, length = take(1), take(sizes[take(2)]) + 1
        length = min(length, num_words - filled)
        if is_run:
            words[filled : filled + length] = take(8)
        else:
            words[filled : filled + length] = [take(8) for _ in range(length)]
        filled += length
    return words[3::4].reshape(size_hw) > 127


def encode_brush(mask: np.ndarray) -> list[int]:
    """Encode an (H, W) bool mask, with 255 in all four bytes of its pixels."""
    pixels = np.asarray(mask, bool).ravel()
    bits = [f'{4 * pixels.size:032b}{8 - 1:05b}', *(f'{size - 1:04b}' for size in _SIZES)]
    starts = np.flatnonzero(np.diff(pixels, prepend=~pixels[:1])) if pixels.size else np.zeros(0, int)
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), pixels.size], strict=True):
        left, word = 4 * (stop - start), '11111111' if pixels[start] else '00000000'
        while left:
            length = min(left, _MAX_RUN)
            choice = next(index for index, size in enumerate(_SIZES) if length <= 2**size)
            bits.append(f'1{choice:02b}{length - 1:0{_SIZES[choice]}b}{word}')
            left -= length
    text = ''.join(bits)
    text += '0' * (-len(text) % 8)
    return [int(text[position : position + 8], 2) for position in range(0, len(text), 8)]
