"""PNG masks of every usual make are read as what they mean, and written back in the same make."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.files.mask_files import read_mask_file

MASK = np.array([[0, 1, 1], [0, 0, 1]], bool)
OTHER = ~MASK
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]


def save(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    image = Image.fromarray(values)
    if palette:
        image.putpalette(palette)
    image.save(path)
    return path


def rewrite(path: Path, mask: np.ndarray) -> Image.Image:
    file = read_mask_file(path)
    stream = BytesIO()
    file.save(stream, file.from_binary(mask))
    return Image.open(stream)


@pytest.mark.parametrize(
    'values',
    [MASK, MASK.astype(np.uint8), MASK.astype(np.uint8) * 255, MASK.astype(np.uint16) * 65535, MASK.astype(np.uint16)],
    ids=['1 bit', '0/1', '0/255', '0/65535', '16 bit 0/1'],
)
def test_binary_files_keep_their_levels(tmp_path: Path, values: np.ndarray) -> None:
    path = save(tmp_path / 'm.png', values)
    np.testing.assert_array_equal(read_mask_file(path).binary(), MASK)
    written = rewrite(path, OTHER)
    assert written.mode == Image.open(path).mode
    np.testing.assert_array_equal(np.asarray(written), np.where(OTHER, values.max(), 0))


def test_palette_files_keep_index_and_palette(tmp_path: Path) -> None:
    path = save(tmp_path / 'm.png', MASK.astype(np.uint8) * 2, PALETTE)
    np.testing.assert_array_equal(read_mask_file(path).binary(), MASK)
    written = rewrite(path, OTHER)
    assert written.mode == 'P'
    np.testing.assert_array_equal(np.asarray(written), OTHER * 2)
    np.testing.assert_array_equal(np.asarray(written.convert('RGB'))[0, 0], PALETTE[6:9])


def test_probabilities_are_cut_at_one_half_and_become_binary(tmp_path: Path) -> None:
    path = save(tmp_path / 'm.png', np.array([[0, 128, 200], [3, 127, 255]], np.uint8))
    np.testing.assert_array_equal(read_mask_file(path).binary(), MASK)
    np.testing.assert_array_equal(np.asarray(rewrite(path, MASK)), MASK * 255)


def test_low_probabilities_are_an_empty_mask(tmp_path: Path) -> None:
    path = save(tmp_path / 'm.png', np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert not read_mask_file(path).binary().any()


def test_probabilities_of_few_levels(tmp_path: Path) -> None:
    """As quantized ones are: by themselves they could be labels, known to be probabilities they are not refused."""
    path = save(tmp_path / 'm.png', np.array([[0, 8, 16], [0, 51, 102]], np.uint8))
    with pytest.raises(ValueError, match='for label maps use'):
        read_mask_file(path).binary()
    np.testing.assert_allclose(read_mask_file(path).probabilities()[1], [0, 0.2, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(read_mask_file(save(path, MASK.astype(np.uint8))).probabilities(), MASK)
    with pytest.raises(ValueError, match='must be binary or 8-bit probabilities, got levels of type uint16'):
        read_mask_file(save(path, np.array([[0, 5, 9]], np.uint16))).probabilities()


def test_empty_and_full_masks(tmp_path: Path) -> None:
    assert not read_mask_file(save(tmp_path / 'm.png', np.zeros((2, 3), np.uint8))).binary().any()
    assert read_mask_file(save(tmp_path / 'm.png', np.full((2, 3), 255, np.uint8))).binary().all()


def test_equal_channels_are_one(tmp_path: Path) -> None:
    values = MASK.astype(np.uint8) * 255
    opaque = np.full_like(values, 255)
    for channels in ([values] * 3, [values] * 3 + [opaque], [values, opaque]):
        path = save(tmp_path / 'm.png', np.dstack(channels))
        np.testing.assert_array_equal(read_mask_file(path).binary(), MASK)


@pytest.mark.parametrize('channels', [3, 4])
def test_colour_images_are_refused(tmp_path: Path, channels: int) -> None:
    values = np.full((2, 3, channels), 255, np.uint8)
    values[0, 0, 1] = 7
    with pytest.raises(
        ValueError, match=f'm.png must have one channel.* got a colour image of {channels} channels that differ'
    ):
        read_mask_file(save(tmp_path / 'm.png', values))


@pytest.mark.parametrize(
    ('values', 'palette', 'found'),
    [
        (np.array([[0, 1, 2]], np.uint8), None, 'values 0, 1, 2'),
        (np.array([[0, 7, 255]], np.uint8), None, 'values 0, 7, 255'),
        (np.array([[0, 1, 2]], np.uint8), PALETTE, 'palette indices 0, 1, 2'),
        (np.array([[0, 300, 65535]], np.uint16), None, 'values 0, 300, 65535'),
        (np.array([[0, 255, 65535]], np.uint16), None, 'values 0, 255, 65535'),
    ],
)
def test_label_maps_are_no_masks(tmp_path: Path, values: np.ndarray, palette: list[int] | None, found: str) -> None:
    file = read_mask_file(save(tmp_path / 'm.png', values, palette))
    np.testing.assert_array_equal(file.values, values)
    with pytest.raises(ValueError, match=f'must be binary .* got {found}; for label maps use --semantic'):
        file.binary()


def test_float_files_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / 'm.tif')
    with pytest.raises(ValueError, match='1, 8 or 16 bits per pixel, got an image of mode F'):
        read_mask_file(tmp_path / 'm.tif')
