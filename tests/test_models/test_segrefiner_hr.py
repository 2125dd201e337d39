"""SegRefiner on whole images: the contract, parity with the released code, small images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.refiners import RefineInput, SegRefinerHR
from mmrefine.models.refiners.segrefiner_hr import uncertain_patches
from tests.helpers.reference import FLIPPED_SHARE, PROBABILITIES_ATOL, TINY_UNET, floats, load, tiny_weights, uniform
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks


def build(cls: type[SegRefinerHR] = SegRefinerHR, **settings) -> SegRefinerHR:
    refiner = cls(**{'denoiser': TINY_UNET, 'input_size': 64, 'mean': (0, 0, 0), 'std': (1, 1, 1), **settings})
    refiner.denoise_model.load_state_dict(tiny_weights())
    return refiner.eval()


class Replay(SegRefinerHR):
    """Takes the recorded draws instead of its own, and keeps what the network gave."""

    def _uniform(self, shape, generators):
        return uniform(next(self.noise))

    def _reverse(self, images, coarse, steps, generators):
        self.passes.append((coarse, super()._reverse(images, coarse, steps, generators)))
        return self.passes[-1][1]


class TestContract(RefinerContract):
    @pytest.fixture
    def refiner(self) -> SegRefinerHR:
        return build(mean=(120, 120, 120), std=(60, 60, 60), max_batch=4)


@pytest.mark.parametrize('name', ['E_semantic_s0', 'E_semantic_s12'])
def test_masks_of_the_released_code(name):
    expected = load(name)
    refiner = build(Replay, max_batch=5)
    refiner.noise = iter([expected[f'noise_{index}'] for index in range(4)])
    refiner.passes = []
    image = expected['img'][0].astype(np.float32).transpose(1, 2, 0)
    item = RefineInput(image, expected['coarse_mask'][None].astype(bool), generator=torch.Generator())
    with torch.no_grad():
        ((masks, scores, coarse_scores, *_),) = refiner._refine_batch([item])
    (mask_in, (global_result, fine_probs, _)), *local = refiner.passes
    np.testing.assert_array_equal(mask_in, expected['global_mask_in'])
    np.testing.assert_allclose(global_result, expected['global_res'], rtol=0, atol=PROBABILITIES_ATOL)
    np.testing.assert_allclose(fine_probs, expected['fine_probs'], rtol=0, atol=PROBABILITIES_ATOL)
    np.testing.assert_array_equal(torch.cat([coarse for coarse, _ in local]), expected['patch_masks'])
    np.testing.assert_allclose(
        torch.cat([denoised.result for _, denoised in local]), expected['local_res'], rtol=0, atol=PROBABILITIES_ATOL
    )
    assert np.count_nonzero(masks[0] != expected['out'].astype(bool)) <= FLIPPED_SHARE * expected['out'].size
    assert 0 < scores[0] <= 1 and 0 < coarse_scores[0] <= 1


@pytest.mark.parametrize('name', ['E_semantic_s0', 'E_semantic_s12'])
def test_patches_of_the_released_code(name):
    expected = load(name)
    boxes = uncertain_patches(floats(expected['fine_probs'])[0, 0], expected['coarse_mask'].shape, 64, 0.9, 0.3)
    np.testing.assert_array_equal(boxes, expected['nms_keep'][:, :4])


@pytest.mark.parametrize('size_hw', [(40, 50), (30, 200), (200, 30), (64, 64)])
@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear'])
def test_images_smaller_than_a_patch(size_hw, interpolation):
    mask = np.zeros(size_hw, bool)
    mask[5:-8, 6:-7] = True
    result = build(global_interpolation=interpolation, min_area=1).refine(photograph(*size_hw), mask)
    assert result.masks.shape == (1, *size_hw) and result.masks.any()


def test_patches_stay_inside_small_images():
    fine_probs = torch.zeros(16, 16)
    fine_probs[0, 0] = 1
    boxes = uncertain_patches(fine_probs, (20, 300), 64, 0.9, 0.3)
    assert (boxes[:, 1] == 0).all() and (boxes[:, 0] >= 0).all() and (boxes[:, 2] <= 300).all()


def test_small_masks_come_back_unchanged():
    masks = rough_masks(count=2)
    masks[0] = False
    masks[0, 3:8, 3:8] = True
    result = build().refine(photograph(), masks)
    np.testing.assert_array_equal(result.masks[0], masks[0])
    assert result.scores[0] == 0


def test_unknown_interpolation_is_named():
    with pytest.raises(ValueError, match="'nearest' or 'bilinear', got 'cubic'"):
        build(global_interpolation='cubic')
