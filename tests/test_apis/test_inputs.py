"""Images and masks as people have them in Python."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.apis import RefineInferencer, refine_detections, refine_sample
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import Scenes


@pytest.fixture
def scenes(tmp_path):
    return Scenes(tmp_path, 1)


def test_all_kinds_are_refined_alike(scenes):
    photo, path = scenes.folder / 'photos/scene_0.png', scenes.folder / 'masks/scene_0.png'
    np.save(scenes.folder / 'masks.npy', scenes.coarse[0])
    array, coarse = np.array(Image.open(photo).convert('RGB')), scenes.coarse[0]
    inferencer = RefineInferencer(BrightRefiner())
    images = [
        array,
        photo,
        str(photo),
        Image.open(photo),
        torch.from_numpy(array),
        torch.from_numpy(array.transpose(2, 0, 1)),
    ]
    masks = [
        coarse, list(coarse), torch.from_numpy(coarse), [Image.fromarray(mask) for mask in coarse],
        [torch.from_numpy(coarse[0]), coarse[1]], [path, coarse[1]], scenes.folder / 'masks.npy',
        torch.from_numpy(coarse).to(torch.bfloat16), torch.from_numpy(coarse * np.float16(0.75)),
    ]  # fmt: skip
    for image in images:
        assert np.array_equal(inferencer(image, coarse).masks, scenes.true[0])
    for given in masks:
        assert np.array_equal(inferencer(array, given).masks, scenes.true[0])
    for wrong, text in (([], 'list of length 0'), ({}, 'got dict'), ([coarse], '.H, W. masks of the same size')):
        with pytest.raises((TypeError, ValueError), match=text):
            inferencer(array, wrong)


def test_detections_of_supervision(scenes):
    boxes = np.array([[7, 7, 24, 18], [37, 10, 54, 29]], float)
    detections = SimpleNamespace(mask=scenes.coarse[0], xyxy=boxes, confidence=np.array([0.5, 0.75]))
    refined = refine_detections(scenes.folder / 'photos/scene_0.png', detections, model=BrightRefiner())
    assert np.array_equal(refined.mask, scenes.true[0])
    assert refined.xyxy.tolist() == [[5, 6, 25, 20], [35, 8, 55, 30]]
    assert np.array_equal(detections.xyxy, boxes) and np.array_equal(refined.confidence, detections.confidence)
    with pytest.raises(ValueError, match='no masks'):
        refine_detections(scenes.folder / 'photos/scene_0.png', SimpleNamespace(mask=None, xyxy=boxes))
    nothing = SimpleNamespace(mask=None, xyxy=np.zeros((0, 4)))
    assert refine_detections(scenes.folder / 'photos/scene_0.png', nothing, model=BrightRefiner()).mask is None


def test_compact_masks_of_supervision(scenes):
    """They are no arrays, but turn into some."""

    class CompactMask:
        def __array__(self, dtype=None, copy=None):
            return scenes.coarse[0]

    detections = SimpleNamespace(mask=CompactMask(), xyxy=np.zeros((2, 4)))
    refined = refine_detections(scenes.folder / 'photos/scene_0.png', detections, model=BrightRefiner())
    assert np.array_equal(refined.mask, scenes.true[0])


def test_samples_of_fiftyone(scenes):
    item = SimpleNamespace(mask=scenes.coarse[0, 0, 7:18, 7:24], bounding_box=[7 / 60, 7 / 40, 17 / 60, 11 / 40])
    box_only = SimpleNamespace(mask=None, bounding_box=[0, 0, 1, 1])

    class Sample(dict):
        filepath = str(scenes.folder / 'photos/scene_0.png')

    refine_sample(Sample(ground_truth=SimpleNamespace(detections=[item, box_only])), model=BrightRefiner())
    assert item.mask.shape == (14, 20) and item.mask.all()
    assert np.allclose(item.bounding_box, [5 / 60, 6 / 40, 20 / 60, 14 / 40])
    assert box_only.mask is None and box_only.bounding_box == [0, 0, 1, 1]


def test_masks_of_fiftyone_in_files_and_of_another_resolution(scenes):
    """FiftyOne resizes masks to their boxes, and may keep them in files."""

    class Sample(dict):
        filepath = str(scenes.folder / 'photos/scene_0.png')

    box = [7 / 60, 7 / 40, 17 / 60, 11 / 40]
    small = SimpleNamespace(mask=np.ones((3, 4), bool), bounding_box=box)
    in_file = SimpleNamespace(
        mask=None, mask_path='mask.png', get_mask=lambda: np.full((11, 17), 255, np.uint8), bounding_box=box
    )
    refine_sample(Sample(ground_truth=SimpleNamespace(detections=[small, in_file])), model=BrightRefiner())
    for item in (small, in_file):
        assert item.mask.shape == (14, 20) and item.mask.all()
        assert np.allclose(item.bounding_box, [5 / 60, 6 / 40, 20 / 60, 14 / 40])
    assert in_file.mask_path is None
