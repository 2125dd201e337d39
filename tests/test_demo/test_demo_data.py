"""What the demo's COCO files say is true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

skimage = pytest.importorskip('skimage', reason='the demo images come with scikit-image')

DEMO = Path(__file__).parents[2] / 'demo'
FILES = ('coarse_masks.json', 'ground_truth.json')


@pytest.fixture(scope='module')
def datasets() -> dict[str, dict]:
    return {name: json.loads((DEMO / name).read_text(encoding='utf-8')) for name in FILES}


@pytest.mark.parametrize('name', FILES)
def test_masks_agree_with_their_fields(name: str, datasets: dict[str, dict]) -> None:
    dataset = datasets[name]
    images = {image['id']: image for image in dataset['images']}
    categories = {category['id'] for category in dataset['categories']}
    ids = [annotation['id'] for annotation in dataset['annotations']]
    assert len(set(ids)) == len(ids)
    for annotation in dataset['annotations']:
        image = images[annotation['image_id']]
        mask = mask_utils.decode(annotation['segmentation'])
        assert mask.shape == (image['height'], image['width'])
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation['bbox'] == box
        assert annotation['area'] == mask.sum()
        assert annotation['category_id'] in categories
        assert annotation['origin']


def test_images_are_shipped_and_have_the_stated_size(datasets: dict[str, dict]) -> None:
    cv2 = pytest.importorskip('cv2')
    for image in datasets[FILES[0]]['images']:
        photo = cv2.imread(str(Path(skimage.__file__).parent / 'data' / image['file_name']))
        assert photo.shape == (image['height'], image['width'], 3)


def test_coarse_masks_have_the_stated_iou(datasets: dict[str, dict]) -> None:
    coarse_file, gt_file = (datasets[name] for name in FILES)
    assert gt_file['images'] == coarse_file['images']
    assert gt_file['categories'] == coarse_file['categories']
    coarse = {annotation['id']: annotation for annotation in coarse_file['annotations']}
    ious = []
    for gt in gt_file['annotations']:
        partner = coarse[gt['id']]
        assert [gt[key] for key in ('image_id', 'category_id', 'name')] == [
            partner[key] for key in ('image_id', 'category_id', 'name')
        ]
        ious.append(mask_utils.iou([partner['segmentation']], [gt['segmentation']], [0]).item())
    # Rough enough to gain from refinement, near enough to mean the same object; the table in demo/README.md.
    assert len(ious) == 11
    assert min(ious) > 0.6 and max(ious) < 0.95
    assert np.mean(ious) == pytest.approx(0.813, abs=0.0005)
