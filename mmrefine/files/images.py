"""Reading photographs as people see them: upright, RGB, eight bits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a photograph.

    A rotation in the EXIF data is carried out, as viewers and drawing tools do. Grey images are repeated in three
    channels, an alpha channel is dropped, 16-bit grey levels are scaled to 8.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, or a damaged one.
    """
    image = open_whole(path)
    # PNG has no more than 16 bits; Pillow before 11 opens them as 32.
    is_deep = image.mode.startswith('I;16') or (image.mode == 'I' and image.format == 'PNG')
    # Orientation is a tag of the file, which conversions may lose: turn first.
    image = ImageOps.exif_transpose(image)
    if is_deep:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ('I', 'F'):
        raise ValueError(
            f'image {path} has 32-bit grey levels without a known white; save it with 8 or 16 bits per channel.'
        )
    return np.array(image.convert('RGB'))


def open_whole(path: str | os.PathLike) -> Image.Image:
    """Decode an image file to its last pixel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, or a damaged one.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f'image {path} does not exist.')
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except UnidentifiedImageError as error:
        raise ValueError(f'{path} is no image file that can be read (JPEG, PNG, BMP, TIFF, WebP).') from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # Pillow answers damage with any of these; its text says what is wrong with the file.
        raise ValueError(f'image {path} cannot be decoded ({error}); the file is damaged or cut short.') from error


def list_images(folder: str | os.PathLike) -> list[Path]:
    """All image files under a folder, recursively, in the order of their paths.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'folder of images {folder} does not exist.')
    paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f'no image under {folder}; expected files that end in {", ".join(IMAGE_SUFFIXES)}.')
    return paths
