"""Pseudo-labels with weights, mixed with labels by people, through MMDetection's own pipeline and sampler."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from mmrefine.compat import setup

setup()
pytest.importorskip('mmdet')

from mmdet.datasets import ConcatDataset  # noqa: E402
from mmdet.datasets.samplers import MultiSourceSampler  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.registry import DATASETS  # noqa: E402

import mmrefine.datasets.weighted_coco  # noqa: E402, F401
from tests.helpers.tiny_mask_rcnn import CLASSES, write_images, write_json  # noqa: E402

LOADING = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}]


def dataset(folder, content: dict, *transforms: dict, **changes: object):
    register_all_modules(init_default_scope=True)
    config = {
        'type': 'mmrefine.WeightedCocoDataset',
        'ann_file': write_json(folder / 'labels.json', content),
        'data_prefix': {'img': str(folder)},
        'metainfo': {'classes': CLASSES},
        'pipeline': [*LOADING, *transforms, {'type': 'mmrefine.PackWeightedInputs'}],
        **changes,
    }
    return DATASETS.build(config)


def test_weights_stay_with_their_instance(tmp_path):
    """Of three annotations one has no box that MMDetection takes, and one is to be ignored."""
    content = write_images(tmp_path, 1)
    first, second = content['annotations']
    first['weight'] = 0.25
    unusable = {**first, 'id': 3, 'bbox': [70.0, 10, 5, 5], 'weight': 0.5}
    crowd = {**second, 'id': 4, 'iscrowd': 1, 'weight': 0.75}
    content['annotations'] = [unusable, crowd, first, second]
    sample = dataset(tmp_path, content)[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0, 1]
    assert sample.gt_instances.weights.tolist() == [0.25, 1.0]
    assert sample.ignored_instances.weights.tolist() == [0.75]


def test_resizing_and_flipping_keep_weights(tmp_path):
    content = write_images(tmp_path, 1)
    content['annotations'][1]['weight'] = 0.5
    transforms = [
        {'type': 'Resize', 'scale_factor': 2.0, 'keep_ratio': True},
        {'type': 'RandomFlip', 'prob': 1.0},
    ]
    sample = dataset(tmp_path, content, *transforms)[0]['data_samples']
    assert sample.gt_instances.weights.tolist() == [1.0, 0.5]


def test_transforms_that_drop_instances_are_refused(tmp_path):
    content = write_images(tmp_path, 1)
    dropping = {'type': 'FilterAnnotations', 'min_gt_bbox_wh': (22, 1)}  # the box is 22 px wide, the disk 23
    with pytest.raises(ValueError, match='2 instances were loaded but 1 are left'):
        dataset(tmp_path, content, dropping)[0]


def test_weights_out_of_range(tmp_path):
    content = write_images(tmp_path, 1)
    content['annotations'][1]['weight'] = 1.5
    with pytest.raises(ValueError, match='annotation 2 must have a weight in .0, 1., got 1.5'):
        dataset(tmp_path, content)


def test_labelled_and_pseudo_are_mixed_by_ratio(tmp_path):
    labelled = dataset(tmp_path, write_images(tmp_path, 2), type='CocoDataset')
    content = write_images(tmp_path, 5, first_id=10)
    for annotation in content['annotations']:
        annotation['weight'] = 0.5
    both = ConcatDataset([labelled, dataset(tmp_path, content)])
    indices = list(islice(MultiSourceSampler(both, batch_size=4, source_ratio=[1, 3], seed=0), 8))
    assert [index >= 2 for index in indices] == [False, True, True, True] * 2
    weights = [both[index]['data_samples'].gt_instances.weights for index in indices[:2]]
    torch.testing.assert_close(torch.stack(weights), torch.tensor([[1.0, 1.0], [0.5, 0.5]]))
