"""COCO objects as MMSegmentation's label maps."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from PIL import Image


def rectangle(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def test_smaller_objects_lie_on_larger_ones(repo_root, tmp_path):
    annotations = [
        dict(id=1, image_id=7, category_id=30, segmentation=rectangle(4, 4, 2, 2)),
        dict(id=2, image_id=7, category_id=10, segmentation=rectangle(2, 2, 6, 6)),
        dict(id=3, image_id=7, category_id=10, iscrowd=1, segmentation=rectangle(0, 9, 10, 1)),
    ]
    images = [
        dict(id=7, file_name='a/seven.jpg', height=10, width=10),
        dict(id=8, file_name='8.jpg', height=3, width=4),
    ]
    categories = [dict(id=30, name='nut'), dict(id=10, name='bowl')]
    source = tmp_path / 'val.json'
    source.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    tool = repo_root / 'tools/dataset_converters/coco_to_label_maps.py'
    subprocess.run([sys.executable, str(tool), str(source), str(tmp_path)], check=True, capture_output=True)
    painted = np.array(Image.open(tmp_path / 'labels/seven.png'))
    assert (painted[5, 5], painted[3, 3], painted[9, 0], painted[0, 0]) == (2, 1, 255, 0)
    assert np.bincount(painted.ravel()).tolist()[:3] == [54, 32, 4]
    assert not np.array(Image.open(tmp_path / 'labels/8.png')).any()
    assert (tmp_path / 'val.txt').read_text() == '8\nseven\n'
