"""Mask AP and boundary AP by COCO's and LVIS's protocols, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmrefine.core.rle import encode_rle
from mmrefine.evaluation import MaskAPMetric, mask_ap

SIZE = (100, 100)


def square(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


@pytest.fixture
def annotations(tmp_path):
    """Two images of one square each; the first is not exhaustively annotated for class 2, the second has none of it."""
    common = {'neg_category_ids': [], 'height': 100, 'width': 100}
    images = [
        {**common, 'id': 1, 'file_name': '1.jpg', 'not_exhaustive_category_ids': [2]},
        {**common, 'id': 2, 'file_name': '2.jpg', 'not_exhaustive_category_ids': []},
    ]
    mask = square(10, 10, 70, 70)
    annotations = [
        {
            'id': number,
            'image_id': number,
            'category_id': category,
            'segmentation': encode_rle(mask),
            'area': int(mask.sum()),
            'bbox': [10, 10, 60, 60],
            'iscrowd': 0,
        }
        for number, category in ((1, 1), (2, 1), (3, 2))
    ]
    annotations[2]['image_id'] = 1
    categories = [{'id': number, 'name': str(number), 'frequency': 'f'} for number in (1, 2)]
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return path


def result(image: int, category: int, mask: np.ndarray, score: float) -> dict:
    return {'image_id': image, 'category_id': category, 'segmentation': encode_rle(mask), 'score': score}


@pytest.mark.parametrize('federated', [False, True])
def test_exact_masks_have_an_ap_of_1(annotations, federated):
    if federated:
        pytest.importorskip('lvis')
    exact = [result(image, category, square(10, 10, 70, 70), 0.9) for image, category in ((1, 1), (2, 1), (1, 2))]
    values = mask_ap(annotations, exact, federated=federated)
    assert set(values) == {f'{side}_{name}' for side in ('mask', 'boundary') for name in ('AP', 'AP50', 'AP75')}
    assert all(value == pytest.approx(1, abs=1e-6) for value in values.values())


@pytest.mark.parametrize('federated', [False, True])
def test_boundary_ap_falls_where_mask_ap_does_not(annotations, federated):
    """Squares 3 px too large on each side: IoU (60 / 66)^2 = 0.83, bands of 3 px that do not meet at all."""
    if federated:
        pytest.importorskip('lvis')
    grown = [result(image, category, square(7, 7, 73, 73), 0.9) for image, category in ((1, 1), (2, 1), (1, 2))]
    values = mask_ap(annotations, grown, federated=federated)
    assert values['mask_AP75'] == pytest.approx(1, abs=1e-6) and values['boundary_AP50'] == 0


def test_lvis_forgives_what_was_not_annotated(annotations):
    """A second mask of class 2 on the image that is not exhaustive, and one where nobody looked for the class."""
    pytest.importorskip('lvis')
    exact = [result(image, category, square(10, 10, 70, 70), 0.5) for image, category in ((1, 1), (2, 1), (1, 2))]
    others = [result(1, 2, square(80, 80, 99, 99), 0.9), result(2, 2, square(80, 80, 99, 99), 0.9)]
    assert mask_ap(annotations, exact + others, federated=True, boundary=False)['mask_AP'] == pytest.approx(1, abs=1e-6)
    assert mask_ap(annotations, exact + others, boundary=False)['mask_AP'] < 0.9


def test_results_are_left_as_they_are(annotations):
    results = [result(1, 1, square(10, 10, 70, 70), 0.9)]
    before = json.dumps(results)
    mask_ap(annotations, results)
    assert json.dumps(results) == before
    assert mask_ap(annotations, [], boundary=False) == {'mask_AP': 0, 'mask_AP50': 0, 'mask_AP75': 0}


def test_metric_reads_predictions(annotations):
    torch = pytest.importorskip('torch')
    metric = MaskAPMetric(annotations, category_ids=[1, 2])
    for image, labels in ((1, [0, 1]), (2, [0])):
        masks = torch.from_numpy(np.stack([square(10, 10, 70, 70)] * len(labels)))
        instances = {'masks': masks, 'labels': torch.tensor(labels), 'scores': torch.full((len(labels),), 0.9)}
        metric.process(None, [{'img_id': image, 'pred_instances': instances}])
    values = metric.evaluate(2)
    assert values['ap/mask_AP'] == values['ap/boundary_AP'] == pytest.approx(1, abs=1e-6)
