"""The Python that docs/sam2_refiner.md and docs/video.md show runs, on a small model and a small clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmrefine.registry import MODELS
from mmrefine.utils import find_config

SMALL = 'sam2_refiner/sam2-refiner_tiny_folder'
HEIGHT, WIDTH = 320, 480


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    pytest.importorskip('sam2')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(find_config(SMALL)).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'core.pth')
    return tmp_path / 'core.pth'


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def run(page: Path, stands_for: dict[str, str], **given: Any) -> dict[str, Any]:
    """Execute the one Python block of a page, with files of ours in place of those that it names."""
    [shown] = re.findall(r'```python\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL)
    for name, ours in stands_for.items():
        assert f"'{name}'" in shown
        shown = shown.replace(f"'{name}'", repr(ours))
    exec(compile(shown, page.name, 'exec'), given)
    return given


def test_clicks(repo_root: Path, checkpoint: Path, image: np.ndarray):
    names = run(
        repo_root / 'docs/sam2_refiner.md',
        {
            'sam2_refiner/sam2-refiner_sam2.1-hiera-b-plus_hqseg44k': SMALL,
            'iter_27700.pth': str(checkpoint),
            'cuda': 'cpu',
        },
        image=image,
    )
    assert names['first'].masks.shape == names['again'].masks.shape == (1, HEIGHT, WIDTH)


def test_video(repo_root: Path, checkpoint: Path, image: np.ndarray, tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / 'clip.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (WIDTH, HEIGHT))
    for _ in range(3):
        writer.write(image)
    writer.release()
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:200, 150:250] = True
    names = run(
        repo_root / 'docs/video.md',
        {
            'sam2_refiner/sam2-refiner_sam2.1-hiera-b-plus_hqseg44k.py': f'{SMALL}.py',
            'core.pth': str(checkpoint),
            'clip.mp4': str(tmp_path / 'clip.mp4'),
        },
        mask=mask,
    )
    assert names['frame'] == 2 and list(names['object_ids']) == [1, 2]
    assert names['masks'].shape == (2, HEIGHT, WIDTH)
