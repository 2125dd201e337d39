"""Error models: known corruptions are measured as what they are, and drawn errors measure like the model."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.core.error_measurement import PART_KINDS, MaskErrors
from mmrefine.core.error_model import MaskErrorModel
from mmrefine.core.iou import binary_iou


def disk(radius_px: int = 40, side: int = 160) -> np.ndarray:
    ys, xs = np.mgrid[:side, :side] - side // 2
    return xs**2 + ys**2 <= radius_px**2


def star(seed: int, side: int = 200) -> np.ndarray:
    """A wavy object, about 92 px large."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radii = 0.26 * side * (1 + 0.15 * np.sin(3 * angles + phases[0]) + 0.1 * np.sin(5 * angles + phases[1]))
    points = side / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    return canvas.astype(bool)


def measure(coarse: np.ndarray, gt: np.ndarray) -> MaskErrors:
    (errors,) = MaskErrorModel.measure([coarse], [gt]).masks
    return errors


def size_px(mask: np.ndarray) -> float:
    return math.sqrt(np.count_nonzero(mask))


def test_equal_masks_have_no_errors():
    assert measure(disk(), disk()) == MaskErrors(bias=0.0, spread=0.0)


@pytest.mark.parametrize('radius_px', [3, 6])
@pytest.mark.parametrize(('operation', 'sign'), [(cv2.dilate, 1), (cv2.erode, -1)])
def test_dilation_and_erosion_are_a_bias(operation, sign, radius_px):
    gt = disk()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    errors = measure(operation(gt.astype(np.uint8), kernel).astype(bool), gt)
    # Contours lie on the pixel grid: half a pixel either way.
    assert errors.bias * size_px(gt) == pytest.approx(sign * radius_px, abs=0.5)
    assert errors.spread * size_px(gt) < 0.5
    assert errors.missing == errors.extra == errors.holes == ()


def test_erosion_of_thin_limbs_is_no_missing_part():
    gt = disk()
    gt[78:83, :40] = True
    eroded = cv2.erode(gt.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))).astype(bool)
    assert not eroded[78:83, :35].any()
    assert measure(eroded, gt).missing == ()


def test_cut_added_and_punched_parts_are_counted_with_their_areas():
    gt = disk()
    gt[100:150, 76:85] = True
    without_leg = gt & ~(np.arange(160)[:, None] >= 125)
    with_box, with_hole = gt.copy(), gt.copy()
    with_box[60:90, 110:140] = True
    with_hole[70:84, 70:84] = False
    area = np.count_nonzero(gt)
    # Where a part begins at the contour is only known to a pixel or two of its outline.
    for kind, coarse in (('missing', without_leg), ('extra', with_box), ('holes', with_hole)):
        errors = measure(coarse, gt)
        changed = np.count_nonzero(coarse ^ gt) / area
        assert getattr(errors, kind) == pytest.approx((changed,), rel=0.05)
        assert all(getattr(errors, other) == () for other in PART_KINDS if other != kind)
        assert abs(errors.bias) * size_px(gt) < 0.3


def test_a_part_beside_a_grown_contour_keeps_both_apart():
    gt = disk()
    grown = cv2.dilate(gt.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))).astype(bool)
    box = grown.copy()
    box[60:100, 120:150] = True
    errors = measure(box, gt)
    assert errors.bias * size_px(gt) == pytest.approx(3, abs=0.5)
    assert errors.extra == pytest.approx((np.count_nonzero(box & ~grown) / np.count_nonzero(gt),), rel=0.1)


@pytest.mark.parametrize(
    ('bias', 'spread', 'length'), [(0.03, 0.02, 0.2), (-0.03, 0.03, 0.1), (0.0, 0.05, 0.1), (0.0, 0.03, 0.4)]
)
def test_drawn_contours_measure_like_the_model(bias, spread, length):
    model = MaskErrorModel((MaskErrors(bias, spread),), length)
    masks, rng = [star(seed) for seed in range(24)], np.random.default_rng(0)
    again = MaskErrorModel.measure([model.simulate(mask, rng) for mask in masks], masks)
    # The field is exact on the true contour and sampled on the moved one, a fraction of `spread` apart.
    assert again.bias == pytest.approx(bias, abs=0.2 * spread)
    assert again.spread == pytest.approx(spread, rel=0.15)
    # Some 4 / length independent bumps on each of 24 contours.
    assert again.length == pytest.approx(length, rel=0.3)
    # Deviations are estimated from few bumps, so that some displacement passes for a part.
    assert sum(again.rate(kind) for kind in PART_KINDS) < 0.4


def test_drawn_parts_measure_like_the_model():
    model = MaskErrorModel((MaskErrors(0.01, 0.01, missing=(0.06,), extra=(0.08,), holes=(0.03,)),), 0.15)
    masks, rng = [star(seed) for seed in range(40)], np.random.default_rng(0)
    again = MaskErrorModel.measure([model.simulate(mask, rng) for mask in masks], masks)
    for kind in PART_KINDS:
        # Parts that happen to touch are one; the displacement's strip blurs the outline of the others.
        assert again.rate(kind) == pytest.approx(1.0, abs=0.2)
        assert np.median(again.areas(kind)) == pytest.approx(model.areas(kind)[0], rel=0.1)
    assert again.bias == pytest.approx(model.bias, abs=0.005)
    assert again.spread < 0.02


