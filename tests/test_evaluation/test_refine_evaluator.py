"""Real metrics of MMDetection and MMSegmentation on coarse and refined predictions, side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import load
from mmengine.registry import METRICS
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmrefine import compat
from mmrefine.core.rle import decode_segmentation
from mmrefine.evaluation import RefineEvaluator
from mmrefine.evaluation.refine_evaluator import _is_of_boxes
from tests.helpers.tiny_openmmlab import CLASSES, SIZE_HW, write_data


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    compat.setup()
    return write_data(tmp_path_factory.mktemp('scenes') / 'data', num_images=2)


@pytest.fixture(scope='module')
def detections(data) -> list:
    """The ground truth as refined masks, the same less 2 px on each side as coarse ones."""
    structures = pytest.importorskip('mmdet.structures')
    import mmdet.evaluation  # noqa: F401  (fills the registry)

    coco = json.loads((data / 'coco.json').read_text())
    samples = []
    for image in coco['images']:
        gt = [item for item in coco['annotations'] if item['image_id'] == image['id']]
        masks = np.stack([decode_segmentation(item['segmentation'], SIZE_HW) for item in gt])
        sample = structures.DetDataSample(metainfo={'img_id': image['id'], 'ori_shape': SIZE_HW})
        sample.pred_instances = instances(gt, masks)
        eroded = [cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0 for mask in masks]
        sample.coarse = BaseDataElement(
            pred_instances=instances(gt, np.stack(eroded)), accepted=np.array([image['id'] == 0, True])
        )
        samples.append(sample)
    return samples


def instances(gt: list[dict], masks: np.ndarray) -> InstanceData:
    corners = np.array([item['bbox'] for item in gt], np.float32)
    corners[:, 2:] += corners[:, :2]
    labels = torch.tensor([item['category_id'] - 1 for item in gt])
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
    assert next(iter(metrics)) == 'refined/coco/segm_mAP'


def test_the_log_says_which_table_is_which(data, detections, monkeypatch):
    lines = []
    monkeypatch.setattr('mmrefine.evaluation.refine_evaluator.print_log', lambda text, **_: lines.append(text))
    monkeypatch.setattr('mmdet.evaluation.metrics.coco_metric.CocoMetric.compute_metrics', lambda self, results: (
        lines.append('table') or {}))  # fmt: skip
    evaluate(RefineEvaluator(coco_metric(data)), detections)
    coarse, first, refined, second = lines
    assert 'coarse masks' in coarse and 'refined masks' in refined and first == second == 'table'


@pytest.mark.parametrize('metric', [['bbox', 'segm'], ['segm', 'bbox'], ['bbox', 'proposal', 'segm'], ['bbox']])
def test_the_best_checkpoint_is_never_chosen_by_boxes(data, detections, metric):
    """save_best='auto' of mmengine's CheckpointHook takes the first key."""
    metrics = evaluate(RefineEvaluator(coco_metric(data, metric=metric)), detections)
    first, *_ = metrics
    assert 'bbox' not in first and 'AR@' not in first
    assert any(key.startswith('refined/coco/bbox') for key in metrics)
    assert first == ('refined/coco/segm_mAP' if 'segm' in metric else 'accepted')


def test_every_metric_of_mmdet_is_of_masks_or_of_boxes():
    compat.setup()
    pytest.importorskip('mmdet.evaluation')
    from mmdet.registry import METRICS as METRICS_OF_MMDET

    prefixes = {getattr(metric, 'default_prefix', None) for metric in METRICS_OF_MMDET.module_dict.values()} - {None}
    of_masks = {'coco', 'lvis', 'cityscapes', 'coco_panoptic', 'youtube_vis'}  # or of both, which their keys tell
    dumps = {'dump_proposals', 'pl_odvg'}
    assert of_masks < prefixes
    for prefix in prefixes - dumps:
        assert _is_of_boxes(f'refined/{prefix}/mAP') == (prefix not in of_masks), prefix


class KeepClips(BaseMetric):
    """Keeps the clips it sees."""

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        self.seen = results
        return {}


def test_clips_of_both_sides(detections):
    """Frames are handed on as data samples, as MMDetection's metrics of videos read them."""
    structures = pytest.importorskip('mmdet.structures')
    METRICS.register_module(module=KeepClips, force=True)
    clip, coarse = structures.TrackDataSample(), structures.TrackDataSample()
    clip.video_data_samples = detections
    coarse.video_data_samples = [sample.new() for sample in detections]
    for sample in coarse.video_data_samples:
        sample.pred_instances = sample.pop('coarse').pred_instances
    clip.coarse = BaseDataElement(video_data_samples=coarse.video_data_samples, accepted=np.array([True]))
    evaluator = RefineEvaluator({'type': 'KeepClips'})
    assert evaluate(evaluator, [clip])['accepted'] == 1
    [refined_seen], [coarse_seen] = evaluator.metrics[0].seen, evaluator.coarse.metrics[0].seen
    for given, got in ((clip, refined_seen), (coarse, coarse_seen)):
        assert 'coarse' not in got
        for sample, frame in zip(given.video_data_samples, got['video_data_samples'], strict=True):
            assert torch.equal(frame.pred_instances.masks, sample.pred_instances.masks)


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

    gt = torch.from_numpy(cv2.imread(str(data / 'labels/000.png'), cv2.IMREAD_GRAYSCALE).astype(np.int64))[None]
    sample = structures.SegDataSample(metainfo={'img_path': '000.png'})
    sample.gt_sem_seg = sample.pred_sem_seg = PixelData(data=gt)
    coarse = PixelData(data=gt.roll(2, dims=2))
    sample.coarse = BaseDataElement(pred_sem_seg=coarse, accepted=np.zeros(0, bool))
    metric = {'type': 'mmseg.IoUMetric', 'iou_metrics': ['mIoU'], 'output_dir': str(tmp_path / 'maps')}
    metrics = evaluate(RefineEvaluator([metric]), [sample], ('ground', *CLASSES))
    assert metrics['refined/mIoU'] == 100 > metrics['coarse/mIoU'] > 80
    assert metrics['gain/mIoU'] == pytest.approx(100 - metrics['coarse/mIoU'])
    assert math.isnan(metrics['accepted'])
    for folder, expected in (('maps', gt), ('maps_coarse', coarse.data)):
        written = cv2.imread(str(tmp_path / folder / '000.png'), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(written, expected[0])


def test_what_it_cannot_do(data, detections):
    with pytest.raises(TypeError, match='builds every metric twice and needs configs'):
        RefineEvaluator([Evaluator([])])
    sample = detections[0].new()
    sample.pop('coarse')
    with pytest.raises(ValueError, match='needs RefineHook, got a prediction without coarse masks'):
        evaluate(RefineEvaluator(coco_metric(data)), [sample])
