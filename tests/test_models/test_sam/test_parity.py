"""SAMRefiner on the reference's tiny SAM against the numbers of the authors' code (B_*)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mmrefine.core.prompts import distance_fields
from mmrefine.models.refiners.sam_refiner import SAMRefiner
from tests.helpers.reference import FLIPPED_SHARE, LOGITS_ATOL, PROBABILITIES_ATOL, load
from tests.helpers.tiny_sam import trained_backend

FILES = ('B_samrefiner_public', 'B_samrefiner_public_single_margin')
CASES = [(file, name) for file in FILES for name in json.loads(str(load(file)['meta_json']))]
BATCH_WITH_MARGIN = 'n6_it3_margin02'
OPTIONS = {'iters': 'iters', 'margin': 'margin', 'add_neg': 'negative_point'}
OPTIONS |= {name: name for name in ('use_point', 'use_box', 'use_mask')}


@pytest.fixture(scope='module')
def backend():
    return trained_backend()


@pytest.fixture(scope='module')
def features(backend):
    return backend.encode(load(FILES[0])['image_rgb'])


def make_refiner(backend, features, meta: dict) -> SAMRefiner:
    options = {OPTIONS[name]: value for name, value in meta.items() if name in OPTIONS}
    refiner = SAMRefiner(backend, released_behaviour=True, **options)
    refiner.encode = lambda image: features
    return refiner


def unpack(array: np.ndarray) -> np.ndarray:
    return np.unpackbits(array, axis=-1, count=500) > 0


def test_embedding(features):
    expected = load(FILES[0])['image_embedding_ds'][0]
    np.testing.assert_allclose(features.embedding[:, ::4, ::4], expected, atol=1e-5)  # rounding of the fused kernel


@pytest.mark.parametrize('file, name', CASES)
def test_masks_and_predicted_iou(backend, features, file, name):
    data = load(file)
    meta = json.loads(str(data['meta_json']))[name]
    refiner = make_refiner(backend, features, meta)
    result = refiner.refine(data['image_rgb'], data['coarse_masks'][meta['idx']])
    expected = unpack(data[f'{name}_refined'])
    scores = data[f'{name}_iou'].max(axis=1)
    if name == BATCH_WITH_MARGIN:
        # There the last mask's expanded box weakens the prompts of all. Mask 0 alone is the case k0 of the other file.
        single = load(FILES[1])
        expected[0], scores[0] = unpack(single['k0_it3_margin02_refined'])[0], single['k0_it3_margin02_iou'].max()
    assert (result.masks != expected).mean(axis=(1, 2)).max() <= FLIPPED_SHARE
    np.testing.assert_allclose(result.scores, scores, atol=PROBABILITIES_ATOL)


@pytest.mark.parametrize('file, name', CASES)
def test_prompts_and_logits_of_every_round(backend, features, file, name):
    data = load(file)
    meta = json.loads(str(data['meta_json']))[name]
    refiner = make_refiner(backend, features, meta)
    stride = next(step for step in (8, 16) if f'{name}_lowres_ds{step}_per_iter' in data)
    for number, masks in enumerate(unpack(data[f'{name}_masks_in_per_iter'])):
        fields = distance_fields(masks, released_behaviour=True)
        prompts = refiner._prompts(features, fields)
        if 'points' in prompts:
            np.testing.assert_array_equal(prompts['points'], data[f'{name}_points_per_iter'][number])
        if 'boxes' in prompts:
            boxes = features.frame.boxes_to_input(prompts['boxes'])
            np.testing.assert_allclose(boxes, data[f'{name}_boxes1024_per_iter'][number], atol=1e-3)
        with torch.no_grad():
            logits, iou = backend.predict(features, **prompts)
        keep = slice(1, None) if name == BATCH_WITH_MARGIN else slice(None)  # mask 0: see above
        expected = data[f'{name}_lowres_ds{stride}_per_iter'][number]
        np.testing.assert_allclose(logits[keep, :, ::stride, ::stride], expected[keep], atol=LOGITS_ATOL)
        np.testing.assert_allclose(iou[keep], data[f'{name}_iou_per_iter'][number][keep], atol=PROBABILITIES_ATOL)
