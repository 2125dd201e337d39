"""Coarse masks by boundary perturbation: rules that hold for every draw, and the statistics of the released code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import ks_2samp

from mmrefine.core.boundary_perturbation import perturb_boundary, perturb_regions, simplify_contours

REFERENCE = Path(__file__).parents[1] / 'data' / 'H_modify_boundary_s0.npz'
DRAWS = 200
SETTINGS: dict[str, tuple[Callable[..., np.ndarray], dict[str, float]]] = {
    'segref_default': (perturb_boundary, {}),
    'cascadepsp_default': (perturb_boundary, {}),
    'segref_iou0.9': (perturb_boundary, {'iou_target': 0.9}),
    'segref_iou0.6_move0.1': (perturb_boundary, {'iou_target': 0.6, 'move_rate': 0.1}),
    'segref_sr0.3_rsr0.2': (perturb_boundary, {'sample_rate': 0.3, 'regional_sample_rate': 0.2}),
    'perturb_seg_0.6': (perturb_regions, {'iou_target': 0.6}),
}
# Kolmogorov-Smirnov distance to the released code's 200 draws, of the IoU and of the area ratio, mean of three seeds.
# Two samples of one distribution would come to 0.09 +- 0.03 on average.
REACHED = [
    ('blob', 'segref_default', 0.09, 0.09),
    ('blob', 'segref_iou0.9', 0.09, 0.08),
    ('blob', 'segref_iou0.6_move0.1', 0.12, 0.14),
    ('blob', 'segref_sr0.3_rsr0.2', 0.15, 0.13),
    ('blob', 'perturb_seg_0.6', 0.15, 0.15),
    ('blob', 'cascadepsp_default', 0.13, 0.08),
    ('ring', 'segref_default', 0.17, 0.06),
    ('ring', 'segref_iou0.9', 0.12, 0.12),
    ('ring', 'segref_iou0.6_move0.1', 0.11, 0.10),
    ('ring', 'segref_sr0.3_rsr0.2', 0.10, 0.10),
    ('ring', 'perturb_seg_0.6', 0.14, 0.07),
    ('ring', 'cascadepsp_default', 0.15, 0.07),
    ('small_blob', 'segref_default', 0.09, 0.11),
    ('multi', 'segref_default', 0.09, 0.12),
    ('thin5', 'segref_default', 0.13, 0.14),
    ('border', 'segref_default', 0.16, 0.27),
    ('tiny3x3', 'segref_default', 0.09, 0.13),
]
# One seed differs from the mean by up to 0.06; the rest is for other versions of OpenCV and NumPy.
KS_SLACK = 0.1


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / max(1, np.count_nonzero(first | second))


def disk(size: int, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:size, :size]
    return np.hypot(rows - size // 2, columns - size // 2) <= radius


def mean_iou(function: Callable[..., np.ndarray], mask: np.ndarray, draws: int = 60, **parameters: float) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([iou(function(mask, rng, **parameters), mask) for _ in range(draws)]))


@pytest.mark.parametrize(('shape', 'setting', 'ks_iou', 'ks_area'), REACHED)
def test_distribution_of_the_released_code(shape: str, setting: str, ks_iou: float, ks_area: float) -> None:
    with np.load(REFERENCE) as reference:
        gt = reference[f'gt_{shape}'].astype(bool)
        expected_iou, expected_area = reference[f'iou_{shape}_{setting}'], reference[f'area_{shape}_{setting}']
    function, parameters = SETTINGS[setting]
    rng = np.random.default_rng(1)
    masks = [function(gt, rng, **parameters) for _ in range(DRAWS)]
    ious = [iou(mask, gt) for mask in masks]
    areas = [np.count_nonzero(mask) / np.count_nonzero(gt) for mask in masks]
    assert ks_2samp(ious, expected_iou).statistic < ks_iou + KS_SLACK
    assert ks_2samp(areas, expected_area).statistic < ks_area + KS_SLACK
    # All came within 0.02, with standard errors of up to 0.015 on both sides.
    assert abs(np.mean(ious) - expected_iou.mean()) < 0.06


# Mean IoU of 120 draws of the released code for disks of these radii in 64x64 pixels, standard errors up to 0.02. A
# contour of under 40 points keeps one to three of them, so that the object is nearly lost.
@pytest.mark.parametrize(('radius', 'expected'), [(3, 0.08), (5, 0.12), (6, 0.12), (8, 0.32), (10, 0.40), (14, 0.48)])
def test_small_objects_are_perturbed_as_strongly_as_by_the_released_code(radius: int, expected: float) -> None:
    assert mean_iou(perturb_boundary, disk(64, radius), draws=120) == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize('target', [0.95, 0.8, 0.5, 0.2])
def test_regions_end_at_or_below_the_target(target: float) -> None:
    rng = np.random.default_rng(0)
    mask = disk(128, 40)
    reached = [iou(perturb_regions(mask, rng, iou_target=target), mask) for _ in range(30)]
    assert max(reached) <= target
    assert np.mean(reached) > target - 0.1  # and not far below


def test_target_of_one_changes_nothing() -> None:
    mask = disk(64, 20)
    coarse = perturb_regions(mask, np.random.default_rng(0), iou_target=1)
    assert np.array_equal(coarse, mask)
    assert not np.shares_memory(coarse, mask)


def test_too_large_and_too_small_masks_both_occur() -> None:
    rng = np.random.default_rng(0)
    mask = disk(128, 35)
    ratios = np.array([np.count_nonzero(perturb_regions(mask, rng)) for _ in range(60)]) / np.count_nonzero(mask)
    assert 10 < np.count_nonzero(ratios < 1) < 50


def test_specks_and_holes_occur() -> None:
    rng = np.random.default_rng(0)
    mask = disk(128, 35)
    masks = [perturb_regions(mask, rng) for _ in range(60)]
    specks = [cv2.connectedComponents(coarse.view(np.uint8))[0] - 1 for coarse in masks]
    holes = [cv2.connectedComponents((~coarse).view(np.uint8))[0] - 1 for coarse in masks]
    assert max(specks) > 1
    assert max(holes) > 1


@pytest.mark.parametrize('name', ['sample_rate', 'regional_sample_rate', 'move_rate'])
def test_rates_roughen_the_polygon(name: str) -> None:
    fine = {'sample_rate': 1.0, 'regional_sample_rate': 0.0, 'move_rate': 0.0}
    rougher = {'sample_rate': (0.1, 0.04), 'regional_sample_rate': (0.2, 0.35), 'move_rate': (0.05, 0.2)}[name]
    mask = disk(128, 40)
    ious = [mean_iou(simplify_contours, mask, **{**fine, name: value}) for value in (fine[name], *rougher)]
    assert ious[0] > 0.99  # more than half of all the points: hardly a pixel is lost
    assert ious[0] - 0.01 > ious[1] > ious[2] + 0.01


def test_holes_are_contours_too() -> None:
    ring = disk(128, 50) & ~disk(128, 25)
    simplified = simplify_contours(ring, np.random.default_rng(0))
    assert not simplified[64, 64]
    # A polygon inscribed in the hole makes it smaller, one inscribed in the outline makes the object smaller.
    assert np.count_nonzero(simplified & disk(128, 24)) > 0
    assert np.count_nonzero(ring & ~simplified) > 0


def test_short_contours_are_left_alone() -> None:
    mask = np.zeros((20, 20), bool)
    mask[4:7, 4:7] = mask[12, 3:5] = True
    assert np.array_equal(simplify_contours(mask, np.random.default_rng(0), move_rate=0.5), mask)


def test_sizes_grow_with_large_objects() -> None:
    # Above 128 px windows, kernels and the contour's sampling are all relative: the IoU does not depend on the size.
    small, large = (mean_iou(perturb_boundary, disk(side, 0.32 * side), draws=40) for side in (200, 800))
    assert small == pytest.approx(large, abs=0.03)  # standard error of the difference: about 0.01


def test_seed_decides_and_input_stays() -> None:
    mask = disk(100, 30)
    before = mask.copy()
    first, second, other = (perturb_boundary(mask, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.shape == mask.shape
    assert first.dtype == bool
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(mask, before)


def test_layout_in_memory_does_not_matter() -> None:
    mask = disk(100, 30)[:, 20:]
    straight = perturb_boundary(np.ascontiguousarray(mask), np.random.default_rng(0))
    assert np.array_equal(perturb_boundary(mask, np.random.default_rng(0)), straight)
    assert np.array_equal(perturb_boundary(np.asfortranarray(mask), np.random.default_rng(0)), straight)


@pytest.mark.parametrize('size_hw', [(1, 1), (1, 30), (40, 60)])
def test_masks_without_and_with_nothing_but_object(size_hw: tuple[int, int]) -> None:
    empty, full = np.zeros(size_hw, bool), np.ones(size_hw, bool)
    assert not perturb_boundary(empty, np.random.default_rng(0)).any()
    assert iou(perturb_boundary(full, np.random.default_rng(0)), full) < 1


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        ({'iou_target': 0}, 'iou_target'),
        ({'iou_target': 1.1}, 'iou_target'),
        ({'sample_rate': 0}, 'sample_rate'),
        ({'regional_sample_rate': 1}, 'regional_sample_rate'),
        ({'move_rate': -0.1}, 'move_rate'),
        ({'move_rate': float('nan')}, 'move_rate'),
        ({'window_px': (5, 4)}, 'window_px'),
        ({'kernel_px': (0, 4)}, 'kernel_px'),
    ],
)
def test_parameters_out_of_range(parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        perturb_boundary(disk(32, 8), np.random.default_rng(0), **parameters)


@pytest.mark.parametrize('function', [perturb_boundary, perturb_regions, simplify_contours])
def test_masks_of_other_kinds(function: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match='uint8'):
        function(np.zeros((4, 4), np.uint8), rng)
    with pytest.raises(TypeError, match='list'):
        function([[True]], rng)
    with pytest.raises(ValueError, match='shape'):
        function(np.zeros((1, 4, 4), bool), rng)
    with pytest.raises(ValueError, match='at least one pixel'):
        function(np.zeros((0, 4), bool), rng)
