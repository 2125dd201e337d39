"""Reading of images as upright 8-bit RGB."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmrefine.files.names import check_readable, find_files

_SUSPECT_PIXELS, _MAX_PIXELS = 178_956_970, 10**9
_MAX_PIXELS_PER_BYTE = 10_000  # a white 1-bit page compressed as PNG has 8,000
# Pillow raises any of these for damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, struct.error)
_LOCK = threading.Lock()
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    The orientation in the EXIF data is applied, as in viewers and annotation tools. Greyscale images are repeated in
    three channels, an alpha channel is dropped, and 16-bit grey levels are scaled to 8 bits.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, or it is damaged.
    """
    image = open_whole(path)
    # PNG has at most 16 bits; Pillow before version 11 opens them as 32.
    is_deep = image.mode.startswith('I;16') or (image.mode == 'I' and image.format == 'PNG')
    # Orientation is a tag of the file that conversions may lose: rotate first.
    try:
        image = ImageOps.exif_transpose(image)
    except _DAMAGE as error:
        raise ValueError(f'image {path} has damaged EXIF data ({error}), so its orientation is unknown.') from error
    if is_deep:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ('I', 'F'):
        raise ValueError(
            f'image {path} has 32-bit grey levels of an unknown range; save it with 8 or 16 bits per channel.'
        )
    with _damage_in_words(path):
        return np.array(image.convert('RGB'))


def open_whole(path: str | os.PathLike | io.BytesIO, name: str = '') -> Image.Image:
    """Decode an image file to its last pixel.

    Pillow refuses images above 179 megapixels, since a small file may decompress to one. Here images of up to a
    gigapixel are read, if the file has a plausible number of bytes.

    Args:
        path: of the file, or its content.
        name: of a content, in error messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image, is damaged, or is larger than that.
    """
    if isinstance(path, io.BytesIO):
        num_bytes = len(path.getbuffer())
    else:
        check_readable(path, 'image')
        name, num_bytes = str(path), os.path.getsize(path)
    with _damage_in_words(name):
        image = _open_unbounded(path)
    _check_plausible(image, name, num_bytes)
    with _damage_in_words(name), image:
        image.load()
    return image


@contextmanager
def _damage_in_words(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError(f'{path} is not a readable image file (JPEG, PNG, BMP, TIFF, WebP).') from error
    except _DAMAGE as error:
        raise ValueError(f'image {path} cannot be decoded ({error}); the file is damaged or truncated.') from error


def _open_unbounded(path: str | os.PathLike | io.BytesIO) -> Image.Image:
    """An image whose header was read, whatever size it claims."""
    with _LOCK:  # the bound is Pillow's for the whole process
        bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = bound


def _check_plausible(image: Image.Image, path: str, num_bytes: int) -> None:
    num_pixels = image.width * image.height
    if num_pixels > _MAX_PIXELS:
        raise ValueError(
            f'image {path} has {image.width}x{image.height} pixels, expected at most {_MAX_PIXELS:,}; '
            'cut it into tiles.'
        )
    if num_pixels > _SUSPECT_PIXELS and num_pixels > _MAX_PIXELS_PER_BYTE * num_bytes:
        raise ValueError(
            f'image {path} declares {image.width}x{image.height} pixels but has only {num_bytes:,} bytes; the file is '
            'damaged, or a decompression bomb.'
        )


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files under a folder, recursively, sorted by path.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it contains no image.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'folder of images {folder} does not exist.')
    paths = list(find_files(folder, IMAGE_SUFFIXES).values())
    if not paths:
        raise ValueError(f'no image under {folder}; expected files that end in {", ".join(IMAGE_SUFFIXES)}.')
    return paths
