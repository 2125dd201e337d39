"""J and F against numbers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmrefine.evaluation.video import (
    ObjectScores,
    contour_accuracy,
    contour_map,
    region_similarity,
    summarize_davis,
    summarize_lvos,
    track_statistics,
)


def box(x0: int, y0: int, x1: int, y1: int, size_hw: tuple[int, int] = (60, 80)) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_contour_lies_half_a_pixel_towards_the_origin():
    """A square of 2x2 at (2, 2): all pixels whose right, lower or diagonal neighbour differs."""
    drawn = contour_map(box(2, 2, 4, 4, (6, 6))).astype(int)
    assert drawn.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_no_contour_along_the_border_of_the_image():
    """The left half: one column of contour, down to the last row."""
    drawn = contour_map(box(0, 0, 3, 6, (6, 6)))
    assert np.array_equal(np.argwhere(drawn), [[y, 2] for y in range(6)])


def test_shift_within_and_beyond_the_tolerance():
    """Diagonal 100, so 0.008 of it is one pixel: by one everything matches; by two no vertical side does.

    A box of 20x10 has a contour of 2 * 21 + 2 * 9 = 60 pixels. Shifted right by two, 20 of the 21 pixels of its upper
    side lie on or beside the other's, as many of its lower one; of the left side none, of the right one the two that
    are below and above the other's horizontal sides: 42 of 60, in precision as in recall.
    """
    gt = box(20, 20, 40, 30)
    assert np.count_nonzero(contour_map(gt)) == 60
    assert contour_accuracy(box(21, 20, 41, 30), gt) == 1.0
    assert contour_accuracy(box(22, 20, 42, 30), gt) == pytest.approx(42 / 60)
    assert contour_accuracy(box(22, 20, 42, 30), gt, bound_th=2) == 1.0


def test_tolerance_is_a_disk():
    """Contours of single pixels are blocks of 2x2; of these the corners that face each other are (2, 3) apart.

    Within 3 nothing matches, within 4 only these corners (the next are (3, 3) apart), within 5 all do: (3, 4).
    """
    first, second = box(10, 10, 11, 11), box(13, 14, 14, 15)
    assert contour_accuracy(first, second, bound_th=3) == 0.0
    assert contour_accuracy(first, second, bound_th=4) == 0.25
    assert contour_accuracy(first, second, bound_th=5) == 1.0


def test_precision_and_recall_are_distinguished():
    """The ground truth and a far box of its size: half of the contour is right, all ground truth is found: 2/3."""
    gt = box(10, 10, 20, 20)
    assert contour_accuracy(gt | box(50, 40, 60, 50), gt) == pytest.approx(2 / 3)
    assert contour_accuracy(gt, gt | box(50, 40, 60, 50)) == pytest.approx(2 / 3)


def test_empty_masks():
    gt, none = box(10, 10, 20, 20), np.zeros((60, 80), bool)
    assert contour_accuracy(none, none) == region_similarity(none, none) == 1.0
    assert contour_accuracy(none, gt) == contour_accuracy(gt, none) == region_similarity(none, gt) == 0.0


def test_frames_of_a_clip():
    gt = np.stack([box(20, 20, 40, 30)] * 2)
    pred = np.stack([box(20, 20, 40, 30), box(30, 20, 50, 30)])
    assert region_similarity(pred, gt).tolist() == [1.0, pytest.approx(1 / 3)]
    assert contour_accuracy(pred, gt)[0] == 1.0


def test_bad_masks():
    gt = box(1, 1, 3, 3)
    with pytest.raises(TypeError, match='bool'):
        contour_accuracy(gt.astype(np.uint8), gt)
    with pytest.raises(ValueError, match='same shape'):
        contour_accuracy(gt[:50], gt)
    with pytest.raises(ValueError, match='bound_th'):
        contour_accuracy(gt, gt, bound_th=0)


def test_statistics():
    """Quarters of nine frames share borders: frames 0 to 2 and 6 to 8."""
    values = [1.0, 1.0, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    statistics = track_statistics(values)
    assert statistics['mean'] == pytest.approx(np.mean(values))
    assert statistics['recall'] == pytest.approx(4 / 9)  # 0.5 itself is not above
    assert statistics['decay'] == pytest.approx(0.9 - 0.2)
    with pytest.raises(ValueError, match='at least one evaluated frame'):
        track_statistics([])


def test_long_clips_do_not_overflow():
    """900 frames, the last quarter lost: of its 226 frames one is the border to the quarter before."""
    values = np.r_[np.ones(675), np.zeros(225)]
    assert track_statistics(values)['decay'] == pytest.approx(1.0, abs=0.01)


def scores(clip: str, j: float, f: float, object_id: int = 1) -> ObjectScores:
    return ObjectScores(clip, object_id, np.array([j, j]), np.array([f, f]))


def test_davis_counts_objects_not_clips():
    summary = summarize_davis([scores('a', 0.9, 0.7, 1), scores('a', 0.6, 0.4, 2), scores('b', 0.3, 0.1)])
    assert summary['J_mean'] == pytest.approx(0.6) and summary['F_mean'] == pytest.approx(0.4)
    assert summary['J&F'] == pytest.approx(0.5)
    assert summary['J_recall'] == pytest.approx(2 / 3) and summary['F_recall'] == pytest.approx(1 / 3)


def test_lvos_weighs_seen_and_unseen_alike():
    objects = [scores('a', 1.0, 0.8, 1), scores('a', 0.8, 0.6, 2), scores('new', 0.4, 0.2)]
    summary = summarize_lvos(objects, {'new'})
    assert summary['J_seen'] == pytest.approx(0.9) and summary['F_unseen'] == pytest.approx(0.2)
    assert summary['J&F'] == pytest.approx((0.9 + 0.7 + 0.4 + 0.2) / 4)
    assert summarize_lvos(objects)['J&F'] == pytest.approx((2.2 / 3 + 1.6 / 3) / 2)
    with pytest.raises(ValueError, match='no clip is unseen'):
        summarize_lvos(objects, {'other'})
    with pytest.raises(ValueError, match='at least one object'):
        summarize_davis([])


def test_deviation_over_frames():
    item = ObjectScores('a', 1, np.array([1.0, 0.5]), np.array([0.8, 0.5]))  # J&F 0.9 and 0.5
    assert item.deviation == pytest.approx(0.2)
