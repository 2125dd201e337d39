"""Photographs come out upright, RGB and eight bits, and damaged ones are refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.files.images import list_images, read_image

# Where the corner pixels of the stored picture appear to a viewer, for the eight values of the EXIF orientation
# (TIFF 6.0): each entry turns the stored array into the upright one.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def photo(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize('orientation', UPRIGHT)
def test_exif_rotation_is_carried_out(tmp_path: Path, photo: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), UPRIGHT[orientation](photo))


def test_grey_alpha_palette_and_sixteen_bits_become_rgb(tmp_path: Path, photo: np.ndarray) -> None:
    grey = photo[..., 0]
    in_rgb = np.repeat(grey[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    Image.fromarray(np.dstack([photo, 255 - grey])).save(tmp_path / 'rgba.png')
    Image.fromarray(np.dstack([grey, 255 - grey])).save(tmp_path / 'grey_alpha.png')
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / 'deep.png')
    palette = Image.fromarray(grey % 4)
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / 'palette.png')

    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png'), in_rgb)
    np.testing.assert_array_equal(read_image(tmp_path / 'rgba.png'), photo)
    np.testing.assert_array_equal(read_image(tmp_path / 'grey_alpha.png'), in_rgb)
    np.testing.assert_array_equal(read_image(tmp_path / 'deep.png'), in_rgb)
    levels = (np.arange(12, dtype=np.uint8).reshape(4, 3) + 1) * 10
    np.testing.assert_array_equal(read_image(tmp_path / 'palette.png'), levels[grey % 4])


def test_result_can_be_written_to(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / 'a.png')
    image = read_image(tmp_path / 'a.png')
    image[:] = 0


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_truncated_file_is_refused(tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
    path = tmp_path / f'a{suffix}'
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=rf'a{suffix} cannot be decoded .*damaged or cut short'):
        read_image(path)


def test_other_refusals(tmp_path: Path) -> None:
    (tmp_path / 'text.jpg').write_text('no picture')
    with pytest.raises(ValueError, match='text.jpg is no image file'):
        read_image(tmp_path / 'text.jpg')
    with pytest.raises(FileNotFoundError, match='nowhere.jpg does not exist'):
        read_image(tmp_path / 'nowhere.jpg')
    with pytest.raises(ValueError, match='is a folder; expected a file'):
        read_image(tmp_path)
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / 'float.tif')
    with pytest.raises(ValueError, match='32-bit grey levels'):
        read_image(tmp_path / 'float.tif')


def test_images_are_listed_recursively_in_order(tmp_path: Path) -> None:
    (tmp_path / 'b').mkdir()
    for name in ('c.jpg', 'b/a.PNG', 'a.webp', 'notes.txt'):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ['a.webp', 'b/a.PNG', 'c.jpg']
    with pytest.raises(FileNotFoundError, match='none does not exist'):
        list_images(tmp_path / 'none')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='no image under .*empty'):
        list_images(tmp_path / 'empty')
