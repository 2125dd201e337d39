"""RefineHook in Runners of MMDetection: real models, tiny, with random weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.hooks.test_time_aug_hook import PrepareTTAHook
from mmengine.model import is_model_wrapper
from mmengine.registry import METRICS
from mmengine.runner import Runner, TestLoop

from mmrefine.apis import RefineInferencer
from mmrefine.core.rle import decode_segmentation
from mmrefine.engine import PredictionRefiner, RefineHook, RefineWrapper
from mmrefine.models.refiners import SAMRefiner
from mmrefine.registry import MODELS
from tests.helpers.tiny_openmmlab import (
    REFINER,
    SIZE_HW,
    build,
    det_config,
    mask_rcnn,
    retinanet,
)
from tests.helpers.tiny_sam import trained_backend

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

HOOK = {'type': 'mmrefine.RefineHook', 'refiner': REFINER}
KEEP = {'type': 'KeepPredictions'}


class Watch(Hook):
    """What other hooks get to see: outputs, and the model after every iteration."""

    def __init__(self):
        self.outputs, self.models = [], []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.outputs += outputs
        self.models.append(runner.model)


def switch(runner: Runner, *hooks: Hook | dict) -> Runner:
    """The Runner with these hooks instead of those of the last test."""
    runner._hooks = [hook for hook in runner._hooks if not isinstance(hook, (RefineHook, Watch, PrepareTTAHook))]
    for hook in hooks:
        runner.register_hook(dict(hook) if isinstance(hook, dict) else hook)
    return runner


def predict(runner: Runner, *hooks: Hook | dict) -> dict[str, dict]:
    """What the evaluator of a test sees, by image."""
    switch(runner, *hooks).test()
    return seen(runner.test_evaluator)


def seen(evaluator) -> dict[str, dict]:
    return next(metric.seen for metric in evaluator.metrics if type(metric).__name__ == 'KeepPredictions')


def masks_of(sample: dict) -> np.ndarray:
    return sample['pred_instances']['masks'].numpy()


def refined_offline(sample: dict) -> np.ndarray:
    return RefineInferencer(REFINER, device='cpu')(sample['img_path'], masks_of(sample)).masks


# ---- instance segmentation ------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def out(tmp_path_factory) -> Path:
    """Where the metrics of the detector write."""
    return tmp_path_factory.mktemp('out')


@pytest.fixture(scope='module')
def detector(data, out) -> Runner:
    """A Runner of a tiny Mask R-CNN with metrics, dumps and pictures."""
    coco = {'type': 'CocoMetric', 'ann_file': str(data / 'coco.json'), 'metric': ['bbox', 'segm']}
    evaluator = [
        coco,
        {**coco, 'format_only': True, 'outfile_prefix': str(out / 'results')},
        {'type': 'DumpDetResults', 'out_file_path': str(out / 'dump.pkl')},
        {'type': 'DumpResults', 'out_file_path': str(out / 'plain.pkl')},
        KEEP,
    ]
    config = det_config(data, mask_rcnn(), (), evaluator, visualizer={'type': 'DetLocalVisualizer'})
    config.default_hooks.visualization = {'type': 'DetVisualizationHook', 'draw': True, 'score_thr': 0.0}
    return build(config)


@pytest.fixture(scope='module')
def coarse_detections(detector) -> dict[str, dict]:
    """Predictions of the detector without the hook."""
    return predict(detector)


def test_evaluator_hooks_and_dumps_see_refined_masks(detector, coarse_detections, out, monkeypatch):
    pictures = []
    monkeypatch.setattr(
        type(detector.visualizer), 'add_datasample', lambda self, *_, data_sample, **__: pictures.append(data_sample)
    )
    watch = Watch()
    found = predict(detector, HOOK, watch)
    dumped, plain = ({Path(s['img_path']).name: s for s in load(out / f'{name}.pkl')} for name in ('dump', 'plain'))
    outputs, drawn = ({Path(sample.img_path).name: sample for sample in some} for some in (watch.outputs, pictures))
    formatted = json.loads((out / 'results.segm.json').read_text())
    changed = 0
    assert len(coarse_detections) == 3
    for index, (name, coarse) in enumerate(coarse_detections.items()):
        expected = refined_offline(coarse)
        changed += (expected != masks_of(coarse)).any()
        np.testing.assert_array_equal(masks_of(found[name]), expected)
        np.testing.assert_array_equal(masks_of(plain[name]), expected)
        for sample in (outputs[name], drawn[name]):
            np.testing.assert_array_equal(sample.pred_instances.masks, expected)
        records = [record for record in formatted if record['image_id'] == index]
        for rle, record, mask in zip(dumped[name]['pred_instances']['masks'], records, expected, strict=True):
            np.testing.assert_array_equal(decode_segmentation(rle, SIZE_HW), mask)
            np.testing.assert_array_equal(decode_segmentation(record['segmentation'], SIZE_HW), mask)
        for key in ('bboxes', 'labels', 'scores'):
            assert torch.equal(found[name]['pred_instances'][key], coarse['pred_instances'][key])
        assert 'coarse' not in found[name]
    assert changed
    # The wrapper was there for the steps alone.
    assert {type(model).__name__ for model in [*watch.models, detector.model]} == {'MaskRCNN'}
    # Validation is refined alike.
    detector.val()
    for name, sample in seen(detector.val_evaluator).items():
        np.testing.assert_array_equal(masks_of(sample), masks_of(found[name]))


def test_mixed_precision(detector, coarse_detections, monkeypatch):
    """Under autocast what the detector predicts, which is another thing, is refined."""
    # Not by a run: metrics and pictures of MMDetection refuse bfloat16, in which a detector answers on a CPU.
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        coarse = [sample for batch in detector.test_dataloader for sample in detector.model.test_step(batch)]
    assert coarse[0].pred_instances.scores.dtype == torch.bfloat16
    monkeypatch.setattr(detector.test_loop, 'fp16', True)
    found = predict(detector, HOOK)
    for expected in PredictionRefiner(MODELS.build(REFINER))(coarse):
        sample = found[Path(expected.img_path).name]
        np.testing.assert_array_equal(masks_of(sample), expected.pred_instances.masks)
        assert torch.equal(sample['pred_instances']['scores'], expected.pred_instances.scores)


def test_options_reach_the_predictions(detector, coarse_detections):
    refiner = RefineInferencer(REFINER, device='cpu', gate=False)
    hook = {**HOOK, 'classes': ['disk'], 'top_k': 1, 'rescore': True, 'gate': False}
    for name, sample in predict(detector, hook).items():
        before, after = coarse_detections[name]['pred_instances'], sample['pred_instances']
        disks = (before['labels'].numpy() == 1) & before['masks'].numpy().any(axis=(1, 2))
        chosen = np.flatnonzero(disks)[:1]  # scores fall
        result = refiner(sample['img_path'], before['masks'].numpy()[chosen])
        expected, scores = before['masks'].numpy().copy(), before['scores'].numpy().copy()
        expected[chosen] = result.masks
        scores[chosen] *= result.scores
        np.testing.assert_array_equal(after['masks'], expected)
        np.testing.assert_allclose(after['scores'], scores, rtol=1e-6)


def test_a_gate_keeps_what_the_model_predicted(detector, coarse_detections, monkeypatch):
    lines = []
    monkeypatch.setattr(detector.logger, 'info', lines.append)
    for name, sample in predict(detector, {**HOOK, 'gate': {'min_score': 1.1}}).items():
        np.testing.assert_array_equal(masks_of(sample), masks_of(coarse_detections[name]))
    [line] = [line for line in lines if 'RefineHook' in str(line)]
    assert ' replaced 0 of ' in line and line.endswith(', gate=dict(min_score=None) drops this condition alone.')


def test_counts_are_those_of_all_processes(detector, monkeypatch):
    lines = []
    other = [('',) * 40 + ('coarse mask is too small',) * 60]
    monkeypatch.setattr(detector.logger, 'info', lines.append)
    monkeypatch.setattr('mmrefine.engine.hooks.refine_hook.all_gather_object', lambda own: [own, other])
    predict(detector, {**HOOK, 'gate': {'min_score': 1.1}})
    [line] = [line for line in lines if 'RefineHook' in str(line)]
    count = int(re.search(r'replaced 40 of (\d+) masks', line)[1])
    assert count > 100 and f'{count - 40} of {count} coarse masks were kept' in line
    assert 'coarse mask is too small 60' in line


def test_several_hooks_refine_one_after_the_other(detector, coarse_detections):
    first = RefineHook(MODELS.build(REFINER), classes=['box'], gate=False)
    both = predict(detector, first, RefineHook(MODELS.build(REFINER), classes=[1], gate=False))
    for name, sample in predict(detector, RefineHook(MODELS.build(REFINER), gate=False)).items():
        np.testing.assert_array_equal(masks_of(sample), masks_of(both[name]))
    assert type(detector.model).__name__ == 'MaskRCNN'


def test_what_is_wrong_with_the_hook_shows_at_once(detector):
    with pytest.raises(ValueError, match="fallback must be None or 'network_input', got 'guess'"):
        RefineHook(REFINER, fallback='guess')
    with pytest.raises(ValueError, match='checkpoint can only be given with a config or a model name'):
        RefineHook(MODELS.build(REFINER), checkpoint='x.pth')
    with pytest.raises(ValueError, match=r"gate has no setting \['least_gain'\]"):
        RefineHook(REFINER, gate={'least_gain': 0.1}).before_run(detector)
    with pytest.raises(FileNotFoundError, match="unknown model 'no_such_model'"):
        RefineHook('no_such_model').before_run(detector)
    for classes, text in ((['tree'], "no class 'tree'; it has box, disk"), ([2], 'has 2 classes, 0 to 1')):
        hook = RefineHook(MODELS.build(REFINER), classes=classes)
        with pytest.raises(ValueError, match=text):
            hook.before_test(detector)
        with pytest.raises(ValueError, match=text):
            hook.before_train(detector)


@METRICS.register_module()
class FailingMetric(BaseMetric):
    """Gives up at the first batch, or at the end."""

    default_prefix = ''

    def __init__(self, at: str):
        super().__init__()
        self.at = at

    def process(self, data_batch, data_samples):
        if self.at == 'process':
            raise RuntimeError('metric gave up')
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        raise RuntimeError('metric gave up')


@pytest.mark.parametrize('at', ['process', 'evaluate', 'model', 'image'])
def test_the_wrapper_is_off_when_evaluation_fails(detector, coarse_detections, at, monkeypatch):
    metrics = detector.test_evaluator.metrics
    if at in ('process', 'evaluate'):
        monkeypatch.setattr(detector.test_evaluator, 'metrics', [*metrics[-1:], FailingMetric(at)])
    elif at == 'model':
        monkeypatch.setattr(detector.model, 'test_step', lambda data: [][0])
    else:
        monkeypatch.setattr('mmrefine.engine.prediction_images.read_image', lambda path: [][0])
    switch(detector, HOOK)
    with pytest.raises((RuntimeError, IndexError)):
        detector.test()
    assert type(detector.model).__name__ == 'MaskRCNN'
    for metric in metrics:
        metric.results.clear()


def test_the_wrapper_is_one_to_mmengine():
    model = torch.nn.Linear(2, 3)
    wrapper = RefineWrapper(model, PredictionRefiner(MODELS.build(REFINER)), lambda module: None)
    assert is_model_wrapper(wrapper) and wrapper.module is model
    assert set(wrapper.state_dict()) == {'module.weight', 'module.bias'}
    assert wrapper(torch.zeros(1, 2)).shape == (1, 3)


# ---- boxes ----------------------------------------------------------------------------------------------------------


def test_a_box_detector_answers_with_masks(data):
    coco = {'type': 'CocoMetric', 'ann_file': str(data / 'coco.json'), 'metric': ['bbox', 'segm']}
    runner = build(det_config(data, retinanet(), (), [KEEP]))
    hook = RefineHook(SAMRefiner(trained_backend()))
    coarse = predict(runner)
    runner.test_evaluator.metrics.append(METRICS.build({**coco, '_scope_': 'mmdet'}))
    runner.test_evaluator.dataset_meta = runner.test_evaluator.dataset_meta
    for name, sample in predict(runner, hook).items():
        assert torch.equal(sample['pred_instances']['bboxes'], coarse[name]['pred_instances']['bboxes'])
        assert masks_of(sample).shape == (3, *SIZE_HW)
    with pytest.raises(ValueError, match='predicts boxes without masks, but BrightInBox needs masks'):
        predict(runner, HOOK)
    # With test-time augmentation; the hook that prepares it comes later and is inside nevertheless.
    loader = runner.cfg.test_dataloader
    packing = loader.dataset.pipeline[-1]
    flips = [{'type': 'RandomFlip', 'prob': 1.0}, {'type': 'RandomFlip', 'prob': 0.0}]
    views = {'type': 'TestTimeAug', 'transforms': [[loader.dataset.pipeline[1]], flips, [packing]]}
    loader.dataset.pipeline = [{'type': 'LoadImageFromFile'}, views]
    runner._test_loop = TestLoop(runner, loader, runner.test_evaluator)
    nms = {'type': 'nms', 'iou_threshold': 0.5}
    tta = PrepareTTAHook({'type': 'DetTTAModel', 'tta_cfg': Config({'nms': nms, 'max_per_img': 2})})
    for sample in predict(runner, hook, tta).values():
        assert masks_of(sample).shape == (2, *SIZE_HW)
    assert type(runner.model).__name__ == 'DetTTAModel'  # which mmengine leaves around the model
