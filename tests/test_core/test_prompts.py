"""Prompts against the numbers of the authors' code (A_*), and by hand where we decide otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmrefine.core.prompts import (
    InputFrame,
    chamfer_distance,
    context_similarity,
    distance_fields,
    elastic_boxes,
    euclidean_distance,
    gaussian_weights,
    mask_prompts,
    prompt_points,
)

DATA = Path(__file__).parents[1] / 'data'
CASES = ('synth96x128', 'real')
GRID = (256, 256)


@pytest.fixture(params=CASES)
def case(request):
    return dict(np.load(DATA / f'A_prompts_{request.param}.npz'))


def frame_of(case) -> InputFrame:
    return InputFrame(case['masks'].shape[1:], tuple(int(v) for v in case['target_size']), (1024, 1024))


def boxes_of(fields) -> np.ndarray:
    return np.array([field.box_xyxy for field in fields])


# --- parity with the authors' code -----------------------------------------------------------------------------------


def test_chamfer_distance_bit_for_bit(case):
    masks = case['masks'] > 0
    np.testing.assert_array_equal(np.stack(chamfer_distance(masks)), case['dist_pos'])
    np.testing.assert_array_equal(np.stack(chamfer_distance(~masks)), case['dist_neg_unmasked'])


def test_fields_on_the_box_are_those_of_the_whole_image(case):
    for k, field in enumerate(distance_fields(case['masks'] > 0, released_behaviour=True)):
        np.testing.assert_array_equal(field.inside, case['dist_pos'][k][field.window])
        np.testing.assert_array_equal(field.outside, case['dist_neg_unmasked'][k][field.window])


def test_points(case):
    fields = distance_fields(case['masks'] > 0, released_behaviour=True)
    coords, labels = prompt_points(fields, released_behaviour=True)
    np.testing.assert_array_equal(coords, case['point_coords'])
    np.testing.assert_array_equal(labels, case['point_labels'])
    coords, labels = prompt_points(fields, negative=False, released_behaviour=True)
    np.testing.assert_array_equal(coords, case['noneg_point_coords'])
    np.testing.assert_array_equal(labels, case['noneg_point_labels'])


@pytest.mark.parametrize('margin', ['0.1', '0.25', '0.5', '0.9'])
def test_elastic_boxes(case, margin):
    fields = distance_fields(case['masks'] > 0, released_behaviour=True)
    embedding = torch.from_numpy(case['image_embeddings'][0].astype(np.float32))
    similarity = context_similarity(embedding, fields, frame_of(case), released_behaviour=True)
    tight = boxes_of(fields)
    np.testing.assert_array_equal(tight, case['boxes_m0.0'])
    boxes, moved = elastic_boxes(tight, similarity, frame_of(case), float(margin), via_hw=GRID, released_behaviour=True)
    np.testing.assert_array_equal(boxes, case[f'boxes_m{margin}'])
    np.testing.assert_array_equal(moved, case[f'expand_m{margin}'])


MASK_PROMPTS = [
    ('synth96x128', 4, 30),
    ('synth96x128', 1, 15),
    ('real', 4, 30),
    ('real', 4, 10),
    ('real', 2, 20),
]


@pytest.mark.parametrize('name, gamma, strength', MASK_PROMPTS)
def test_mask_prompts(name, gamma, strength):
    case = dict(np.load(DATA / f'A_prompts_{name}.npz'))
    expected = case[f'mask_prompt_single_g{gamma:.1f}_s{strength}']
    fields = distance_fields(case['masks'][case['mask_prompt_idx']] > 0, released_behaviour=True)
    for flag, logit in enumerate((strength, 1)):
        prompts = mask_prompts(fields, frame_of(case), GRID, np.full(len(fields), logit, np.float32), gamma)
        # 30 times a few float32 roundings of weights up to 1; one cell of the other sign would differ by over 0.01
        np.testing.assert_allclose(prompts[:, 0], expected[:, flag], atol=3e-5)


@pytest.mark.parametrize('name', CASES)
def test_mask_prompts_keep_their_own_strength_in_a_batch(name):
    """The authors' code lets the last mask decide for the batch; ours is the single-mask reference for each."""
    batch = np.load(DATA / f'A_maskprompt_batch_{name}.npz')
    masks = batch['masks'] > 0
    frame = InputFrame(masks.shape[1:], tuple(int(v) for v in batch['target_size']), (1024, 1024))
    fields = distance_fields(masks, released_behaviour=True)
    plain, expanded = batch['batch_expand_000'], batch['batch_expand_111']
    flags = np.arange(len(masks)) % 2 == 1
    prompts = mask_prompts(fields, frame, GRID, np.where(flags, 1, 30), 4)
    np.testing.assert_allclose(prompts[:, 0], np.where(flags[:, None, None], expanded, plain), atol=3e-5)


