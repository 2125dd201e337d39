"""Real metrics of MMDetection and MMSegmentation on coarse and refined predictions, side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.fileio import load
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine import compat
from mmrefine.core.rle import decode_segmentation
from mmrefine.evaluation import RefineEvaluator
from tests.helpers.tiny_openmmlab import CLASSES, SIZE_HW, write_data


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    compat.setup()
    return write_data(tmp_path_factory.mktemp('scenes') / 'data', num_images=2)


@pytest.fixture(scope='module')
def detections(data) -> list:
    """The truth as refined masks, the same less 2 px on each side as coarse ones."""
    structures = pytest.importorskip('mmdet.structures')
    import mmdet.evaluation  # noqa: F401  (fills the registry)

    coco = json.loads((data / 'coco.json').read_text())
    samples = []
    for image in coco['images']:
        truth = [item for item in coco['annotations'] if item['image_id'] == image['id']]
        masks = np.stack([decode_segmentation(item['segmentation'], SIZE_HW) for item in truth])
        sample = structures.DetDataSample(metainfo={'img_id': image['id'], 'ori_shape': SIZE_HW})
        sample.pred_instances = instances(truth, masks)
        eroded = [cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0 for mask in masks]
        sample.coarse = BaseDataElement(
            pred_instances=instances(truth, np.stack(eroded)), accepted=np.array([image['id'] == 0, True])
        )
        samples.append(sample)
    return samples


def instances(truth: list[dict], masks: np.ndarray) -> InstanceData:
    corners = np.array([item['bbox'] for item in truth], np.float32)
    corners[:, 2:] += corners[:, :2]
    labels = torch.tensor([item['category_id'] - 1 for item in truth])
    return InstanceData(
        bboxes=torch.from_numpy(corners), labels=labels, scores=torch.tensor([0.9, 0.8]), masks=torch.from_numpy(masks)
    )


def coco_metric(data: Path, **options) -> dict:
    return {'type': 'mmdet.CocoMetric', 'ann_file': str(data / 'coco.json'), 'metric': ['bbox', 'segm'], **options}


def evaluate(evaluator: Evaluator, samples: list, classes: tuple = CLASSES) -> dict:
    evaluator.dataset_meta = {'classes': classes}
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def test_average_precision_before_and_after(data, detections):
    metrics = evaluate(RefineEvaluator(coco_metric(data)), detections)
    before = [sample.new() for sample in detections]
    for sample in before:
        sample.pred_instances = sample.coarse.pred_instances
    alone = evaluate(Evaluator([coco_metric(data)]), before)
    assert metrics['refined/coco/segm_mAP'] == metrics['refined/coco/bbox_mAP'] == 1
    assert {key.removeprefix('coarse/'): value for key, value in metrics.items() if key.startswith('coarse/')} == alone
    assert alone['coco/segm_mAP'] < 0.7
    assert metrics['gain/coco/segm_mAP'] == pytest.approx(1 - alone['coco/segm_mAP'])
    assert metrics['gain/coco/bbox_mAP'] == 0
    assert metrics['accepted'] == 0.75
    assert next(iter(metrics)).startswith('refined/')


def test_files_of_both_sides(data, detections, tmp_path):
    evaluator = RefineEvaluator(
        [
            coco_metric(data, format_only=True, outfile_prefix=str(tmp_path / 'results')),
            {'type': 'mmdet.DumpDetResults', 'out_file_path': str(tmp_path / 'dump.pkl')},
            {'type': 'DumpResults', 'out_file_path': str(tmp_path / 'plain.pkl')},
        ]
    )
    assert evaluate(evaluator, detections) == {'accepted': 0.75}
    for suffix, side in (('', lambda sample: sample), ('_coarse', lambda sample: sample.coarse)):
        expected = [mask.numpy() for sample in detections for mask in side(sample).pred_instances.masks]
        records = json.loads((tmp_path / f'results{suffix}.segm.json').read_text())
        dumped = load(tmp_path / f'dump{suffix}.pkl')
        plain = load(tmp_path / f'plain{suffix}.pkl')
        assert all('coarse' not in sample for sample in dumped + plain)
        found = [rle for sample in dumped for rle in sample['pred_instances']['masks']]
        for index, mask in enumerate(expected):
            np.testing.assert_array_equal(decode_segmentation(records[index]['segmentation'], SIZE_HW), mask)
            np.testing.assert_array_equal(decode_segmentation(found[index], SIZE_HW), mask)
            np.testing.assert_array_equal(plain[index // 2]['pred_instances']['masks'][index % 2].numpy(), mask)


def test_mean_iou_before_and_after(data, tmp_path):
    structures = pytest.importorskip('mmseg.structures')
    import mmseg.evaluation  # noqa: F401

    truth = torch.from_numpy(cv2.imread(str(data / 'labels/000.png'), cv2.IMREAD_GRAYSCALE).astype(np.int64))[None]
    sample = structures.SegDataSample(metainfo={'img_path': '000.png'})
    sample.gt_sem_seg = sample.pred_sem_seg = PixelData(data=truth)
    coarse = PixelData(data=truth.roll(2, dims=2))
    sample.coarse = BaseDataElement(pred_sem_seg=coarse, accepted=np.zeros(0, bool))
    metric = {'type': 'mmseg.IoUMetric', 'iou_metrics': ['mIoU'], 'output_dir': str(tmp_path / 'maps')}
    metrics = evaluate(RefineEvaluator([metric]), [sample], ('ground', *CLASSES))
    assert metrics['refined/mIoU'] == 100 > metrics['coarse/mIoU'] > 80
    assert metrics['gain/mIoU'] == pytest.approx(100 - metrics['coarse/mIoU'])
    assert math.isnan(metrics['accepted'])
    for folder, expected in (('maps', truth), ('maps_coarse', coarse.data)):
        written = cv2.imread(str(tmp_path / folder / '000.png'), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(written, expected[0])


def test_what_it_cannot_do(data, detections):
    with pytest.raises(TypeError, match='builds every metric twice and needs their configs'):
        RefineEvaluator([Evaluator([])])
    sample = detections[0].new()
    sample.pop('coarse')
    with pytest.raises(ValueError, match='without its coarse masks; it goes with RefineHook'):
        evaluate(RefineEvaluator(coco_metric(data)), [sample])
