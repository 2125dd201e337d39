"""Crops, augmentation and packing: images and masks stay together, draws come from the sample's generator."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmrefine.core.error_measurement import MaskErrors
from mmrefine.core.error_model import MaskErrorModel
from mmrefine.datasets.transforms import (
    ChooseObject,
    CoarseMaskCrop,
    MixedPatchCrop,
    ObjectWindow,
    PackRefineInputs,
    PasteOnBackground,
    PerturbBoundary,
    PhotometricJitter,
    RandomMaskFlip,
    RandomObjectCrop,
    SimulateCoarseMasks,
)
from mmrefine.files.error_models import write_error_model


def scene(height: int = 120, width: int = 160, seed: int = 0) -> dict:
    """White object on black, so that image and mask can be compared after any crop."""
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return {
        'img': np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255,
        'gt_masks': mask[None],
        'coarse_masks': np.roll(mask, 3, axis=1)[None],
        'rng': np.random.default_rng(seed),
        'img_path': 'x.png',
    }


def aligned(results: dict) -> bool:
    """Whether the image shows the mask, but for the pixels of the contour that resizing mixes."""
    shown = results['img'][..., 0] > 127
    return np.count_nonzero(shown != results['gt_masks'][0]) <= 0.02 * shown.size


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(
    ('transform', 'size'),
    [
        (ObjectWindow(max_side=50), None),
        (CoarseMaskCrop(size=48), 48),
        (RandomObjectCrop(size=64), 64),
        (RandomObjectCrop(size=64, antialias=False), 64),
        (RandomObjectCrop(size=64, margin_px=None), 64),
        (MixedPatchCrop(size=40), 40),
        (RandomMaskFlip(prob=1.0), None),
    ],
)
def test_image_and_masks_stay_together(transform, size, seed):
    results = transform(scene(seed=seed))
    assert aligned(results)
    height, width = results['img'].shape[:2]
    assert results['gt_masks'].shape == results['coarse_masks'].shape == (1, height, width)
    if size:
        assert (height, width) == (size, size)
    assert results['gt_masks'].any() and not results['gt_masks'].all()


def test_window_keeps_small_objects_at_native_resolution_and_shrinks_large_ones():
    native = ObjectWindow(margin_ratio=0.5, max_side=1000)(scene())
    # Sides 30 and 40, mean 35: a margin of 18 px on each side.
    assert native['img'].shape[:2] == (30 + 36, 40 + 36)
    small = ObjectWindow(margin_ratio=0.5, max_side=38)(scene())
    assert max(small['img'].shape[:2]) == 38


def test_unusable_objects_give_none():
    assert ObjectWindow(min_side=31)(scene()) is None
    sparse = scene()
    sparse['gt_masks'] = np.eye(120, 160, dtype=bool)[None]
    assert ObjectWindow(min_fill=0.1)(sparse) is None
    empty = scene()
    empty['coarse_masks'] = empty['gt_masks'] = np.zeros((1, 120, 160), bool)
    assert CoarseMaskCrop(size=8)(empty) is None
    assert RandomObjectCrop(size=8)(empty) is None
    assert MixedPatchCrop(size=8)(empty) is None


@pytest.mark.parametrize('size_hw', [(20, 20), (20, 200), (200, 20)])
def test_patches_of_small_images_are_padded(size_hw):
    results = MixedPatchCrop(size=64)(scene(*size_hw))
    assert results['img'].shape == (64, 64, 3) and results['gt_masks'].shape == (1, 64, 64)


def test_photometric_jitter_changes_colours_only():
    results = scene()
    results['img'] = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    before = results['img'].copy()
    again = {**results, 'img': before.copy(), 'rng': np.random.default_rng(0)}
    jittered = PhotometricJitter(strength=1.0, prob=1.0)(results)['img']
    assert jittered.shape == before.shape and jittered.dtype == np.uint8 and (jittered != before).any()
    np.testing.assert_array_equal(PhotometricJitter(strength=1.0, prob=1.0)(again)['img'], jittered)


def test_composites_keep_the_object_and_replace_the_ground(tmp_path):
    cv2.imwrite(str(tmp_path / 'green.png'), np.full((50, 70, 3), (0, 255, 0), np.uint8))
    results = PasteOnBackground(str(tmp_path), prob=1.0)(scene())
    image, mask = results['img'], results['gt_masks'][0]
    inside = cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    outside = ~cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert (image[inside] == 255).all() and (image[outside] == (0, 255, 0)).all()
    unchanged = PasteOnBackground(str(tmp_path), prob=0.0)(scene())
    np.testing.assert_array_equal(unchanged['img'], scene()['img'])
    with pytest.raises(FileNotFoundError, match='must contain .jpg or .png images'):
        PasteOnBackground(str(tmp_path / 'nothing'))


def test_packing_for_training_and_for_evaluation():
    packed = PackRefineInputs(tensors=True)(scene())
    assert packed['inputs'].shape == (3, 120, 160) and packed['inputs'].dtype == torch.uint8
    assert packed['data_samples'].gt_masks.dtype == torch.uint8 and isinstance(packed['data_samples'].seed, int)
    sample = PackRefineInputs()(scene())['data_samples']
    assert isinstance(sample.gt_masks, np.ndarray) and sample.gt_masks.dtype == bool and 'seed' not in sample
    assert sample.img_path == 'x.png'


def test_simulated_masks_follow_the_generator():
    first, again, other = (SimulateCoarseMasks(iou_range=(0.6, 0.9))(scene(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first['coarse_masks'], again['coarse_masks'])
    assert (first['coarse_masks'] != other['coarse_masks']).any()


def test_simulated_masks_follow_a_measured_error_model(tmp_path):
    model = MaskErrorModel((MaskErrors(bias=0.1, spread=0.02),), length=0.2)
    write_error_model(tmp_path / 'errors.json', model)
    from_file, again, from_content = (
        SimulateCoarseMasks(error_model=source)(scene())
        for source in (str(tmp_path / 'errors.json'), str(tmp_path / 'errors.json'), model.to_dict())
    )
    np.testing.assert_array_equal(from_file['coarse_masks'], again['coarse_masks'])
    np.testing.assert_array_equal(from_file['coarse_masks'], from_content['coarse_masks'])
    assert from_file['coarse_masks'].dtype == bool
    # Grown by 0.1 * sqrt(30 * 40) = 3.5 px on sides of 30 and 40; rounded corners take a little.
    growth = np.count_nonzero(from_file['coarse_masks']) / np.count_nonzero(from_file['gt_masks'])
    assert growth == pytest.approx(37 * 47 / (30 * 40), abs=0.06)
    with pytest.raises(ValueError, match='needs either simulators or error_model, got both'):
        SimulateCoarseMasks(simulators=['shift'], error_model=model.to_dict())


def test_one_object_of_an_image_is_chosen_evenly():
    rng = np.random.default_rng(0)
    drawn = [ChooseObject()({'instances': list('abc'), 'rng': rng})['instances'] for _ in range(300)]
    assert all(len(one) == 1 for one in drawn)
    assert all(80 < sum(one == [name] for one in drawn) < 120 for name in 'abc')
    assert ChooseObject()({'instances': [], 'rng': rng}) is None


def test_object_views_reach_every_border_of_the_image_and_never_cut_the_object():
    shapes = []
    for seed in range(200):
        results = scene(seed=seed)
        y, x = np.mgrid[:120, :160]
        results['img'] = np.dstack([x, y, x]).astype(np.uint8)
        view = RandomObjectCrop(size=256, margin_px=None)(results)
        x, y = view['img'][..., 0], view['img'][..., 1]
        shapes.append((x.min(), y.min(), x.max(), y.max()))
        # the object is at x 40 to 79, y 30 to 59
        assert x.min() <= 40 and y.min() <= 30 and x.max() >= 79 and y.max() >= 59
    low, high = np.min(shapes, axis=0), np.max(shapes, axis=0)
    assert (low[:2] <= 2).all() and (high[:2] >= (38, 28)).all() and (high[2:] >= (157, 117)).all()


def test_mixed_patches_are_drawn_evenly():
    """One pixel of foreground: its place in the patch is uniform, corners and borders included."""
    indices = []
    for seed in range(400):
        results = scene(seed=seed)
        results['gt_masks'] = np.zeros((1, 120, 160), bool)
        results['gt_masks'][0, 60, 80] = True
        indices.append(np.argwhere(MixedPatchCrop(size=4)(results)['gt_masks'][0])[0])
    counts = np.bincount(np.array(indices) @ (4, 1), minlength=16)
    assert counts.min() > 8 and counts.max() < 45


def test_boundaries_are_perturbed_before_the_crop_and_always():
    """A thin object: SimulateCoarseMasks leaves many as they are, for they fall below its range."""
    thin = scene(200, 200)
    thin['gt_masks'] = np.zeros((1, 200, 200), bool)
    cv2.line(thin['gt_masks'][0].view(np.uint8), (20, 30), (170, 160), 1, 4)
    ious = []
    for seed in range(60):
        results = PerturbBoundary(iou_target=0.8)({**thin, 'rng': np.random.default_rng(seed)})
        coarse, gt = results['coarse_masks'][0], results['gt_masks'][0]
        ious.append(np.count_nonzero(coarse & gt) / np.count_nonzero(coarse | gt))
    assert max(ious) < 1 and 0.4 < np.mean(ious) < 0.65


def test_filled_and_kept_coarse_masks():
    ring = scene()
    ring['gt_masks'][0, 35:55, 50:70] = False
    filled = PerturbBoundary(iou_target=1, fill_prob=1)(dict(ring, rng=np.random.default_rng(0)))['coarse_masks']
    holed = PerturbBoundary(iou_target=1, fill_prob=0)(dict(ring, rng=np.random.default_rng(0)))['coarse_masks']
    assert filled[0, 35:55, 50:70].mean() > 0.9 and holed[0, 35:55, 50:70].mean() < 0.6
    kept = PerturbBoundary(prob=0)(dict(ring))
    assert kept['coarse_masks'] is ring['coarse_masks']
