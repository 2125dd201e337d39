"""From images and masks to prompted samples."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmrefine.datasets import MaskFolderDataset, MixtureDataset
from mmrefine.datasets.transforms import (
    LargeScaleJitter,
    LoadRGBImage,
    LoadTrueMasks,
    PackInteractiveInputs,
    SamplePrompts,
    SquareResize,
)


def results(rng: np.random.Generator, size_hw=(40, 60)) -> dict:
    mask = np.zeros(size_hw, bool)
    mask[10:30, 15:45] = True
    image = np.where(mask[..., None], 200, 50).astype(np.uint8).repeat(3, axis=2)
    return {'img': image, 'gt_masks': mask[None], 'rng': rng, 'ori_shape': size_hw}


def test_jitter_keeps_image_and_mask_together(rng):
    areas = []
    for _ in range(30):
        jittered = LargeScaleJitter(64)(results(rng))
        if jittered is None:
            continue
        image, mask = jittered['img'], jittered['gt_masks'][0]
        assert image.shape == (64, 64, 3) and mask.shape == (64, 64)
        # All but the interpolated contour: 200 on the object, 50 or the padding's 128 elsewhere.
        inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
        outer = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) == 0
        assert (image[inner] == 200).all() and np.isin(image[outer], (50, 128)).all()
        areas.append(mask.mean())
    assert max(areas) > 10 * min(areas)


def test_small_scales_are_padded_at_the_right_and_below(rng):
    jittered = LargeScaleJitter(64, scale=(0.5, 0.5), pad_value=7)(results(rng))
    assert (jittered['img'][22:] == 7).all() and (jittered['img'][:, 32:] == 7).all()
    assert not (jittered['img'][:21, :32] == 7).any() and not jittered['gt_masks'][0, 21:].any()


def test_a_vanished_object_gives_none(rng):
    sample = results(rng)
    sample['gt_masks'] = np.zeros_like(sample['gt_masks'])
    sample['gt_masks'][0, 20, 20] = True
    assert LargeScaleJitter(64, scale=(0.1, 0.1))(dict(sample)) is None
    assert SquareResize(8)(dict(sample)) is None
    sample['gt_masks'][:] = False
    assert SamplePrompts()(sample) is None


def test_a_prompt_moves_with_the_image(rng):
    sample = SamplePrompts(kinds=['box'], box_noise=0)(results(rng))
    resized = SquareResize(120, keep_masks=True)(sample)
    assert resized['prompt'].point_coords.tolist() == [[30, 30], [88, 87]]  # by 120/60 and 120/40
    assert resized['img'].shape == (120, 120, 3) and resized['gt_masks'].shape == (1, 40, 60)


def test_all_kinds_are_drawn_and_follow_from_the_seed():
    def draw(seed):
        sample = PackInteractiveInputs(tensors=True)(SamplePrompts(mask_side=16)(results(np.random.default_rng(seed))))
        return sample['data_samples']

    kinds = set()
    for seed in range(30):
        first, second = draw(seed), draw(seed)
        assert torch.equal(first.prompt.point_coords, second.prompt.point_coords) and first.seed == second.seed
        kinds.add(first.prompt.point_labels[0].item())
        assert (first.prompt.mask_input is None) == (first.prompt.point_labels[0].item() != -1)
    assert kinds == {2, 1, -1}


def test_packed_sample(rng):
    packed = PackInteractiveInputs(tensors=True)(SamplePrompts()(SquareResize(64)(results(rng))))
    assert packed['inputs'].shape == (3, 64, 64) and packed['inputs'].dtype == torch.uint8
    assert packed['data_samples'].gt_masks.shape == (1, 64, 64)
    assert packed['data_samples'].ori_shape == (40, 60)


def test_bad_settings_are_named(rng):
    with pytest.raises(ValueError, match='kinds must name some of'):
        SamplePrompts(kinds=['scribble'])
    sample = results(rng)
    sample['gt_masks'] = sample['gt_masks'].repeat(2, axis=0)
    with pytest.raises(ValueError, match='exactly one mask, got 2'):
        SamplePrompts()(sample)


def test_images_and_masks_in_one_folder(tmp_path):
    """As ECSSD, DUTS and others of HQSeg-44K are kept: images in JPEG, masks in PNG, side by side."""
    for name in ('a', 'b'):
        cv2.imwrite(str(tmp_path / f'{name}.jpg'), np.full((20, 20, 3), 99, np.uint8))
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.pad(np.full((10, 10), 255, np.uint8), 5))
    folder = str(tmp_path)
    pipeline = [
        LoadRGBImage(),
        LoadTrueMasks(),
        SquareResize(32),
        SamplePrompts(mask_side=8),
        PackInteractiveInputs(tensors=True),
    ]
    dataset = MaskFolderDataset(
        data_prefix={'img': folder, 'mask': folder}, suffixes={'img': '.jpg', 'mask': '.png'}, pipeline=pipeline
    )
    assert len(dataset) == 2
    sample = MixtureDataset([dataset], [1.0])[0]
    assert sample['data_samples'].img_path.endswith('.jpg')
    assert sample['data_samples'].gt_masks.sum() == 16 * 16
