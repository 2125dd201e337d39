"""SAMRefiner: the contract on every backend, its options, and what its rounds cost."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import pytest
import torch

from mmrefine.models.backends import SAM2Backend, SAMHQBackend
from mmrefine.models.model_zoo import build_refiner, load_weights
from mmrefine.models.refiners import SAMRefiner
from mmrefine.models.refiners.base_refiner import RefineInput
from mmrefine.registry import MODELS
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks
from tests.helpers.synthetic_scenes import make_scene
from tests.helpers.tiny_sam import RANDOM, random_sam, randomize, trained_backend


@lru_cache
def refiner_on(name: str) -> SAMRefiner:
    torch.manual_seed(0)
    if name in ('sam_hq', 'sam2'):
        pytest.importorskip({'sam_hq': 'segment_anything_hq', 'sam2': 'sam2'}[name])
    make = {
        'sam': random_sam,
        'trained': trained_backend,
        'sam_hq': lambda: randomize(SAMHQBackend(RANDOM)),
        'sam2': lambda: SAM2Backend(overrides=['++model.image_size=128']),
    }
    return SAMRefiner(make[name](), iters=2, margin=0.1 if name == 'sam' else 0.0).eval()


class TestSAM(RefinerContract):
    @pytest.fixture
    def refiner(self):
        return refiner_on('sam')


class TestTrainedSAM(RefinerContract):
    @pytest.fixture
    def refiner(self):
        return refiner_on('trained')


class TestSAMHQ(RefinerContract):
    @pytest.fixture
    def refiner(self):
        return refiner_on('sam_hq')


class TestSAM2(RefinerContract):
    @pytest.fixture
    def refiner(self):
        return refiner_on('sam2')


@pytest.fixture(scope='module')
def backend():
    return trained_backend()


@pytest.fixture(scope='module')
def scene():
    return make_scene(4)


def iou(masks: np.ndarray, gt: np.ndarray) -> np.ndarray:
    return (masks & gt).sum(axis=(1, 2)) / (masks | gt).sum(axis=(1, 2))


def test_a_trained_segmenter_repairs_rough_masks(backend):
    """The tiny SAM knows such scenes: refined masks are nearer to the ground truth on average."""
    before, after = [], []
    for seed in range(6):
        image, coarse, gt = make_scene(seed)
        result = SAMRefiner(backend, iters=1).refine(image, coarse)
        before.append(iou(coarse, gt))
        after.append(iou(result.masks, gt))
    before, after = np.concatenate(before), np.concatenate(after)
    assert after.mean() > before.mean() + 0.01 and (after > before).mean() > 0.6


@pytest.mark.parametrize(
    'options',
    [
        {'use_point': False},
        {'use_box': False},
        {'use_mask': False},
        {'negative_point': False},
        {'margin': 0.1},
        {'gamma': 0},
        {'strength': 5},
    ],
    ids=str,
)
def test_every_option_has_an_effect(backend, scene, options):
    image, coarse, _ = scene
    usual = SAMRefiner(backend, iters=1).refine(image, coarse)
    other = SAMRefiner(backend, iters=1, **options).refine(image, coarse)
    assert not np.array_equal(usual.scores, other.scores)


def test_the_output_nearest_to_the_coarse_mask_can_be_chosen(backend, scene):
    image, coarse, _ = scene
    results = {
        name: SAMRefiner(backend, iters=1, choose=name).refine(image, coarse).masks
        for name in ('predicted_iou', 'coarse_iou', 'first')
    }
    agreement = {name: iou(masks, coarse) for name, masks in results.items()}
    assert (agreement['coarse_iou'] >= agreement['predicted_iou'] - 1e-9).all()
    assert (agreement['coarse_iou'] >= agreement['first'] - 1e-9).all()
    assert not np.array_equal(results['coarse_iou'], results['predicted_iou'])
    with pytest.raises(ValueError, match='largest'):
        SAMRefiner(backend, choose='largest')


def test_reduced_precision_of_the_encoder_keeps_the_masks():
    """The bound that the documentation gives for bfloat16: mask IoU with float32 of 0.99 on average."""
    backend = trained_backend()
    overlaps = []
    for seed in range(2):
        image, coarse, _ = make_scene(seed)
        masks = []
        for backend.encoder_dtype in (torch.float32, torch.bfloat16):
            masks.append(SAMRefiner(backend, iters=1).refine(image, coarse).masks)
        overlaps.append(iou(*masks))
    assert 0.99 < np.concatenate(overlaps).mean() < 1


def test_distance_is_used(backend):
    """On a mask full of holes the two distances find different points."""
    rng = np.random.default_rng(0)
    masks = rng.random((4, 60, 60)) < 0.97
    scores = [
        SAMRefiner(backend, iters=1, distance=name).refine(photograph(60, 60), masks).scores
        for name in ('chamfer', 'euclidean')
    ]
    assert not np.array_equal(*scores)


def test_chunks_change_nothing(backend, scene):
    image, coarse, _ = scene
    results = [SAMRefiner(backend, iters=2, margin=0.1, chunk_size=size).refine(image, coarse) for size in (1, 3, 64)]
    for other in results[1:]:
        np.testing.assert_allclose(other.scores, results[0].scores, atol=1e-5)
        assert (other.masks != results[0].masks).mean() < 2e-4


def count_prompts(refiner: SAMRefiner, monkeypatch) -> list[int]:
    """Number of masks in each call of the segmenter."""
    calls = []
    predict = refiner.backend.predict

    def counting(features, **prompts):
        calls.append(len(prompts['boxes']))
        return predict(features, **prompts)

    monkeypatch.setattr(refiner.backend, 'predict', counting)
    return calls


def test_masks_that_stay_take_no_further_part(backend, scene, monkeypatch):
    """Stopping a mask once it no longer changes gives what all rounds give, for fewer calls.

    With boxes alone as prompts, a mask settles when its box does.
    """
    image, coarse, _ = scene
    options = {'iters': 6, 'use_point': False, 'use_mask': False}
    all_rounds = SAMRefiner(backend, **options)
    monkeypatch.setattr(all_rounds, '_done', lambda before, after: np.zeros(len(before), bool))
    expected = all_rounds.refine(image, coarse)
    refiner = SAMRefiner(backend, **options)
    calls = count_prompts(refiner, monkeypatch)
    result = refiner.refine(image, coarse)
    assert (result.masks != expected.masks).mean() < 2e-4
    assert sum(calls) < 6 * len(coarse)


def test_no_call_holds_more_masks_than_a_chunk(monkeypatch):
    refiner = SAMRefiner(random_sam(), iters=1)
    calls = count_prompts(refiner, monkeypatch)
    refiner.refine(photograph(), np.repeat(rough_masks(), 4, axis=0)[:11])
    assert calls == [4, 4, 3]


def test_a_mask_that_vanishes_is_left_to_the_gate():
    refiner = SAMRefiner(random_sam(), iters=3)
    predict = refiner.backend.predict
    refiner.backend.predict = lambda *args, **prompts: tuple(
        value - 1000 if k == 0 else value for k, value in enumerate(predict(*args, **prompts))
    )
    result = refiner.refine(photograph(), rough_masks())
    assert not result.accepted.any() and set(result.reasons) == {'refined mask is empty'}
    np.testing.assert_array_equal(result.masks, rough_masks())


def test_score_is_the_product_of_the_named_qualities(backend, scene):
    image, coarse, _ = scene
    scores = {
        names: SAMRefiner(backend, iters=1, quality=names).refine(image, coarse).scores
        for names in (('predicted_iou',), ('stability',), ('agreement',), ('predicted_iou', 'stability', 'agreement'))
    }
    *parts, product = scores.values()
    np.testing.assert_allclose(product, np.prod(parts, axis=0), rtol=1e-5)
    result = SAMRefiner(backend, iters=1, quality=('agreement',)).refine(image, coarse)
    np.testing.assert_allclose(result.scores, iou(result.masks, coarse), rtol=1e-5)


def test_the_gate_decides_by_the_score(backend, scene):
    image, coarse, _ = scene
    open_scores = SAMRefiner(backend, iters=1).refine(image, coarse).scores
    bar = float(np.sort(open_scores)[1:3].mean())
    result = SAMRefiner(backend, iters=1, gate={'min_score': bar}).refine(image, coarse)
    np.testing.assert_array_equal(result.accepted, open_scores >= bar)


def test_second_run_does_not_encode(backend, scene, tmp_path, monkeypatch):
    image, coarse, _ = scene
    refiner = SAMRefiner(backend, iters=1, cache={'folder': tmp_path})
    first = refiner.refine(image, coarse)
    calls = []
    monkeypatch.setattr(refiner.backend, 'encode', lambda image: calls.append(1))
    second = SAMRefiner(refiner.backend, iters=1, cache={'folder': tmp_path}).refine(image, coarse)
    assert not calls
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.scores, second.scores)
    uncached = SAMRefiner(trained_backend(), iters=1).refine(image, coarse)
    assert (uncached.masks != first.masks).mean() < 1e-3  # half precision of the features


def test_predict_mode(backend, scene):
    from mmrefine.structures import RefineDataSample

    image, coarse, _ = scene
    sample = RefineDataSample(coarse_masks=coarse)
    refiner = SAMRefiner(backend, iters=1)
    refiner([torch.from_numpy(image).permute(2, 0, 1)], [sample], mode='predict')
    np.testing.assert_array_equal(sample.refined_masks, refiner.refine(image, coarse).masks)
    with pytest.raises(ValueError, match="'loss'"):
        refiner([], [], mode='loss')


def test_refiner_does_not_touch_other_images(backend):
    """Two images in one call are refined as each alone."""
    scenes = [make_scene(seed)[:2] for seed in (1, 2)]
    refiner = SAMRefiner(backend, iters=1)
    together = refiner.refine_batch([RefineInput(*scene) for scene in scenes])
    for scene, result in zip(scenes, together, strict=True):
        np.testing.assert_array_equal(refiner.refine(*scene).masks, result.masks)


def test_wrong_settings_are_named():
    backend = random_sam()
    with pytest.raises(ValueError, match='use_point'):
        SAMRefiner(backend, use_point=False, use_box=False, use_mask=False)
    with pytest.raises(ValueError, match='iters'):
        SAMRefiner(backend, iters=0)
    with pytest.raises(ValueError, match='luck'):
        SAMRefiner(backend, quality=('luck',))
    with pytest.raises(ValueError, match='manhattan'):
        SAMRefiner(backend, distance='manhattan')


def test_built_from_a_config():
    refiner = MODELS.build({'type': 'SAMRefiner', 'backend': {'type': 'SAMBackend', 'arch': RANDOM}, 'iters': 1})
    assert refiner.refine(photograph(), rough_masks()).masks.shape == (3, 96, 128)


@pytest.mark.parametrize('name', ['sam', 'sam_hq', 'sam2'])
def test_published_checkpoints_load_as_they_are(name, tmp_path):
    """By the path through which every refiner gets its weights, and the state dict has the same names."""
    refiner = refiner_on(name)
    package_model = getattr(refiner.backend, refiner.backend.segmenter)
    published = package_model.state_dict()
    torch.save({key: torch.zeros_like(value) for key, value in published.items()}, tmp_path / 'published.pth')
    other = copy.deepcopy(refiner)
    assert other.state_dict().keys() == published.keys()
    load_weights(other, tmp_path / 'published.pth')
    assert not any(parameter.any() for parameter in other.parameters())
    assert any(parameter.any() for parameter in refiner.parameters())
    other.load_state_dict(refiner.state_dict())
    for key, value in getattr(other.backend, other.backend.segmenter).state_dict().items():
        assert torch.equal(value, published[key])


def test_a_checkpoint_takes_the_place_of_the_one_in_the_config(tmp_path):
    weights = random_sam().sam.state_dict()
    torch.save(weights, tmp_path / 'mine.pth')
    backend = dict(type='SAMBackend', arch=RANDOM, checkpoint='https://nowhere.invalid/official.pth')
    refiner = build_refiner(dict(type='SAMRefiner', backend=backend), tmp_path / 'mine.pth', 'cpu')
    torch.testing.assert_close(dict(refiner.state_dict()), dict(weights), atol=0, rtol=0)