def test_gaussian_of_a_mask_smaller_than_gamma():
    """Nine pixels, depths 1 and 2: exp(-1), and not exp(-16 / 9), at its border."""
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1:4, 1:4] = True
    weights = gaussian_weights(distance_fields(mask)[0], 16)
    np.testing.assert_allclose(weights[[0, 1, 1], [0, 0, 1]], [np.exp(-1), np.exp(-1), 1], rtol=1e-6)


# --- what we decide otherwise ----------------------------------------------------------------------------------------


def test_chamfer_distance_by_hand():
    mask = np.ones((1, 3, 4), bool)
    mask[0, 0, 0] = False
    d = 2**0.5
    expected = [[0, 1, 2, 3], [1, d, 1 + d, 2 + d], [2, 1 + d, 2 * d, 1 + 2 * d]]
    np.testing.assert_allclose(chamfer_distance(mask)[0], expected, rtol=1e-6)


def test_euclidean_distance_by_hand():
    mask = np.ones((1, 3, 4), bool)
    mask[0, 0, 0] = False
    y, x = np.mgrid[:3, :4]
    # OpenCV's precise transform is exact up to float32
    np.testing.assert_allclose(euclidean_distance(mask)[0], np.hypot(y, x), rtol=1e-6)


def test_the_two_distances_choose_different_points():
    rng = np.random.default_rng(0)
    masks = rng.random((20, 40, 40)) < 0.97
    chamfer, euclidean = (prompt_points(distance_fields(masks, d), negative=False)[0] for d in ('chamfer', 'euclidean'))
    assert (chamfer != euclidean).any()


def test_masks_of_different_sizes_do_not_disturb_each_other():
    masks = np.zeros((3, 30, 40), bool)
    masks[0, 2:28, 3:37] = True
    masks[1, 10:12, 5:9] = True
    masks[2, 0:9, 31:40] = True
    together = distance_fields(masks)
    for mask, field in zip(masks, together, strict=True):
        alone = distance_fields(mask[None])[0]
        np.testing.assert_array_equal(field.inside, alone.inside)
        np.testing.assert_array_equal(field.outside, alone.outside)


def test_full_mask_points_at_its_middle():
    coords, labels = prompt_points(distance_fields(np.ones((1, 21, 41), bool)))
    assert coords[0, 0].tolist() == [10, 10]
    assert labels.tolist() == [[1, -1]]


def test_no_negative_point_where_the_box_is_full():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 5:9, 6:12] = True
    assert prompt_points(distance_fields(mask))[1].tolist() == [[1, -1]]
    coords, labels = prompt_points(distance_fields(mask, released_behaviour=True), released_behaviour=True)
    assert coords[0, 1].tolist() == [0, 0] and labels[0, 1] == 0


def test_negative_point_may_lie_in_the_last_row_and_column():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:9, 4] = True
    mask[0, 4, 4:9] = True
    fields = distance_fields(mask)
    assert prompt_points(fields)[0][0, 1].tolist() == [8, 8]
    assert prompt_points(fields, released_behaviour=True)[0][0, 1].tolist() == [7, 7]


def test_empty_mask_is_refused_by_index():
    masks = np.ones((2, 4, 4), bool)
    masks[1] = False
    with pytest.raises(ValueError, match='mask 1 is empty'):
        distance_fields(masks)


def test_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="'manhattan'"):
        distance_fields(np.ones((1, 4, 4), bool), 'manhattan')


SQUARE = InputFrame((40, 40), (64, 64), (64, 64))


def expand(box, margin=0.1, frame=SQUARE, released=False):
    """All of the image looks like the mask."""
    similarity = np.ones((1, *(frame.image_hw if released else (8, 8))), np.float32)
    boxes, moved = elastic_boxes(
        np.array([box]), similarity, frame, margin, via_hw=(16, 16), released_behaviour=released
    )
    return boxes[0].tolist(), bool(moved[0])


def test_step_is_clipped_at_the_border_instead_of_dropped():
    assert expand([1, 10, 30, 20]) == ([0, 9, 33, 21], True)
    assert expand([1, 10, 30, 20], released=True) == ([1, 9, 32, 21], True)


def test_box_of_one_pixel_grows():
    assert expand([5, 5, 5, 5]) == ([4, 4, 6, 6], True)
    assert expand([5, 5, 5, 5], released=True) == ([5, 5, 5, 5], False)


def test_full_box_stays():
    assert expand([0, 0, 39, 39]) == ([0, 0, 39, 39], False)


