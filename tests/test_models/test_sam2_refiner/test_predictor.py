"""Interactive use on one image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from mmengine.config import Config

pytest.importorskip('sam2')

from sam2.sam2_image_predictor import SAM2ImagePredictor  # noqa: E402

from mmrefine.models.sam2_refiner import SAM2RefinerPredictor  # noqa: E402
from mmrefine.registry import MODELS  # noqa: E402
from mmrefine.structures import ObjectPrompt  # noqa: E402
from mmrefine.utils import find_config  # noqa: E402
from tests.helpers.tiny_sam2 import SIZE  # noqa: E402


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.fixture
def predictor(model, image) -> SAM2RefinerPredictor:
    predictor = SAM2RefinerPredictor(model)
    predictor.set_image(image)
    return predictor


@pytest.fixture
def passes(base) -> Iterator[list[int]]:
    """Number of pictures of every pass of the image encoder."""
    counts: list[int] = []
    handle = base.image_encoder.register_forward_hook(lambda _, args, __: counts.append(len(args[0])))
    yield counts
    handle.remove()


def test_an_image_is_encoded_once_for_any_number_of_clicks_and_objects(model, image, passes):
    predictor = SAM2RefinerPredictor(model)
    predictor.set_image(image)
    assert sum(passes) == 5  # the image and its quadrants
    first = predictor.predict([[60, 40]], [1])
    predictor.predict([[60, 40], [10, 10]], [1, 0], mask_input=first.low_res_logits[0])
    predictor.predict(box=[[10, 10, 50, 60], [20, 30, 90, 80], [0, 0, 120, 90]])
    predictor.predict([[60, 40]], [1], refine=False)
    assert sum(passes) == 5


def test_answers_have_the_size_of_the_image(predictor):
    answer = predictor.predict([[60, 40], [70, 45]], [1, 1])
    assert answer.masks.shape == (1, 90, 120) and answer.masks.dtype == bool
    assert answer.iou.shape == (1,) and 0 <= answer.iou[0] <= 1
    assert answer.low_res_logits.shape == (1, 1, 32, 32)
    logits = predictor.predict([[60, 40], [70, 45]], [1, 1], return_logits=True)
    np.testing.assert_array_equal(logits.masks > 0, answer.masks)


def test_objects_together_are_objects_alone(predictor):
    """Five objects in two chunks, asked for in three ways."""
    prompts = [
        ObjectPrompt.of([[60, 40]], [1]),
        ObjectPrompt.of(box=[10, 10, 50, 60]),
        ObjectPrompt.of([[20, 70], [100, 10]], [1, 0]),
        ObjectPrompt.of(mask_input=torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))),
        ObjectPrompt.of([[10, 10]], [1], box=[0, 0, 30, 30]),
    ]
    together = predictor.predict_objects(prompts, return_logits=True)
    assert together.masks.shape == (5, 90, 120)
    for k, prompt in enumerate(prompts):
        alone = predictor.predict_objects([prompt], return_logits=True)
        np.testing.assert_allclose(together.masks[k], alone.masks[0], rtol=0, atol=1e-5)
    assert predictor.predict_objects([]).masks.shape == (0, 90, 120)


@pytest.mark.parametrize('multimask', [False, True])
@pytest.mark.parametrize(
    'prompt',
    [
        {'point_coords': [[60, 40], [10, 10]], 'point_labels': [1, 0]},
        {'point_coords': [[60, 40]], 'point_labels': [1], 'box': [20, 20, 90, 70]},
    ],
    ids=['points', 'box and point'],
)
def test_without_refinement_it_is_the_package_itself(predictor, base, image, prompt, multimask):
    package = SAM2ImagePredictor(base)
    package._bb_feat_sizes = [(SIZE // stride,) * 2 for stride in (4, 8, 16)]  # written for 1024 in the package
    package.set_image(image)
    arrays = {name: np.array(value) for name, value in prompt.items()}
    _, iou, low_res = package.predict(**arrays, multimask_output=multimask, return_logits=True)
    ours = predictor.predict(**prompt, multimask_output=multimask, refine=False)
    best = iou.argmax()
    assert ours.iou[0] == pytest.approx(iou[best], abs=1e-4)
    # The package resizes the image with torchvision.
    np.testing.assert_allclose(ours.low_res_logits[0, 0], low_res[best], rtol=0, atol=1e-3)


def test_bfloat16_is_near_float32(model, image, predictor):
    exact = predictor.predict([[60, 40]], [1], return_logits=True).masks
    reduced = SAM2RefinerPredictor(model, precision='bfloat16')
    reduced.set_image(image)
    difference = np.abs(reduced.predict([[60, 40]], [1], return_logits=True).masks - exact)
    assert 0 < difference.mean() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(('tile_scale', 'pictures'), [(0.5, 5), (0, 1)])
def test_quick_variants(make_model, image, passes, tile_scale, pictures):
    predictor = SAM2RefinerPredictor(make_model(tile_scale=tile_scale))
    predictor.set_image(image)
    assert sum(passes) == pictures
    assert predictor.predict([[60, 40]], [1]).masks.shape == (1, 90, 120)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({}, 'the prompt is empty'),
        ({'point_coords': [[60, 91]], 'point_labels': [1]}, r'\[60.0, 91.0\] \(x, y\) lies outside .* 90x120'),
        ({'box': [10, 10, 130, 60]}, 'lies outside of the image'),
        ({'box': [50, 10, 10, 60]}, 'x1 <= x2'),
        ({'point_coords': [[60, float('nan')]], 'point_labels': [1]}, 'NaN'),
        ({'mask_input': np.zeros((1, 64, 64))}, r'mask_input must have shape \(1, 32, 32\)'),
        ({'point_coords': [[6, 9]]}, 'points and labels must be given together'),
        ({'point_coords': [[[6, 9]], [[7, 7]]], 'point_labels': [[1]]}, 'the same number of objects'),
    ],
)
def test_bad_prompts_are_named(predictor, given, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(**given)


def test_a_trained_model_by_its_config(image, tmp_path):
    """Two bases with the same random weights: the checkpoint holds the core alone."""
    name = 'sam2_refiner/sam2-refiner_tiny_folder'
    torch.manual_seed(0)
    trained = MODELS.build(Config.fromfile(find_config(name)).model)
    trained.core.mr.head.bias.data.fill_(3)
    torch.save({'state_dict': trained.state_dict()}, tmp_path / 'core.pth')
    torch.manual_seed(0)
    loaded = SAM2RefinerPredictor.from_config(name, tmp_path / 'core.pth', 'cpu')
    answers = []
    for predictor in (SAM2RefinerPredictor(trained), loaded):
        predictor.set_image(image)
        answers.append(predictor.predict([[60, 40]], [1], return_logits=True).masks)
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-6)
    with pytest.raises(FileNotFoundError, match='core.pt does not exist'):
        SAM2RefinerPredictor.from_config(name, tmp_path / 'core.pt')


def test_bad_images_and_settings_are_named(model):
    predictor = SAM2RefinerPredictor(model)
    with pytest.raises(RuntimeError, match='call set_image first'):
        predictor.predict([[1, 1]], [1])
    with pytest.raises(TypeError, match='uint8'):
        predictor.set_image(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="'float16' needs a GPU"):
        SAM2RefinerPredictor(model, precision='float16')
    with pytest.raises(ValueError, match='precision must be one of'):
        SAM2RefinerPredictor(model, precision='int8')
