"""The worked examples of the documentation do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmrefine.jobs import refine_dataset
from mmrefine.models.refiners import SAMRefiner
from mmrefine.registry import MODELS

SIZE_HW = (60, 80)


@pytest.fixture(scope='module')
def example(repo_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repo_root / 'projects' / 'example_project')
        import example

        yield example


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright disk on a dark ground; image, its mask, and a coarse mask that is shifted by 3 px."""
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    disk = (rows - 30) ** 2 + (columns - 40) ** 2 < 15**2
    image = np.where(disk[..., None], np.uint8(200), np.uint8(40)).repeat(3, axis=2)
    return image, disk, np.roll(disk, 3, axis=1)


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(mask & other) / np.count_nonzero(mask | other)


def test_refiner(example, scene):
    image, gt, coarse = scene
    result = MODELS.build({'type': 'OtsuRefiner'}).refine(image, np.stack([coarse, ~gt]))
    np.testing.assert_array_equal(result.masks[0], gt)
    assert not result.masks[1][gt].any()  # a dark object stays a dark one
    assert result.masks.dtype == bool and result.scores.shape == (2,) and result.accepted.all()


def test_format(example, scene, tmp_path):
    image, gt, coarse = scene
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for name, mask in (('a', coarse), ('b', coarse[:-1])):
        Image.fromarray(image).save(tmp_path / 'images' / f'{name}.png')
        np.save(tmp_path / 'masks' / f'{name}.npy', mask)
    out = tmp_path / 'refined'
    model = MODELS.build({'type': 'OtsuRefiner'})
    refine_dataset(tmp_path / 'images', tmp_path / 'masks', out, model=model, format='npy')
    np.testing.assert_array_equal(np.load(out / 'masks' / 'a.npy'), gt)
    assert not (out / 'masks' / 'b.npy').exists()  # of another size than its image: this one alone fails


def test_backend(example, scene):
    image, gt, coarse = scene
    refiner = SAMRefiner({'type': 'ColourBackend'}, use_point=False, use_mask=False).eval()
    result = refiner.refine(image, coarse)
    assert iou(result.masks[0], gt) > 0.9 > iou(coarse, gt)


def test_config(example, repo_root):
    config = Config.fromfile(repo_root / 'projects' / 'example_project' / 'configs' / 'otsu_folder.py')
    assert MODELS.build(config.model).reach_px == 8
    assert config.test_evaluator.type.endswith('RefineMetric')
