"""Predictions of real MMDetection and MMSegmentation models, tiny, refined outside of a Runner."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

import mmrefine
from mmrefine import compat
from mmrefine.registry import MODELS
from tests.helpers.tiny_openmmlab import CLASSES, REFINER, build, det_config, mask_rcnn, seg_config, write_data

compat.setup()
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

from mmdet.apis import DetInferencer, inference_detector, init_detector  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402
from mmseg.apis import MMSegInferencer, inference_model, init_model  # noqa: E402

SEG_CLASSES = ('background', *CLASSES)
ANY_GATE = {'min_score': 0.0, 'min_agreement': None}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp('scenes') / 'data')


def saved(config: Config, classes: tuple[str, ...], path: Path) -> tuple[Config, str]:
    """A config that inferencers take, and a checkpoint with weights that predict something."""
    model = build(config).model
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': classes}}}, path)
    return config, str(path)


@pytest.fixture(scope='module')
def detector(data) -> tuple[Config, str]:
    config = det_config(data, mask_rcnn(), visualizer={'type': 'DetLocalVisualizer'})
    return saved(config, CLASSES, data / 'detector.pth')


@pytest.fixture(scope='module')
def segmentor(data) -> tuple[Config, str]:
    config = seg_config(data, visualizer={'type': 'SegLocalVisualizer'})
    config.test_pipeline = config.test_dataloader.dataset.pipeline
    return saved(config, SEG_CLASSES, data / 'segmentor.pth')


def refining(config: Config, **options: Any) -> Config:
    """The config with a model that refines."""
    config = deepcopy(config)
    model_type = config.model.type
    config.model.update(
        type='mmrefine.RefinedModel', model_type=model_type, refine={'refiner': REFINER, 'gate': ANY_GATE, **options}
    )
    return config


def images(data: Path) -> list[str]:
    return sorted(map(str, (data / 'images').iterdir()))


def masks_of(sample) -> np.ndarray:
    return np.asarray(sample.pred_instances.masks)


def refined_apart(path: str, coarse: np.ndarray) -> np.ndarray:
    refiner = MODELS.build(REFINER).with_gate(ANY_GATE)
    return mmrefine.refine(path, coarse, refiner).masks


def label_map(sample) -> np.ndarray:
    return sample.pred_sem_seg.data[0].numpy()


# ---- refine_predictions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize('source', ['img_path', 'path', 'bgr', 'rgb'])
def test_after_inference_detector(detector, data, source):
    config, weights = detector
    model = init_detector(deepcopy(config), weights, device='cpu')
    [path, *_] = images(data)
    image = cv2.imread(path)
    sample = inference_detector(model, path if source == 'img_path' else image)
    options = {'model': REFINER, 'gate': ANY_GATE, 'device': 'cpu'}
    given = {'img_path': None, 'path': path, 'bgr': image, 'rgb': image[..., ::-1]}[source]
    before = masks_of(sample).copy()
    order = {'channel_order': 'rgb'} if source == 'rgb' else {}
    refined = mmrefine.refine_predictions(sample, given, **options, **order)
    np.testing.assert_array_equal(masks_of(refined), refined_apart(path, before))
    assert (masks_of(refined) != before).any()
    np.testing.assert_array_equal(masks_of(sample), before)
    if source != 'img_path':
        with pytest.raises(FileNotFoundError, match='img_path is not in its metainfo.*pass the images to'):
            mmrefine.refine_predictions(sample, **options)


def test_channels_of_arrays_are_distinguished(data):
    seen = []
    refiner = MODELS.build(REFINER)
    refine_image = refiner._refine_image
    refiner._refine_image = lambda item: seen.append(item.image) or refine_image(item)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    sample = DetDataSample()
    sample.pred_instances = InstanceData(masks=mask, scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.int64))
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 200
    for order in ('bgr', 'rgb'):
        mmrefine.refine_predictions(sample, image, refiner, channel_order=order)
    assert seen[0][0, 0].tolist() == [0, 0, 200] and seen[1][0, 0].tolist() == [200, 0, 0]


def test_a_list_is_answered_by_a_list(detector, data):
    config, weights = detector
    model = init_detector(deepcopy(config), weights, device='cpu')
    samples = inference_detector(model, images(data))
    refined = mmrefine.refine_predictions(samples, images(data), model=REFINER, gate=ANY_GATE, device='cpu')
    for path, before, after in zip(images(data), samples, refined, strict=True):
        np.testing.assert_array_equal(masks_of(after), refined_apart(path, masks_of(before)))
    one = mmrefine.refine_predictions(samples[:1], model=REFINER, device='cpu')
    assert isinstance(one, list) and len(one) == 1
    assert mmrefine.refine_predictions([]) == []
    for wrong in (images(data)[:1], images(data)[0]):
        with pytest.raises(ValueError, match='list of 3 samples needs .* as many images, got (one image|1 image)'):
            mmrefine.refine_predictions(samples, wrong)
    for wrong, name in (([np.zeros(3)], 'ndarray'), ({'predictions': samples}, 'dict'), (None, 'NoneType')):
        with pytest.raises(TypeError, match=f'samples must be .*, got {name}; .* return_datasamples=True'):
            mmrefine.refine_predictions(wrong)
    with pytest.raises(ValueError, match='but the image .* is 30x40'):
        mmrefine.refine_predictions(samples[0], np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(TypeError, match=r'an image must be a path or an \(H, W, 3\) uint8 array, got float64 \(3,\)'):
        mmrefine.refine_predictions(samples[0], np.zeros(3))


def test_after_inference_model_on_an_array(segmentor, data):
    config, weights = segmentor
    model = init_model(deepcopy(config), weights, device='cpu')
    image = cv2.imread(images(data)[0])
    sample = inference_model(model, image)
    options = {'model': REFINER, 'gate': ANY_GATE, 'device': 'cpu'}
    refined = mmrefine.refine_predictions(sample, image, dataset_meta=model.dataset_meta, **options)
    assert (label_map(refined) != label_map(sample)).any()
    # The classes of dataset_meta say that label 0 is background, and can be chosen by name.
    ground = mmrefine.refine_predictions(sample, image, **options)
    assert (label_map(refined) != label_map(ground)).any() or 0 not in label_map(sample)
    named = mmrefine.refine_predictions(sample, image, dataset_meta=model.dataset_meta, classes=['disk'], **options)
    chosen = mmrefine.refine_predictions(sample, image, dataset_meta=model.dataset_meta, classes=[2], **options)
    np.testing.assert_array_equal(label_map(named), label_map(chosen))
    with pytest.raises(ValueError, match="no class 'tree'; it has background, box, disk"):
        mmrefine.refine_predictions(sample, image, dataset_meta=model.dataset_meta, classes=['tree'], **options)


@pytest.mark.parametrize('source', ['img_path', 'arrays'])
def test_clips_frame_by_frame(detector, data, source):
    """What a tracker says of a frame is refined beside what its detector says."""
    config, weights = detector
    model = init_detector(deepcopy(config), weights, device='cpu')
    frames = inference_detector(model, images(data))
    for number, frame in enumerate(frames):
        frame.pred_track_instances = frame.pred_instances.clone()
        frame.pred_track_instances.instances_id = torch.arange(len(frame.pred_instances)) + number
    clip = TrackDataSample()
    clip.video_data_samples = frames
    given = None if source == 'img_path' else [cv2.imread(path) for path in images(data)]
    refined = mmrefine.refine_predictions(clip, given, model=REFINER, gate=ANY_GATE, device='cpu')
    assert isinstance(refined, TrackDataSample) and len(refined) == 3
    for path, before, after in zip(images(data), frames, refined.video_data_samples, strict=True):
        expected = refined_apart(path, masks_of(before))
        np.testing.assert_array_equal(after.pred_track_instances.masks, expected)
        np.testing.assert_array_equal(masks_of(after), expected)
        assert torch.equal(after.pred_track_instances.instances_id, before.pred_track_instances.instances_id)
    for wrong, got in ((images(data)[:2], '2 images'), (cv2.imread(images(data)[0]), 'ndarray')):
        with pytest.raises(ValueError, match=f'a clip of 3 frames needs a list of as many images, got {got}'):
            mmrefine.refine_predictions(clip, wrong)


# ---- RefinedModel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('batch_size', [1, 3])
def test_det_inferencer_refines(detector, data, batch_size):
    config, weights = detector
    options = {'no_save_vis': True, 'return_datasamples': True, 'batch_size': batch_size}
    coarse = DetInferencer(deepcopy(config), weights, device='cpu')(images(data), **options)['predictions']
    inferencer = DetInferencer(refining(config), weights, device='cpu')
    refined = inferencer(images(data), **options)['predictions']
    for path, before, after in zip(images(data), coarse, refined, strict=True):
        np.testing.assert_array_equal(masks_of(after), refined_apart(path, masks_of(before)))
        assert torch.equal(after.pred_instances.scores, before.pred_instances.scores)
    # The model stays what it was, and the refiner none of its modules.
    assert type(inferencer.model).__name__ == 'MaskRCNN'
    assert set(inferencer.model.state_dict()) == set(torch.load(weights, weights_only=False)['state_dict'])
    # inference_detector, which needs the backbone in the config, takes the same config.
    model = init_detector(refining(config), weights, device='cpu')
    np.testing.assert_array_equal(masks_of(inference_detector(model, images(data)[0])), masks_of(refined[0]))


def test_arrays_need_a_fallback(detector, data):
    config, weights = detector
    image = cv2.imread(images(data)[0])
    options = {'no_save_vis': True, 'return_datasamples': True}
    with pytest.raises(FileNotFoundError, match="set fallback='network_input'"):
        DetInferencer(refining(config), weights, device='cpu')(image, **options)
    inferencer = DetInferencer(refining(config, fallback='network_input'), weights, device='cpu')
    [sample] = inferencer(image, **options)['predictions']
    [coarse] = DetInferencer(deepcopy(config), weights, device='cpu')(image, **options)['predictions']
    assert (masks_of(sample) != masks_of(coarse)).any()


def test_seg_inferencer_refines(segmentor, data):
    config, weights = segmentor
    inferencer = MMSegInferencer(deepcopy(config), weights, device='cpu')
    coarse = inferencer(images(data), return_datasamples=True)
    refined = MMSegInferencer(refining(config), weights, device='cpu')(images(data), return_datasamples=True)
    expected = mmrefine.refine_predictions(
        coarse, model=REFINER, gate=ANY_GATE, device='cpu', dataset_meta={'classes': SEG_CLASSES}
    )
    for before, after, wanted in zip(coarse, refined, expected, strict=True):
        np.testing.assert_array_equal(label_map(after), label_map(wanted))
        assert (label_map(after) != label_map(before)).any()
    model = init_model(refining(config), weights, device='cpu')
    np.testing.assert_array_equal(label_map(inference_model(model, images(data)[0])), label_map(expected[0]))


@pytest.mark.parametrize('source', ['runner', 'model'])
def test_in_a_runner_the_background_is_known(segmentor, data, source):
    """As the hook: the class that is called background takes what regions give up, and is not refined."""
    config, weights = deepcopy(segmentor[0]), segmentor[1]
    config.load_from, config.test_evaluator = weights, [{'type': 'KeepPredictions'}]
    hook = {'type': 'mmrefine.RefineHook', 'refiner': REFINER, 'gate': ANY_GATE}
    seen = []
    for changed in ({'custom_hooks': [hook]}, {'model': refining(config).model}):
        runner = Runner.from_cfg(Config({**config, **changed, 'experiment_name': f'background_{len(seen)}_{source}'}))
        if source == 'model' and 'model' in changed:
            runner.model.dataset_meta = {'classes': ('ground', *CLASSES)}
        runner.test()
        seen.append(runner.test_evaluator.metrics[0].seen)
    same = [np.array_equal(*(side[name]['pred_sem_seg']['data'] for side in seen)) for name in seen[0]]
    assert all(same) if source == 'runner' else not all(same)


def test_classes_of_another_runner_are_not_those_of_the_model(segmentor, data):
    """Its dataset says which class is the background; a model built apart, before or after, does not know."""
    config, weights = deepcopy(segmentor[0]), segmentor[1]
    config.load_from, config.test_evaluator = weights, [{'type': 'KeepPredictions'}]
    init_default_scope('mmseg')
    apart = [ROOT_MODELS.build(refining(config).model)]
    runner = Runner.from_cfg(Config({**config, 'model': refining(config).model, 'experiment_name': 'earlier'}))
    runner.test()
    apart.append(ROOT_MODELS.build(refining(config).model))
    assert runner.model._refinement._dataset_meta(runner.model)['classes'] == SEG_CLASSES
    for model in apart:
        assert model._refinement._dataset_meta(model) is None
    # A Runner of the same name has the visualizer of the earlier one.
    config.test_dataloader.dataset.metainfo = {'classes': ('ground', *CLASSES), 'palette': [[0] * 3] * 3}
    later = Runner.from_cfg(Config({**config, 'model': refining(config).model, 'experiment_name': 'earlier'}))
    later.test()
    assert later.model._refinement._dataset_meta(later.model)['classes'] == ('ground', *CLASSES)
    assert deepcopy(later.model)._refinement is later.model._refinement


def test_what_is_wrong_with_a_refined_model_shows_at_once(detector):
    config, _ = detector
    with pytest.raises(TypeError, match="unexpected keyword argument 'least_score'"):
        DetInferencer(refining(config, least_score=0.3), device='cpu')
    with pytest.raises(FileNotFoundError, match="unknown model 'no_such_model'"):
        DetInferencer(refining(config, refiner='no_such_model'), device='cpu')


def test_flipped_views_are_refused(detector):
    config, _ = detector
    model = init_detector(refining(config), device='cpu')
    sample = DetDataSample(metainfo={'flip': True})
    with pytest.raises(ValueError, match='got one on a flipped image, as in test-time augmentation; use RefineHook'):
        model._refinement(model, [sample], None)
