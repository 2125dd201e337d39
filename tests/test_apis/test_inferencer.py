"""One image, many images, groups, seeds, gates; and refusals of what a user may hand in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmrefine
from mmrefine.apis import RefineInferencer, refine
from tests.helpers.bright_refiner import BrightRefiner


@pytest.fixture
def image() -> np.ndarray:
    image = np.full((40, 60, 3), 20, np.uint8)
    image[8:30, 10:50] = 200
    return image


@pytest.fixture
def masks() -> np.ndarray:
    masks = np.zeros((3, 40, 60), bool)
    masks[0, 10:28, 12:48] = True
    masks[2, 6:32, 8:30] = True
    return masks


def test_refine_is_found_at_the_top() -> None:
    assert mmrefine.refine is refine
    assert mmrefine.RefineInferencer is RefineInferencer


def test_one_image(image: np.ndarray, masks: np.ndarray) -> None:
    result = refine(image, masks, model=BrightRefiner())
    assert result.masks.shape == (3, 40, 60) and result.masks.dtype == bool
    np.testing.assert_array_equal(result.masks[0], image[..., 0] > 100)
    assert result.accepted.tolist() == [True, False, True]
    assert result.reasons[1] == 'coarse mask is empty'


def test_one_mask_as_probabilities_from_a_file(image: np.ndarray, masks: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(image).save(tmp_path / 'a.png')
    result = refine(tmp_path / 'a.png', masks[0] * 0.7, model=BrightRefiner())
    np.testing.assert_array_equal(result.masks, image[None, ..., 0] > 100)


def test_masks_belong_to_the_upright_image(image: np.ndarray, masks: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: to be turned clockwise
    Image.fromarray(np.rot90(image)).save(tmp_path / 'a.png', exif=exif)
    result = refine(str(tmp_path / 'a.png'), masks[0], model=BrightRefiner())
    np.testing.assert_array_equal(result.masks, image[None, ..., 0] > 100)
    with pytest.raises(ValueError, match=r'60x40 \(HxW\) but the image is 40x60; .*EXIF'):
        refine(str(tmp_path / 'a.png'), np.rot90(masks[0]), model=BrightRefiner())


def test_many_images_are_the_same_as_one_by_one(image: np.ndarray, masks: np.ndarray) -> None:
    images = [image, image[:, ::-1].copy(), image[:30].copy()]
    many_masks = [masks, masks[:1, :, ::-1].copy(), masks[:0, :30]]
    together = RefineInferencer(BrightRefiner(noise=0.1))(images, many_masks)
    for result, *pair in zip(together, images, many_masks, strict=True):
        alone = refine(*pair, model=BrightRefiner(noise=0.1))
        np.testing.assert_array_equal(result.masks, alone.masks)
        np.testing.assert_array_equal(result.scores, alone.scores)
    assert together[2].masks.shape == (0, 30, 60)


def test_groups_are_bounded(image: np.ndarray, masks: np.ndarray) -> None:
    refiner = BrightRefiner()
    full = masks[[0, 2, 0]]
    RefineInferencer(refiner, batch_masks=4)([image] * 5, [full[:1], full[:3], full[:1], full, np.repeat(full, 2, 0)])
    assert refiner.batches == [[1, 3], [1, 3], [6]]


def test_stream_does_not_read_ahead_of_its_groups(image: np.ndarray, masks: np.ndarray) -> None:
    inferencer, drawn = RefineInferencer(BrightRefiner(), batch_masks=2), []

    def inputs():
        for index in range(6):
            drawn.append(index)
            yield inferencer.make_input(image, masks[0])

    results = inferencer.stream(inputs())
    next(results)
    assert len(drawn) <= 3
    assert len(list(results)) == 5


def test_seed_decides_the_draws(image: np.ndarray, masks: np.ndarray) -> None:
    results = [RefineInferencer(BrightRefiner(noise=0.1), seed=seed)(image, masks).masks for seed in (0, 0, 1)]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


def test_no_gate_leaves_the_given_refiner_as_it_is(image: np.ndarray, masks: np.ndarray) -> None:
    refiner = BrightRefiner(gate={'min_agreement': 0.99})
    assert not RefineInferencer(refiner)(image, masks).accepted.any()
    assert RefineInferencer(refiner, gate=False)(image, masks).accepted.tolist() == [True, False, True]
    assert not RefineInferencer(refiner)(image, masks).accepted.any()


def test_a_call_may_change_the_gate(image: np.ndarray, masks: np.ndarray) -> None:
    refiner = BrightRefiner(gate={'min_agreement': 0.99})
    strict, free, looser = (mmrefine.refine(image, masks, refiner, gate=g) for g in (True, False, {'min_agreement': 0}))
    assert strict.accepted.tolist() == [False] * 3 and free.accepted.tolist() == [True, False, True]
    assert looser.accepted.tolist() == free.accepted.tolist()
    np.testing.assert_array_equal(strict.proposals, free.masks)
    assert strict.reasons[0].startswith('overlap with the coarse mask too small: ')
    # The score of a kept mask, of which this refiner has no estimate, is the proposal's times the IoU of both.
    agreement = strict.features['agreement'][0]
    assert strict.scores[0] == pytest.approx(free.scores[0] * agreement) and agreement < 1
    assert refiner.gate.min_agreement == 0.99
    with pytest.raises(ValueError, match='gate has no setting'):
        mmrefine.refine(image, masks, refiner, gate={'agreement': 0})


def test_training_mode_and_inputs_are_left_as_they_were(image: np.ndarray, masks: np.ndarray) -> None:
    refiner = BrightRefiner().train()
    before = image.copy(), masks.copy()
    RefineInferencer(refiner, gate=False)(image, masks)
    assert refiner.training
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(masks, before[1])


def _nan(image: np.ndarray, masks: np.ndarray) -> tuple:
    return image, np.where(masks, np.nan, 0.5)


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda i, m: (i, m[:, :30]), ValueError, r'30x60 \(HxW\) but the image is 40x60'),
        (_nan, ValueError, 'NaN or infinite values; expected probabilities'),
        (lambda i, m: (i, m * 3.0), ValueError, r'probabilities in \[0, 1\], got values from 0 to 3'),
        (lambda i, m: (i, np.arange(3)[:, None, None] * m), ValueError, r'must be binary.*\[0, 2\]'),
        (lambda i, m: (i, m.tolist()), TypeError, 'masks must be an array, a tensor, .* got bool'),
        (lambda i, m: (i[..., 0], m), ValueError, 'repeat the channel of a grey image'),
        (lambda i, m: (i / 255, m), TypeError, 'uint8 in 0..255, got float64'),
        (lambda i, m: ('nowhere.jpg', m), FileNotFoundError, 'image nowhere.jpg does not exist'),
        (lambda i, m: ([i, i], m), ValueError, 'a list with the masks of each: 2 images, masks: ndarray'),
        (lambda i, m: ([i, i], [m]), ValueError, 'a list with the masks of each: 2 images, masks: 1'),
    ],
)
def test_refusals(image: np.ndarray, masks: np.ndarray, change: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        RefineInferencer(BrightRefiner())(*change(image, masks))


def test_no_masks_give_no_masks(image: np.ndarray) -> None:
    result = refine(image, np.zeros((0, 40, 60), bool), model=BrightRefiner())
    assert result.masks.shape == (0, 40, 60) and result.scores.shape == (0,) and result.reasons == ()


def test_arguments_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='batch_masks must be at least 1, got 0'):
        RefineInferencer(BrightRefiner(), batch_masks=0)
    with pytest.raises(ValueError, match='checkpoint needs a config or a model name'):
        RefineInferencer(BrightRefiner(), checkpoint=tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='device \'warp\' is not available .*use "cpu"'):
        RefineInferencer(BrightRefiner(), device='warp')
    assert RefineInferencer(BrightRefiner(), device='cpu').refiner.device == torch.device('cpu')
