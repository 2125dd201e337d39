"""A small dataset for trainings through the tools."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope='session')
def data_root(tmp_path_factory) -> Path:
    """Six images of an ellipse on a ground, for training and for validation."""
    root = tmp_path_factory.mktemp('mine')
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'masks'):
            (root / split / kind).mkdir(parents=True)
        for index in range(3):
            mask = np.zeros((80, 100), np.uint8)
            centre, axes = rng.integers(35, 45, 2).tolist(), rng.integers(15, 30, 2).tolist()
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
            image = np.where(mask[..., None] > 0, rng.integers(0, 256, 3), rng.integers(0, 256, 3)).astype(np.uint8)
            cv2.imwrite(str(root / split / 'images' / f'{index}.png'), image)
            cv2.imwrite(str(root / split / 'masks' / f'{index}.png'), mask)
    return root