def test_side_moves_only_towards_what_is_alike():
    similarity = np.zeros((1, 40, 40), np.float32)
    similarity[0, :, 20:] = 1
    frame = InputFrame((40, 40), (40, 40), (40, 40))
    boxes, moved = elastic_boxes(np.array([[10, 10, 29, 29]]), similarity, frame, 0.6, via_hw=(40, 40))
    assert boxes.tolist() == [[10, 10, 31, 29]] and moved.tolist() == [True]


def test_thin_mask_does_not_vanish_on_the_embedding_grid():
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 0, 10:30] = True
    frame = InputFrame((40, 40), (40, 40), (40, 40))
    embedding = torch.zeros(2, 4, 4)
    embedding[0, 0], embedding[1, 1:] = 1, 1
    fields = distance_fields(mask)
    similarity = context_similarity(embedding, fields, frame)[0]
    np.testing.assert_allclose(similarity[0], 1, atol=1e-6)
    np.testing.assert_allclose(similarity[1:], 0, atol=1e-6)
    between_samples = distance_fields(np.roll(mask, 5, axis=1))  # the released code looks at rows 0, 10, 20 and 30
    assert not context_similarity(embedding, between_samples, frame, released_behaviour=True).any()


def test_released_similarity_samples_the_nearest_pixel_of_cells_on_the_image():
    """A grid of 8 over an image of 12x16 pixels: 6 rows of it are valid, and a cell takes its first pixel."""
    frame = InputFrame((12, 16), (24, 32), (32, 32))
    assert frame.valid_hw((8, 8)) == (6, 8)
    mask = np.zeros((1, 12, 16), bool)
    mask[0, 4:7, 1:8] = True  # of cells at pixels 0, 2, 4, …: rows 2 and 3, columns 1 to 3
    embedding = torch.zeros(2, 8, 8)
    embedding[0], embedding[1, 2:4, 1:4] = 1, 1
    embedding[:, 6:] = 5  # padding, which no mean and no similarity may see
    similarity = context_similarity(embedding, distance_fields(mask), frame, released_behaviour=True)
    assert similarity.shape == (1, 12, 16)
    np.testing.assert_allclose(similarity[0, 5:7, 3:7], 1, atol=1e-6)
    np.testing.assert_allclose(similarity[0, :2], 0.5**0.5, atol=1e-6)
    np.testing.assert_allclose(similarity[0, -2:], 0.5**0.5, atol=1e-6)


def test_released_valid_grid_follows_the_sides_of_the_image():
    """4999 of 5000 pixels are resized to all 1024 of the input, but 63 cells of 64 are valid."""
    assert InputFrame((4999, 5000), (1024, 1024), (1024, 1024)).valid_hw((64, 64)) == (63, 64)
    assert InputFrame((3, 1000), (3, 1024), (1024, 1024)).valid_hw((64, 64)) == (1, 64)
    stretched = InputFrame((300, 400), (1024, 1024), (1024, 1024))
    assert stretched.valid_hw((64, 64)) == (64, 64)


def test_released_similarity_is_that_of_the_interpolated_embedding():
    """From cells (3, 0) to cells (0, 1) along x: a quarter of the way (2.25, 0.25), and not 3/4 of the cosine."""
    frame = InputFrame((8, 16), (32, 64), (64, 64))
    mask = np.zeros((1, 8, 16), bool)
    mask[0, :, :8] = True
    embedding = torch.zeros(2, 4, 4)
    embedding[0, :, :2], embedding[1, :, 2:] = 3, 1
    similarity = context_similarity(embedding, distance_fields(mask), frame, released_behaviour=True)[0]
    share = np.repeat([0, 0.125, 0.375, 0.625, 0.875, 1], [6, 1, 1, 1, 1, 6])
    expected = 3 * (1 - share) / np.hypot(3 * (1 - share), share)
    np.testing.assert_allclose(similarity, np.tile(expected, (8, 1)), atol=1e-6)


def test_padding_of_the_input_is_no_part_of_the_image():
    """A frame that is padded to twice its height gives the upper half of the grid, and only that."""
    mask = np.ones((1, 8, 16), bool)
    frame = InputFrame((8, 16), (32, 64), (64, 64))
    prompts = mask_prompts(distance_fields(mask), frame, (16, 16), np.array([5.0]), 0.0)
    np.testing.assert_array_equal(np.sign(prompts[0, 0]), np.repeat([[1], [-1]], 8, axis=0) * np.ones((1, 16)))
    np.testing.assert_array_equal(frame.to_input(np.array([[4, 2]])), [[16, 8]])
    np.testing.assert_array_equal(frame.boxes_to_input(np.array([[0, 1, 4, 2]])), [[0, 4, 16, 8]])
