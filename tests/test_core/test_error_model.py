"""Error models: known corruptions are measured as what they are, and drawn errors measure like the model."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from mmrefine.core.coarse_masks import simulate_coarse_mask
from mmrefine.core.error_measurement import PART_KINDS, MaskErrors
from mmrefine.core.error_model import FORMAT, MaskErrorModel
from mmrefine.core.iou import binary_iou
from mmrefine.evaluation import boundary_iou


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
    assert measure(disk(), disk()) == MaskErrors(bias=0.0, spread=0.0, lost=0.0, gained=0.0)


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
    model = MaskErrorModel(
        (MaskErrors(0.01, 0.01, missing=(0.06,), extra=(0.08,), holes=(0.03,), islands=(0.05,)),), 0.15
    )
    masks, rng = [star(seed) for seed in range(40)], np.random.default_rng(0)
    again = MaskErrorModel.measure([model.simulate(mask, rng) for mask in masks], masks)
    for kind in PART_KINDS:
        # Parts that happen to touch are one; the displacement's strip blurs the outline of the others.
        assert again.rate(kind) == pytest.approx(1.0, abs=0.2)
        assert np.median(again.areas(kind)) == pytest.approx(model.areas(kind)[0], rel=0.15)
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


def statistics(coarse: list[np.ndarray], gt: list[np.ndarray]) -> dict[str, float]:
    """What simulated masks must have in common with the measured ones."""
    errors = np.array([1 - binary_iou(mask, true) for mask, true in zip(coarse, gt, strict=True)])
    boundary = [float(boundary_iou(mask[None], true[None])[0]) for mask, true in zip(coarse, gt, strict=True)]
    areas = np.array([np.count_nonzero(mask) / np.count_nonzero(true) for mask, true in zip(coarse, gt, strict=True)])
    model = MaskErrorModel.measure(coarse, gt)
    return {
        '1 - IoU': errors.mean(),
        **{f'quantile {share} of 1 - IoU': np.quantile(errors, share) for share in (0.25, 0.5, 0.75)},
        '1 - boundary IoU': 1 - np.mean(boundary),
        'area': areas.mean(),
        'deviation of the area': np.abs(areas - 1).mean(),
        'missing': np.mean([errors.lost for errors in model.masks]),
        'extra': np.mean([errors.gained for errors in model.masks]),
        'pieces': np.mean([label(mask, np.ones((3, 3)))[1] for mask in coarse]),
    }


def assert_alike(coarse: list[np.ndarray], gt: list[np.ndarray], with_pieces: bool = True) -> None:
    """Simulated on the same and on each other's ground truth; each mask's errors are drawn once."""
    model = MaskErrorModel.measure(coarse, gt)
    own = [MaskErrorModel((errors,), model.length) for errors in model.masks]
    given, rng = statistics(coarse, gt), np.random.default_rng(0)
    for shift in (0, len(gt) // 2):
        others = gt[shift:] + gt[:shift]
        drawn = statistics([one.simulate(true, rng) for one, true in zip(own, others, strict=True)], others)
        for name, value in given.items():
            if name == 'pieces' and not with_pieces:
                continue
            assert drawn[name] == pytest.approx(value, rel=0.1), f'{name}, other masks by {shift}'


def test_simulated_masks_are_as_wrong_as_the_measured_ones():
    """Errors of several kinds at once, which the model can only divide roughly into displacement and parts."""
    rng = np.random.default_rng(0)
    gt = [star(seed) for seed in range(40)]
    kinds = ['wobble', 'warp', 'missing_parts', 'extra_parts']
    coarse = [simulate_coarse_mask(mask, rng, None, kinds, (0.6, 0.95)) for mask in gt]
    assert_alike(coarse, gt, with_pieces=False)  # warped masks come apart by more than displacement


@pytest.mark.parametrize('source', ['selfie/human290', 'prisma/human290', 'isnet512/weizmann_horses'])
def test_simulated_masks_are_as_wrong_as_those_of_a_network(repo_root, source):
    """Coarse masks that published networks made of photographs, in the folders of configs/segrefiner/README.md."""
    data = repo_root / 'data/photos'
    folder, masks = data / 'coarse_real' / source, data / 'more' / source.split('/')[1] / 'masks'
    if not folder.is_dir():
        pytest.skip('needs data/photos/coarse_real')
    pairs = []
    for path in sorted(folder.glob('*.png')):
        pair = [np.asarray(Image.open(file).convert('L'), np.float32) for file in (path, masks / path.name)]
        scale = min(1.0, 160 / max(pair[1].shape))
        pair = [cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) > 127 for mask in pair]
        if binary_iou(*pair) >= 0.5:  # else it is another object
            pairs.append(pair)
    assert len(pairs) > 80
    coarse, gt = ([pair[side] for pair in pairs[:120]] for side in (0, 1))
    assert_alike(coarse, gt)


def test_files_without_totals_are_drawn_as_they_were_measured():
    """Files of version 0.2 have displacement and three kinds of parts."""
    entry = {'bias': 0.05, 'spread': 0.0, 'missing': [], 'extra': [], 'holes': []}
    model = MaskErrorModel.from_dict({'format': FORMAT, 'length': 0.1, 'masks': [entry]})
    assert model.masks == (MaskErrors(0.05, 0.0),)
    drawn = model.simulate(disk(), np.random.default_rng(0))
    assert measure(drawn, disk()).bias == pytest.approx(0.05, abs=0.01)


def test_islands_and_loose_pieces_are_counted_and_drawn():
    gt = disk()
    gt[100:150, 76:85] = True
    coarse = gt.copy()
    coarse[125:129] = False
    coarse[10:20, 10:20] = True
    errors = measure(coarse, gt)
    assert errors.islands == (100 / np.count_nonzero(gt),) and errors.loose == 1 and errors.extra == ()
    drawn = [MaskErrorModel((errors,), 0.1).simulate(disk(), np.random.default_rng(seed)) for seed in range(8)]
    assert all(2 <= label(mask)[1] <= 3 for mask in drawn)
    assert all(measure(mask, disk()).islands for mask in drawn)
