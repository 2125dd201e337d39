"""Coarse masks through SAM2Refiner: what every refiner promises, and that it is SAM2Refiner that answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrefine.models.backends import FeatureCache
from mmrefine.models.refiners import SAMRefiner
from mmrefine.models.sam2_refiner import SAM2RefinerBackend, SAM2RefinerPredictor
from mmrefine.structures import ObjectPrompt
from tests.helpers.refiner_contract import RefinerContract, photograph, rough_masks


@pytest.fixture
def refiner(model) -> SAMRefiner:
    return SAMRefiner(SAM2RefinerBackend(model), iters=1)


class TestContract(RefinerContract):
    """The tests of every refiner."""


def test_answers_are_those_of_the_predictor(model):
    backend = SAM2RefinerBackend(model)
    image = photograph()
    points, labels = np.array([[[50, 40], [0, 0]], [[60, 48], [5, 5]]]), np.array([[1, -1], [1, 0]])
    boxes = np.array([[20, 15, 100, 75], [28, 20, 90, 70]])
    logits, iou = backend.predict(backend.encode(image), points, labels, boxes)
    assert logits.shape == (2, 1, 128, 128) and iou.shape == (2, 1)
    predictor = SAM2RefinerPredictor(model)
    predictor.set_image(image)
    asked = [
        ObjectPrompt.of(points[0, :1], labels[0, :1], boxes[0]),  # a point that is none is left out
        ObjectPrompt.of(points[1], labels[1], boxes[1]),
    ]
    expected = predictor.predict_objects(asked, return_logits=True).masks
    upscaled = backend.upscale(backend.frame(image.shape[:2]), logits[:, 0])
    np.testing.assert_allclose(upscaled, expected, rtol=0, atol=1e-4)


def test_weights_of_a_training_are_loaded_as_they_are(make_model):
    trained, other = make_model(), make_model()
    other.core.mr.head.weight.data.neg_()
    refiner = SAMRefiner(SAM2RefinerBackend(other), iters=2)
    before = refiner.refine(photograph(), rough_masks())
    refiner.load_state_dict(trained.state_dict())
    after = refiner.refine(photograph(), rough_masks())
    assert (before.masks != after.masks).any()
    torch.testing.assert_close(refiner.backend.model.core.mr.head.weight, trained.core.mr.head.weight)


def test_cached_features_know_the_model(make_model, tmp_path):
    cache, image = FeatureCache(tmp_path), photograph()
    one, other = SAM2RefinerBackend(make_model()), SAM2RefinerBackend(make_model(tile_scale=0))
    features = cache.encode(one, image)
    again = cache.encode(one, image)
    assert len(list(tmp_path.glob('*.npz'))) == 1 and torch.equal(features.embedding, again.embedding)
    cache.encode(other, image)
    assert len(list(tmp_path.glob('*.npz'))) == 2
    prompts = {'boxes': np.array([[20, 15, 100, 75]])}
    # Through half precision: logits agree to about 1e-2.
    torch.testing.assert_close(
        one.predict(again, **prompts)[0], one.predict(one.encode(image), **prompts)[0], rtol=0, atol=0.05
    )
