"""The ground truth of a mask is found by id, by overlap or by name, and void is not measured."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmrefine.jobs.formats import FormatOptions, MaskFormat, open_masks
from mmrefine.jobs.formats.base import CoarseMasks, GroundTruthMasks, MaskPair
from mmrefine.jobs.report import measure
from tests.helpers.scenes import SIZE_HW, Scenes


def source_of(scenes: Scenes, masks: str, semantic: bool = False) -> MaskFormat:
    return open_masks(scenes.folder / masks, scenes.folder / 'photos', options=FormatOptions(semantic))


def load(scenes: Scenes, source: MaskFormat, gt: str) -> tuple[CoarseMasks, GroundTruthMasks]:
    """Coarse and ground-truth masks of the first image."""
    coarse = source.read(source.tasks[0], SIZE_HW)
    return coarse, source.open_ground_truth(scenes.folder / gt).read(source.tasks[0], coarse)


def known(coarse: CoarseMasks, true: GroundTruthMasks) -> list[bool]:
    return [true.mask(index, coarse.mask(index)) is not None for index in range(len(coarse))]


def measured(coarse: np.ndarray, refined: np.ndarray, true: GroundTruthMasks, position: int = 0) -> dict:
    pair = MaskPair('a', '', coarse, refined, 1.0, True, '')
    return measure(pair, true.mask(position, coarse), true.valid)


def test_annotations_by_id_on_the_same_image(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    content['annotations'].reverse()
    right = next(item for item in content['annotations'] if item['id'] == 999)
    right['image_id'] = 14  # the id of a mask of another image is no ground truth
    scenes.write_json('truth.json', content)
    coarse, true = load(scenes, source_of(scenes, 'coco.json'), 'truth.json')
    assert known(coarse, true) == [True, False] and true.valid is None
    np.testing.assert_array_equal(true.mask(0, coarse.mask(0)), scenes.true[0, 0])


def test_ids_that_are_there_twice_on_an_image(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    content['annotations'].append(content['annotations'][0])
    scenes.write_json('truth.json', content)
    coarse, true = load(scenes, source_of(scenes, 'coco.json'), 'truth.json')
    with pytest.raises(ValueError, match='truth.json has 2 masks with the id 1000; ids must be unique'):
        true.mask(0, coarse.mask(0))


def test_results_by_overlap_within_their_category(scenes: Scenes) -> None:
    results = scenes.read_json('results.json')[:1]
    scenes.write_json(
        'results.json', [{**results[0], 'image_id': 10}, {**results[0], 'image_id': 10, 'category_id': 2}]
    )
    images = {'images': scenes.folder / 'coco.json', 'image_root': scenes.folder / 'photos'}
    coarse, true = load(scenes, open_masks(scenes.folder / 'results.json', **images), 'truth.json')
    assert known(coarse, true) == [True, False]  # the ground truth of category 2 is elsewhere
    np.testing.assert_array_equal(true.mask(0, coarse.mask(0)), scenes.true[0, 0])


def test_mask_without_a_file_is_unknown(scenes: Scenes) -> None:
    (scenes.folder / 'truth/scene_0.png').unlink()
    coarse, true = load(scenes, source_of(scenes, 'masks'), 'truth')
    assert known(coarse, true) == [False]
    assert measured(scenes.coarse[0, 0], scenes.true[0, 0], true) == {}


def test_void_is_not_measured(scenes: Scenes) -> None:
    gt = scenes.label_map(scenes.true[0])
    gt[:12] = 255
    Image.fromarray(gt.astype(np.uint8)).save(scenes.folder / 'true_labels/scene_0.png')
    _, true = load(scenes, source_of(scenes, 'labels', semantic=True), 'true_labels')
    coarse, refined = scenes.coarse[0], scenes.true[0].copy()
    refined[:, :12] = True  # wrong, but nobody knows
    seen = np.ones(SIZE_HW, bool)
    seen[:12], seen[:, 50] = False, False
    for index in range(2):
        entry = measured(coarse[index], refined[index], true, index)
        a, b = coarse[index] & seen, scenes.true[0, index] & seen
        assert entry['coarse']['iou'] == pytest.approx((a & b).sum() / (a | b).sum())
        assert entry['refined']['iou'] == 1


def test_ground_truth_of_another_size(scenes: Scenes) -> None:
    Image.new('L', (5, 5)).save(scenes.folder / 'truth/scene_0.png')
    with pytest.raises(ValueError, match=r'truth.scene_0.png is 5x5 \(HxW\) but the image is 40x60'):
        load(scenes, source_of(scenes, 'masks'), 'truth')
