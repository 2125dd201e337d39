"""LVIS annotations of COCO's classes, against the published conversion (I_*)."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from mmrefine.core.coco_lvis import COCO_SYNSETS, lvis_to_coco

REFERENCE = Path(__file__).parents[1] / 'data' / 'I_lvis2coco_s0.json'


def test_conversion():
    reference = json.loads(REFERENCE.read_text())
    lvis = copy.deepcopy(reference['lvis'])
    assert lvis_to_coco(lvis, [image['id'] for image in reference['coco_val']['images']]) == reference['output']
    assert lvis == reference['lvis']


def test_every_class_of_coco_has_a_synset_of_its_own():
    assert len(COCO_SYNSETS) == len(set(COCO_SYNSETS.values())) == 80
    assert list(COCO_SYNSETS) == sorted(COCO_SYNSETS) and max(COCO_SYNSETS) == 90


def test_coco_annotations_are_refused():
    with pytest.raises(ValueError, match='synset'):
        lvis_to_coco({'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'person'}]}, [])