def test_errors_of_one_mask_stay_together():
    model = MaskErrorModel((MaskErrors(0.06, 0.0), MaskErrors(-0.06, 0.0, extra=(0.2,))), 0.1)
    drawn = [measure(model.simulate(disk(), np.random.default_rng(seed)), disk()) for seed in range(20)]
    assert {(errors.bias > 0, len(errors.extra)) for errors in drawn} == {(True, 0), (False, 1)}


def test_errors_scale_with_the_object():
    model = MaskErrorModel((MaskErrors(0.05, 0.0),), 0.1)
    for radius_px in (20, 60):
        grown = model.simulate(disk(radius_px, 200), np.random.default_rng(0))
        expected = (1 + 0.05 * math.sqrt(math.pi)) ** 2
        # Half a pixel of the contour.
        assert np.count_nonzero(grown) / np.count_nonzero(disk(radius_px)) == pytest.approx(expected, abs=1 / radius_px)


@pytest.mark.parametrize('kind', ['empty', 'full', 'one pixel', 'thin line', 'one row image'])
def test_odd_masks_do_not_break(kind):
    mask = np.zeros((1, 9) if kind == 'one row image' else (24, 31), bool)
    where = {
        'full': slice(None),
        'one pixel': (12, 15),
        'thin line': (slice(None), 7),
        'one row image': (0, slice(3, 6)),
    }
    if kind in where:
        mask[where[kind]] = True
    before = mask.copy()
    model = MaskErrorModel((MaskErrors(-0.1, 0.1, missing=(0.3, 0.9), extra=(0.5,), holes=(0.1,)),), 0.2)
    drawn = [model.simulate(mask, np.random.default_rng(seed)) for seed in range(5)]
    np.testing.assert_array_equal(mask, before)
    assert all(result.shape == mask.shape and result.dtype == bool for result in drawn)
    assert all(result.any() == mask.any() for result in drawn)
    for coarse in [mask, *drawn] if mask.any() else []:
        again = MaskErrorModel.measure([coarse, disk()], [mask, disk()])
        assert all(math.isfinite(errors.bias) and errors.spread >= 0 for errors in again.masks)


def test_full_against_partial_and_the_reverse():
    full = np.ones((160, 160), bool)
    for coarse, gt in ((full, disk()), (disk(), full)):
        errors = measure(coarse, gt)
        assert all(math.isfinite(value) for value in (errors.bias, errors.spread))


def test_equal_seeds_equal_masks():
    model = MaskErrorModel((MaskErrors(0.01, 0.04, missing=(0.05,), extra=(0.05,)),), 0.15)
    first, second, other = (model.simulate(disk(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_pairs_that_do_not_overlap_are_left_out_and_bad_pairs_refused():
    empty = np.zeros_like(disk())
    assert len(MaskErrorModel.measure([empty, disk(), ~disk()], [disk()] * 3).masks) == 1
    with pytest.raises(ValueError, match='no coarse mask overlaps its ground-truth mask'):
        MaskErrorModel.measure([empty], [disk()])
    with pytest.raises(ValueError, match=r'must have the same size, got \(160, 160\) and \(80, 80\)'):
        MaskErrorModel.measure([disk()], [disk(20, 80)])
    with pytest.raises(ValueError, match='one ground-truth mask for every coarse mask, got more ground-truth masks'):
        MaskErrorModel.measure([disk()], [disk(), disk()])


def test_matched_errors_measure_like_the_masks_they_were_measured_on():
    """Errors of several kinds at once; drawn masks are as far from the ground truth as given ones."""
    rng = np.random.default_rng(0)
    gt = [star(seed) for seed in range(40)]
    coarse = [
        simulate_coarse_mask(mask, rng, None, ['wobble', 'warp', 'missing_parts', 'extra_parts'], (0.6, 0.95))
        for mask in gt
    ]
    measured = MaskErrorModel.measure(coarse, gt)
    model = measured.matched(coarse, gt)
    drawn = [model.simulate(mask, rng) for _ in range(4) for mask in gt]
    again = MaskErrorModel.measure(drawn, gt * 4)
    errors = [1 - binary_iou(np.stack(masks), np.stack(true)).mean() for masks, true in ((coarse, gt), (drawn, gt * 4))]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert again.spread == pytest.approx(measured.spread, rel=0.1)
    assert again.length == pytest.approx(measured.length, rel=0.15)
    # Contours of other masks' errors hide parts of this one's.
    areas = [sum(sum(found.areas(kind)) for kind in PART_KINDS) / len(found.masks) for found in (measured, again)]
    assert areas[1] == pytest.approx(areas[0], rel=0.3)


def test_what_was_drawn_twice_is_scaled_down():
    """Errors that were measured both as displacement and as parts."""
    gt = [star(seed) for seed in range(20)]
    rng = np.random.default_rng(0)
    once = MaskErrorModel((MaskErrors(0.0, 0.03),) * 20, 0.15)
    coarse = [once.simulate(mask, rng) for mask in gt]
    twice = MaskErrorModel((MaskErrors(0.0, 0.06),) * 20, 0.15)
    assert twice.matched(coarse, gt, rounds=8).spread == pytest.approx(0.03, rel=0.1)
