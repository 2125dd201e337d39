"""A random choice between pipelines that follows the sample's own draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from mmcv.transforms import BaseTransform

from mmrefine.datasets.transforms import OneOf
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class _Mark(BaseTransform):
    def __init__(self, name: str):
        self.name = name

    def transform(self, results: dict) -> dict:
        return {**results, 'mark': results.get('mark', '') + self.name}


PIPELINES = [[{'type': '_Mark', 'name': 'a'}], [{'type': '_Mark', 'name': 'b'}, {'type': '_Mark', 'name': 'c'}]]


def draw(transform: OneOf, seed: int) -> str:
    return transform({'rng': np.random.default_rng(seed)})['mark']


def test_pipelines_run_whole_and_as_often_as_their_weights_say():
    counts = Counter(draw(OneOf(PIPELINES, weights=[3, 1]), seed) for seed in range(400))
    assert set(counts) == {'a', 'bc'}
    assert 0.68 < counts['a'] / 400 < 0.82


def test_choice_follows_the_sample():
    transform = OneOf(PIPELINES)
    assert [draw(transform, seed) for seed in range(20)] == [draw(transform, seed) for seed in range(20)]


@pytest.mark.parametrize('weights', [[1], [1, -1], [0, 0], [float('nan'), 1]])
def test_weights_must_fit(weights):
    with pytest.raises(ValueError, match='OneOf needs a weight for each of 2 pipelines'):
        OneOf(PIPELINES, weights)
