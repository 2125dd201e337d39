"""The truth of a mask is found by id, by overlap or by name, and void is not measured."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmrefine.files.mask_sources import MaskSource, open_masks
from mmrefine.jobs.truth import measure, open_truth
from mmrefine.structures import RefineResult
from tests.helpers.scenes import SIZE_HW, Scenes


def source_of(scenes: Scenes, masks: str, **options: object) -> MaskSource:
    return open_masks(scenes.folder / masks, scenes.folder / 'photos', **options)


def load(scenes: Scenes, source: MaskSource, truth: str):
    task = source.tasks[0]
    return open_truth(scenes.folder / truth, source).load(task, source.load(task, SIZE_HW))


def as_result(coarse: np.ndarray, refined: np.ndarray) -> RefineResult:
    count = len(coarse)
    return RefineResult(refined, np.ones(count, np.float32), np.ones(count, bool), coarse, ('',) * count)


def test_annotations_by_id_on_the_same_image(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    content['annotations'].reverse()
    right = next(item for item in content['annotations'] if item['id'] == 999)
    right['image_id'] = 14  # the id of a mask of another image is no truth
    scenes.write_json('truth.json', content)
    true = load(scenes, source_of(scenes, 'coco.json'), 'truth.json')
    assert true.known.tolist() == [True, False] and true.valid.all()
    np.testing.assert_array_equal(true.masks[0], scenes.true[0, 0])


def test_ids_that_are_there_twice_on_an_image(scenes: Scenes) -> None:
    content = scenes.read_json('truth.json')
    content['annotations'].append(content['annotations'][0])
    scenes.write_json('truth.json', content)
    with pytest.raises(ValueError, match='truth.json has 2 masks with the id 1000; ids must be unique'):
        load(scenes, source_of(scenes, 'coco.json'), 'truth.json')


def test_results_by_overlap_within_their_category(scenes: Scenes) -> None:
    results = scenes.read_json('results.json')[:1]
    scenes.write_json(
        'results.json', [{**results[0], 'image_id': 10}, {**results[0], 'image_id': 10, 'category_id': 2}]
    )
    images = {'images': scenes.folder / 'coco.json', 'image_root': scenes.folder / 'photos'}
    source = open_masks(scenes.folder / 'results.json', **images)
    true = load(scenes, source, 'truth.json')
    assert true.known.tolist() == [True, False]  # the truth of category 2 is elsewhere
    np.testing.assert_array_equal(true.masks[0], scenes.true[0, 0])


def test_mask_without_a_file_is_unknown(scenes: Scenes) -> None:
    (scenes.folder / 'truth/scene_0.png').unlink()
    source = source_of(scenes, 'masks')
    true = load(scenes, source, 'truth')
    assert true.known.tolist() == [False]
    assert measure(as_result(scenes.coarse[0, :1], scenes.true[0, :1]), true) == [{}]


def test_void_is_not_measured(scenes: Scenes) -> None:
    truth = scenes.label_map(scenes.true[0])
    truth[:12] = 255
    Image.fromarray(truth.astype(np.uint8)).save(scenes.folder / 'true_labels/scene_0.png')
    source = source_of(scenes, 'labels', semantic=True)
    true = load(scenes, source, 'true_labels')
    coarse, refined = scenes.coarse[0], scenes.true[0].copy()
    refined[:, :12] = True  # wrong, but nobody knows
    measured = measure(as_result(coarse, refined), true)
    seen = np.ones(SIZE_HW, bool)
    seen[:12], seen[:, 50] = False, False
    for index, entry in enumerate(measured):
        a, b = coarse[index] & seen, scenes.true[0, index] & seen
        assert entry['coarse']['iou'] == pytest.approx((a & b).sum() / (a | b).sum())
        assert entry['refined']['iou'] == 1


def test_truth_of_another_size(scenes: Scenes) -> None:
    Image.new('L', (5, 5)).save(scenes.folder / 'truth/scene_0.png')
    with pytest.raises(ValueError, match=r'truth.*scene_0.png has the size \(5, 5\) \(H, W\) but its mask \(40, 60\)'):
        load(scenes, source_of(scenes, 'masks'), 'truth')
