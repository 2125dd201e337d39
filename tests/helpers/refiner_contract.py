"""What every refiner promises (see BaseRefiner): inherit, give a fixture ``refiner``, and these tests run.

The refiner should have no gate, so that its proposals are seen.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.core.gate import FEATURES
from mmrefine.models.refiners import BaseRefiner, RefineInput


def photograph(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """Two colours, a disk on a ground, with noise: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:height, :width]
    disk = (ys - height * 0.5) ** 2 + (xs - width * 0.45) ** 2 < (0.3 * min(height, width)) ** 2
    image = np.where(disk[..., None], (200, 80, 40), (60, 120, 160)) + rng.normal(0, 12, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def rough_masks(height: int = 96, width: int = 128, count: int = 3) -> np.ndarray:
    """Boxes of different places and sizes: (count, H, W) bool."""
    masks = np.zeros((count, height, width), bool)
    for index, mask in enumerate(masks):
        mask[15 + 5 * index : height - 20, 20 + 8 * index : width - 25 - 4 * index] = True
    return masks


class RefinerContract:
    """Tests that every refiner inherits."""

    def assert_same(self, first, second):
        np.testing.assert_array_equal(first.masks, second.masks)
        np.testing.assert_allclose(first.scores, second.scores, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(first.accepted, second.accepted)

    def test_result_has_the_promised_form(self, refiner: BaseRefiner):
        masks = rough_masks()
        result = refiner.refine(photograph(), masks)
        assert result.masks.shape == masks.shape and result.masks.dtype == bool
        assert result.scores.shape == (3,) and ((result.scores >= 0) & (result.scores <= 1)).all()
        assert result.accepted.shape == (3,) and result.accepted.dtype == bool
        assert len(result) == len(result.reasons) == 3
        np.testing.assert_array_equal(result.coarse_masks, masks)
        np.testing.assert_array_equal(result.masks[~result.accepted], masks[~result.accepted])
        np.testing.assert_array_equal(result.masks[result.accepted], result.proposals[result.accepted])
        np.testing.assert_array_equal(result.scores[result.accepted], result.proposal_scores[result.accepted])
        assert all(bool(reason) != accepted for reason, accepted in zip(result.reasons, result.accepted, strict=True))
        assert {'score', 'agreement', 'area_ratio'} <= result.features.keys() <= set(FEATURES)
        assert all(values.shape == (3,) for values in result.features.values())

    def test_a_gate_changes_what_is_taken_and_not_what_is_proposed(self, refiner: BaseRefiner):
        masks = rough_masks()
        masks[1] = False
        free = refiner.refine(photograph(), masks)
        barred = refiner.with_gate({'min_score': 1.1}).refine(photograph(), masks)
        assert not barred.accepted.any() and barred.reasons[1] == 'coarse mask is empty'
        np.testing.assert_array_equal(barred.masks, masks)
        np.testing.assert_array_equal(barred.proposals, free.proposals)
        np.testing.assert_array_equal(barred.proposal_scores, free.proposal_scores)
        assert ((barred.scores >= 0) & (barred.scores <= 1)).all() and barred.scores[1] == 0
        assert refiner.gate is None and refiner.with_gate(True) is refiner

    def test_no_masks(self, refiner: BaseRefiner):
        result = refiner.refine(photograph(), np.zeros((0, 96, 128), bool))
        assert result.masks.shape == (0, 96, 128) and len(result) == 0 and result.scores.shape == (0,)

    def test_empty_mask_comes_back_empty_among_others(self, refiner: BaseRefiner):
        masks = rough_masks()
        masks[1] = False
        result = refiner.refine(photograph(), masks)
        assert not result.masks[1].any() and not result.accepted[1] and result.scores[1] == 0
        assert result.reasons[1] == 'coarse mask is empty'
        assert result.masks[0].any() and result.masks[2].any()

    @pytest.mark.parametrize('size_hw', [(96, 128), (130, 40), (1, 1), (7, 300)])
    def test_full_mask_of_any_size(self, refiner: BaseRefiner, size_hw):
        result = refiner.refine(photograph(*size_hw), np.ones(size_hw, bool))
        assert result.masks.shape == (1, *size_hw)

    def test_order_is_kept(self, refiner: BaseRefiner):
        """Another mask in one place changes the answer in that place, and in no other."""
        masks = rough_masks()
        expected = refiner.refine(photograph(), masks)
        for index in range(3):
            changed = masks.copy()
            changed[index] = False
            changed[index, 30:60, 70:100] = True
            result = refiner.refine(photograph(), changed)
            others = np.arange(3) != index
            np.testing.assert_array_equal(result.proposals[others], expected.proposals[others])
            np.testing.assert_allclose(result.proposal_scores[others], expected.proposal_scores[others], atol=1e-5)
            assert (result.proposals[index] != expected.proposals[index]).any()
            np.testing.assert_array_equal(result.coarse_masks, changed)

    @pytest.mark.parametrize('dtype', ['bool', 'uint8', 'uint8 255', 'float32', 'float64'])
    def test_dtypes_mean_the_same(self, refiner: BaseRefiner, dtype):
        masks = rough_masks(count=1)
        given = masks.astype(dtype.split()[0]) * (np.uint8(255) if dtype.endswith('255') else 1)
        self.assert_same(
            refiner.refine(photograph(), given.astype(dtype.split()[0])), refiner.refine(photograph(), masks)
        )

    def test_same_seed_same_masks(self, refiner: BaseRefiner):
        runs = [
            refiner.refine(photograph(), rough_masks(), generator=torch.Generator().manual_seed(7)) for _ in range(2)
        ]
        self.assert_same(*runs)
        self.assert_same(refiner.refine(photograph(), rough_masks()), refiner.refine(photograph(), rough_masks()))

    def test_global_randomness_is_left_alone(self, refiner: BaseRefiner):
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        refiner.refine(photograph(), rough_masks())
        torch.testing.assert_close(torch.rand(4), expected)

    def test_inputs_are_not_changed(self, refiner: BaseRefiner):
        image, masks = photograph(), rough_masks()
        image.flags.writeable = masks.flags.writeable = False
        result = refiner.refine(image, masks)
        result.masks[:] = False
        np.testing.assert_array_equal(masks, rough_masks())

    def test_result_does_not_depend_on_the_batch(self, refiner: BaseRefiner):
        inputs = [
            RefineInput(photograph(), rough_masks()),
            RefineInput(photograph(130, 70, seed=1), rough_masks(130, 70, count=2)),
            RefineInput(photograph(), np.zeros((0, 96, 128), bool)),
        ]
        together = refiner.refine_batch(inputs)
        for item, result in zip(inputs, together, strict=True):
            self.assert_same(refiner.refine(item.image, item.masks), result)

    def test_training_mode_is_restored(self, refiner: BaseRefiner):
        refiner.train()
        refiner.refine(photograph(), rough_masks(count=1))
        assert refiner.training
        refiner.eval()

    def test_bad_input_is_named(self, refiner: BaseRefiner):
        with pytest.raises(ValueError, match=r'they are 50x128 \(HxW\) but the image is 96x128'):
            refiner.refine(photograph(), np.ones((50, 128), bool))
        with pytest.raises(ValueError, match='NaN'):
            refiner.refine(photograph(), np.full((96, 128), np.nan))
        with pytest.raises(ValueError, match=r'shape \(3,\), one value per mask, got \(2,\)'):
            refiner.refine(photograph(), rough_masks(), labels=np.zeros(2, int))
