"""Images come out upright, RGB and eight bits, and damaged ones are refused with a sentence."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.files import images
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
    with pytest.raises(ValueError, match=rf'a{suffix} cannot be decoded .*damaged or truncated'):
        read_image(path)


def test_other_refusals(tmp_path: Path) -> None:
    (tmp_path / 'text.jpg').write_text('no picture')
    with pytest.raises(ValueError, match='text.jpg is not a readable image file'):
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


def test_images_above_pillows_bound_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to one's own, which is checked before anything is decoded; Pillow's stays as it was."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    Image.new('L', (100, 90), 7).save(tmp_path / 'large.png')
    assert read_image(tmp_path / 'large.png').shape == (90, 100, 3) and Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(images, '_MAX_PIXELS', 8000)
    with pytest.raises(ValueError, match='large.png has 100x90 pixels, expected at most 8,000; cut it'):
        read_image(tmp_path / 'large.png')


def test_files_that_claim_more_than_they_have_bytes_for(tmp_path: Path) -> None:
    Image.new('1', (8, 8)).save(tmp_path / 'bomb.png')
    data = bytearray((tmp_path / 'bomb.png').read_bytes())
    data[16:24] = (30_000).to_bytes(4, 'big') * 2  # width and height
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    (tmp_path / 'bomb.png').write_bytes(data)
    with pytest.raises(ValueError, match='bomb.png declares 30000x30000 pixels but has only [0-9]+ bytes; .* bomb'):
        read_image(tmp_path / 'bomb.png')
    data[16:24] = b'\x7f' * 8
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    (tmp_path / 'bomb.png').write_bytes(data)
    with pytest.raises(ValueError, match='expected at most 1,000,000,000'):
        read_image(tmp_path / 'bomb.png')


def test_damaged_exif_data(tmp_path: Path, photo: np.ndarray) -> None:
    """Nobody knows how the picture is turned; whatever Pillow stumbles over is told in a sentence."""
    for number, exif in enumerate(
        (b'Exif\0\0II', b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0rubbish!', b'Exif\0\0MM\0*')
    ):
        path = tmp_path / f'{number}.jpg'
        Image.fromarray(photo).save(path, exif=exif)
        try:
            assert read_image(path).shape == photo.shape
        except ValueError as error:
            assert 'damaged EXIF data' in str(error)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'tif', 'webp'])
def test_no_damage_is_answered_with_anything_but_a_sentence(tmp_path: Path, suffix: str) -> None:
    """Bytes of good files are changed and cut off at random; the error is always one that names the file."""
    rng = np.random.default_rng(0)
    good = tmp_path / f'good.{suffix}'
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(good, exif=Image.Exif())
    data = good.read_bytes()
    for _ in range(60):
        broken = bytearray(data[: rng.integers(1, len(data) + 1)])
        for index in rng.integers(0, len(broken), 4):
            broken[index] = rng.integers(256)
        path = tmp_path / f'broken.{suffix}'
        path.write_bytes(broken)
        try:
            assert read_image(path).ndim == 3
        except ValueError as error:
            assert f'broken.{suffix}' in str(error)
