"""Images found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mmrefine.files.image_table import ImageTable


def touch_images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (6, 4)).save(folder / name)
    return folder


def test_image_table_finds_by_the_most_exact_name(tmp_path: Path) -> None:
    table = ImageTable(touch_images(tmp_path, 'a.jpg', 'a.png', 'x/a.jpg', 'b.v2.jpg'))
    assert table.find('a.png') == 'a.png'
    assert table.find('x/a.png') == 'x/a.jpg'
    assert table.find('b.v2.png') == 'b.v2.jpg'
    assert table.find('c.png') is None
    with pytest.raises(ValueError, match='a.bmp could belong to a.jpg or a.png'):
        table.find('a.bmp')
