"""Masks and label maps in PNG files: one channel of 1, 8 or 16 bits, or a palette. Legend: H, W in pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from mmrefine.core.checks import check_same_size, foreground_level
from mmrefine.files.images import open_whole
from mmrefine.files.names import find_files
from mmrefine.utils import listed


@dataclass(frozen=True)
class MaskFile:
    """Content of a PNG mask, with its bit depth and palette.

    Attributes:
        path: the file.
        values: (H, W) bool, uint8 or uint16: grey levels, or indices into the palette.
        palette: the palette's bytes, RGBRGB...; None for grey levels.
    """

    path: str
    values: np.ndarray
    palette: bytes | None = None

    def check_size(self, image_hw: tuple[int, int]) -> MaskFile:
        """Check that the mask has the size of its image; return ``self``.

        Raises:
            ValueError: the sizes differ.
        """
        check_same_size(f'mask {self.path} is', self.values.shape, image_hw)
        return self

    def save(self, file: BinaryIO, values: np.ndarray) -> None:
        """Write other values with the same bit depth and palette."""
        image = Image.fromarray(values.astype(self.values.dtype))
        if self.palette is not None:
            image.putpalette(self.palette)
        image.save(file, format='PNG')

    def binary(self) -> np.ndarray:
        """The file as one mask, (H, W) bool.

        Files with two values are binary: 0/1, 0/255, 0/65535, or one palette index. Other 8-bit grey levels are
        probabilities (255 stands for 1), thresholded at 0.5.

        Raises:
            ValueError: it looks like a label map.
        """
        levels = np.unique(self.values)
        cut = self._foreground_level(levels)
        if cut is None:
            raise ValueError(
                f'mask {self.path} must be binary (0/1, 0/255, 0/65535) or 8-bit probabilities, got '
                f'{"palette indices" if self.palette is not None else "values"} {listed(levels.tolist())}; '
                'for label maps use --semantic.'
            )
        return self.values >= cut

    def probabilities(self) -> np.ndarray:
        """The file as probabilities of one mask, (H, W) float32 in [0, 1]; it must not be a label map.

        Files with two values are binary, as in :meth:`binary`; other 8-bit grey levels are divided by 255.

        Raises:
            ValueError: it has a palette, or 16 bits.
        """
        if self._foreground_level(np.unique(self.values)) == 1:
            return (self.values > 0).astype(np.float32)
        if self.palette is not None or self.values.dtype != np.uint8:
            kind = 'a palette' if self.palette is not None else f'levels of type {self.values.dtype}'
            raise ValueError(f'mask {self.path} must be binary or 8-bit probabilities, got {kind}.')
        return self.values.astype(np.float32) / 255

    def _foreground_level(self, levels: np.ndarray) -> int | None:
        if self.values.dtype == bool:
            return 1
        if self.palette is None:
            return foreground_level(levels)
        return 1 if np.count_nonzero(levels) == 1 or np.isin(levels, (0, 1)).all() else None

    def labels(self) -> np.ndarray:
        """The file as a label map, (H, W) uint8 or uint16."""
        return self.values.astype(np.uint8) if self.values.dtype == bool else self.values

    def from_binary(self, mask: np.ndarray) -> np.ndarray:
        """Convert an (H, W) bool mask to the values of this file; files of probabilities get 0 and 255."""
        if self.values.dtype == bool:
            return mask
        foreground = self.values.max()
        if self.palette is None and foreground != 1:
            foreground = 255 if foreground <= 255 else 65535
        return np.where(mask, foreground, 0)


def read_mask_file(path: str | os.PathLike) -> MaskFile:
    """Read a PNG mask or label map.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, is damaged, or is a colour image.
    """
    image = open_whole(path)
    file = MaskFile(str(path), np.asarray(image))
    if image.mode == 'P':
        return replace(file, palette=image.im.getpalette('RGB'))
    if image.mode == 'I' and 0 <= file.values.min() and file.values.max() <= 65535:
        return replace(file, values=file.values.astype(np.uint16))
    if image.mode in ('LA', 'RGB', 'RGBA'):
        return replace(file, values=_single_channel(file.values, str(path), has_alpha=image.mode.endswith('A')))
    if image.mode in ('1', 'L') or image.mode.startswith('I;16'):
        return replace(file, values=file.values.astype(file.values.dtype.newbyteorder('=')))
    raise ValueError(f'mask {path} must have 1, 8 or 16 bits per pixel, got an image of mode {image.mode}.')


def _single_channel(values: np.ndarray, path: str, has_alpha: bool) -> np.ndarray:
    """The channel of a colour image whose channels are equal; an alpha channel must be opaque."""
    colours = values[..., :-1] if has_alpha else values
    if (colours != colours[..., :1]).any() or (has_alpha and (values[..., -1] != 255).any()):
        raise ValueError(
            f'mask {path} must have one channel, or equal ones, got a colour image of {values.shape[2]} channels that '
            'differ; save masks as greyscale and label maps as class indices.'
        )
    return np.ascontiguousarray(colours[..., 0])


def mask_paths(path: str | os.PathLike) -> dict[str, Path]:
    """PNG files by name: relative to the folder, or the name of the one file.

    Raises:
        ValueError: there is none.
    """
    found = find_files(path, ('.png',))
    if not found:
        raise ValueError(f'{path} contains no masks: expected PNG files, or a COCO file that ends in .json.')
    return found
