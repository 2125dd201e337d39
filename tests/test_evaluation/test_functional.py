"""Metrics against values worked out by hand, against their definitions, and against the released evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmrefine.core.boundary import boundary_ring
from mmrefine.evaluation import (
    boundary_iou,
    evaluate_masks,
    label_boundary_accuracy,
    mask_iou,
    mask_overlap,
    mean_boundary_accuracy,
    summarize_refinement,
)

REFERENCE = np.load(Path(__file__).parents[1] / 'data' / 'G_metrics_s0.npz')
ROWS = json.loads(str(REFERENCE['rows_json']))
CASES = ['blob', 'large', 'multi', 'border', 'empty_seg', 'full_gt', 'empty_gt', 'thin']
# The official SAM-HQ code computes in float32, whose numbers carry 6e-8 of relative rounding.
FLOAT32 = 1e-6


def reference_mask(case: str, name: str) -> np.ndarray:
    width = int(REFERENCE[f'{case}_shape'][1])
    return np.unpackbits(REFERENCE[f'{case}_{name}'], axis=-1, count=width).astype(bool)


def squares(*columns: int) -> np.ndarray:
    """A 4x4 square in a 10x10 image for each first column."""
    masks = np.zeros((len(columns), 10, 10), bool)
    for mask, column in zip(masks, columns, strict=True):
        mask[2:6, column : column + 4] = True
    return masks


def halves(*columns: int) -> np.ndarray:
    """4x6 images whose first columns are foreground."""
    return np.stack([np.broadcast_to(np.arange(6) < column, (4, 6)) for column in columns])


class TestByHand:
    def test_iou(self) -> None:
        # Shifted by 1 of 4 columns: 12 px shared of 20. By 4: nothing shared.
        np.testing.assert_allclose(mask_iou(squares(3, 2, 6), squares(2, 2, 2)), [12 / 20, 1, 0])
        assert mask_overlap(squares(3)[0], squares(2)[0]) == (12, 20)

    def test_boundary_iou(self) -> None:
        # The diagonal of 14.1 px gives a band of 1 px: frames of 12 px that share 3 px of each horizontal side.
        np.testing.assert_allclose(boundary_iou(squares(3, 2, 6), squares(2, 2, 2)), [6 / 18, 1, 0])

    def test_boundary_iou_with_a_wide_band_is_iou(self) -> None:
        assert boundary_iou(squares(3)[0], squares(2)[0], dilation_ratio=0.2) == 12 / 20

    def test_mean_boundary_accuracy(self) -> None:
        # The ring around the half are columns 2 and 3; each wrong column of the two takes a half.
        pred = np.concatenate([halves(3, 2, 4, 1), ~halves(3)])
        np.testing.assert_allclose(mean_boundary_accuracy(pred, halves(3, 3, 3, 3, 3)), [1, 0.5, 0.5, 0.5, 0])

    def test_label_boundary_accuracy(self) -> None:
        gt = np.repeat([[0, 0, 1, 1, 2, 2]], 4, axis=0)
        pred = np.repeat([[0, 0, 1, 2, 2, 2]], 4, axis=0)
        # Rings: columns 1 to 4, of which column 3 is wrong; without void (0) columns 2 to 4.
        assert label_boundary_accuracy(pred, gt) == 3 / 4
        assert label_boundary_accuracy(pred, gt, ignore_label=0) == pytest.approx(2 / 3)
        assert label_boundary_accuracy(gt, gt) == 1
        assert np.isnan(label_boundary_accuracy(pred, np.ones_like(gt)))
        assert np.isnan(label_boundary_accuracy(pred, np.zeros_like(gt), ignore_label=0))


class TestEmptyMasks:
    FULL, EMPTY, SOME = np.ones((6, 8), bool), np.zeros((6, 8), bool), np.pad(np.ones((2, 3), bool), ((2, 2), (2, 3)))

    @pytest.mark.parametrize('metric', [mask_iou, boundary_iou])
    def test_ious(self, metric) -> None:
        assert metric(self.EMPTY, self.EMPTY) == 1
        assert metric(self.SOME, self.EMPTY) == 0
        assert metric(self.EMPTY, self.SOME) == 0
        assert metric(self.FULL, self.FULL) == 1

    def test_mba_needs_a_ground_truth_boundary(self) -> None:
        for gt in (self.EMPTY, self.FULL):
            assert np.isnan(mean_boundary_accuracy(gt, gt))
            assert np.isnan(mean_boundary_accuracy(self.SOME, gt))
        # A 2x3 block has 6 + 10 ring pixels of radius 1; an empty prediction is right on the outer 10.
        assert mean_boundary_accuracy(self.EMPTY, self.SOME) == 10 / 16

    def test_no_masks(self) -> None:
        none = np.zeros((0, 6, 8), bool)
        for values in evaluate_masks(none, none).values():
            assert values.shape == (0,)


class TestDefinitions:
    def test_boundary_iou_on_whole_images(self) -> None:
        """The metric looks at the boxes of the masks only; SciPy's repeated erosion of the whole image must agree."""
        rng = np.random.default_rng(0)
        for size_hw in [(40, 60), (97, 31), (200, 300), (1, 50)]:
            noise = rng.standard_normal((2, *size_hw))
            pred, gt = ndimage.gaussian_filter(noise, (0, 4, 4)) > 0.05
            gt[:, size_hw[1] // 2 :] = False  # the boxes are not the image
            width_px = max(1, round(0.02 * np.hypot(*size_hw)))
            bands = [m & ~ndimage.binary_erosion(m, np.ones((3, 3)), iterations=width_px) for m in (pred, gt)]
            expected = (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()
            assert boundary_iou(pred, gt) == pytest.approx(expected, abs=1e-12)

    def test_mba_on_whole_images(self) -> None:
        rng = np.random.default_rng(1)
        gt = np.zeros((700, 500), bool)
        gt[300:420, :80] = ndimage.gaussian_filter(rng.standard_normal((120, 80)), 5) > 0
        pred = gt ^ (rng.random(gt.shape) < 0.2)
        expected = np.mean([(pred == gt)[boundary_ring(gt, radius)].mean() for radius in (1, 1, 2, 2, 3)])
        assert mean_boundary_accuracy(pred, gt) == pytest.approx(expected, abs=1e-12)

    def test_symmetry_and_order(self) -> None:
        rng = np.random.default_rng(2)
        pred, gt = ndimage.gaussian_filter(rng.standard_normal((2, 5, 60, 70)), (0, 0, 3, 3)) > 0
        for metric in (mask_iou, boundary_iou):
            np.testing.assert_array_equal(metric(pred, gt), metric(gt, pred))
        for metric in (mask_iou, boundary_iou, mean_boundary_accuracy):
            np.testing.assert_array_equal(metric(pred, gt), [metric(p, g) for p, g in zip(pred, gt, strict=True)])

    def test_binary_integers_and_probabilities_are_masks_too(self) -> None:
        pred, gt = squares(3, 2), squares(2, 4)
        expected = evaluate_masks(pred, gt)
        for values in (evaluate_masks(pred * np.uint8(255), gt * 1), evaluate_masks(pred * 0.7, gt * 0.9)):
            for name in expected:
                np.testing.assert_array_equal(values[name], expected[name])


class TestReleasedEvaluations:
    """Numbers of the evaluations released with SegRefiner, CascadePSP and SAM-HQ."""

    @pytest.mark.parametrize('case', CASES)
    @pytest.mark.parametrize('side', ['seg', 'refine'])
    def test_case(self, case: str, side: str) -> None:
        row, gt, pred = ROWS[case], reference_mask(case, 'gt'), reference_mask(case, side)
        assert mask_overlap(pred, gt) == tuple(row[f'{side}_iu'])
        assert mean_boundary_accuracy(pred, gt) == pytest.approx(row[f'{side}_mba'], abs=1e-12, nan_ok=True)
        hq = dict(row['samhq'][side])
        if not gt.any() and not pred.any():
            # 0 / 0 there; here a right answer.
            assert np.isnan([hq.pop(name) for name in ('miou', 'mbiou', 'biou_0.005')]).all()
            hq.update({'miou': 1.0, 'mbiou': 1.0, 'biou_0.005': 1.0})
        assert mask_iou(pred, gt) == pytest.approx(hq['miou'], rel=FLOAT32)
        assert boundary_iou(pred, gt) == pytest.approx(hq['mbiou'], rel=FLOAT32)
        assert boundary_iou(pred, gt, dilation_ratio=0.005) == pytest.approx(hq['biou_0.005'], rel=FLOAT32)

    def test_data_set(self) -> None:
        """IoU there is pooled over the dataset, mBA is a mean over images."""
        total = ROWS['aggregate_over']
        for name, side in (('old', 'seg'), ('new', 'refine')):
            pairs = [(reference_mask(case, side), reference_mask(case, 'gt')) for case in total['cases']]
            intersection_px, union_px = np.sum([mask_overlap(*pair) for pair in pairs], axis=0)
            assert intersection_px / union_px == pytest.approx(total[f'{name}_iou'], abs=1e-12)
            mba = np.mean([mean_boundary_accuracy(*pair) for pair in pairs])
            assert mba == pytest.approx(total[f'{name}_mba'], abs=1e-12)

    def test_batch_of_logits(self) -> None:
        gt = REFERENCE['hq_target'][:, 0] > 0
        logits = torch.from_numpy(REFERENCE['hq_preds'])
        resized = torch.nn.functional.interpolate(logits, gt.shape[1:], mode='bilinear', align_corners=False)
        pred = resized[:, 0].numpy() > 0
        assert mask_iou(pred, gt).mean() == pytest.approx(float(REFERENCE['hq_miou']), rel=FLOAT32)
        assert boundary_iou(pred, gt).mean() == pytest.approx(float(REFERENCE['hq_mbiou']), rel=FLOAT32)

    def test_label_maps(self) -> None:
        """The released value is ours less the void pixels of the rings that were not predicted as void."""
        gt = REFERENCE['mc_gt']
        ring = np.any([boundary_ring(gt == label, 1) for label in (1, 2, 3)], axis=0)
        for pred, released in zip((REFERENCE['mc_seg'], REFERENCE['mc_mask']), ROWS['multi_class'], strict=True):
            void_not_kept_px = np.count_nonzero(ring & (gt == 0) & (pred != 0))
            valid_px = np.count_nonzero(ring & (gt != 0))
            assert void_not_kept_px > 0
            ours = label_boundary_accuracy(pred, gt, ignore_label=0)
            assert ours - void_not_kept_px / valid_px == pytest.approx(released, abs=1e-12)


class TestRefusals:
    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match=r'same shape, got \(2, 10, 10\) and \(1, 10, 10\)'):
            mask_iou(squares(1, 2), squares(1))
        with pytest.raises(ValueError, match=r'\(N, H, W\) or \(H, W\), got \(1, 1, 10, 10\)'):
            boundary_iou(squares(1)[None], squares(1)[None])

    def test_types(self) -> None:
        with pytest.raises(TypeError, match='gt must be a numpy array of bool, got Tensor'):
            mask_iou(squares(1), torch.ones(1, 10, 10, dtype=torch.bool))
        with pytest.raises(ValueError, match='integer masks must be binary'):
            mask_iou(squares(1) * 3, squares(1))
        with pytest.raises(TypeError, match='pred must be an integer numpy array, got float64'):
            label_boundary_accuracy(np.zeros((3, 3)), np.zeros((3, 3), int))

    def test_unknown_metrics(self) -> None:
        for metrics in (['iou', 'dice'], [], 'iou'):
            with pytest.raises(ValueError, match="list of names from .*'boundary_iou'"):
                evaluate_masks(squares(1), squares(1), metrics)


def test_pooled_boundary_iou_weighs_masks_by_their_bands():
    """Bands of 1 px in 20x20: a ring of 36 px that is met exactly, and one of 8 px that is missed."""
    gt, pred = np.zeros((2, 2, 20, 20), bool)
    gt[0, 5:15, 5:15] = pred[0, 5:15, 5:15] = True
    gt[1, :3, :3], pred[1, 17:, 17:] = True, True
    values = evaluate_masks(pred, gt, ['boundary_iou'])
    assert values['boundary_iou'].tolist() == [1, 0] and values['boundary_union_px'].tolist() == [36, 16]
    summary = summarize_refinement(values, values)
    assert summary['refined/boundary_iou'] == 0.5
    assert summary['refined/pooled_boundary_iou'] == pytest.approx(36 / 52)
