"""The demo's COCO files: what they say is true, and the script beside them writes exactly them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

pytest.importorskip('skimage', reason='the demo photographs come with scikit-image')

from demo import make_demo_masks  # noqa: E402

DEMO = Path(__file__).parents[2] / 'demo'
FILES = ('coarse_masks.json', 'ground_truth.json')


@pytest.fixture(scope='module')
def datasets() -> dict[str, dict]:
    return {name: json.loads((DEMO / name).read_text(encoding='utf-8')) for name in FILES}


def test_script_writes_the_stored_files(tmp_path: Path, datasets: dict[str, dict]) -> None:
    script = [sys.executable, str(DEMO / 'make_demo_masks.py'), '--out', str(tmp_path / 'new')]
    subprocess.run(script, check=True, cwd=tmp_path, capture_output=True)
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == sorted(FILES)
    for name in FILES:
        assert json.loads((tmp_path / 'new' / name).read_text(encoding='utf-8')) == datasets[name]


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
        assert annotation['origin'] in make_demo_masks.ORIGINS.values()


def test_photographs_are_shipped_and_have_the_stated_size(datasets: dict[str, dict]) -> None:
    cv2 = pytest.importorskip('cv2')
    for image in datasets[FILES[0]]['images']:
        photo = cv2.imread(str(make_demo_masks.photo_folder() / image['file_name']))
        assert photo.shape == (image['height'], image['width'], 3)


def test_truth_belongs_to_a_coarse_mask_of_the_stated_quality(datasets: dict[str, dict]) -> None:
    coarse_file, truth_file = (datasets[name] for name in FILES)
    assert truth_file['images'] == coarse_file['images']
    assert truth_file['categories'] == coarse_file['categories']
    coarse = {annotation['id']: annotation for annotation in coarse_file['annotations']}
    ious = []
    for truth in truth_file['annotations']:
        partner = coarse[truth['id']]
        assert [truth[key] for key in ('image_id', 'category_id', 'name')] == [
            partner[key] for key in ('image_id', 'category_id', 'name')
        ]
        ious.append(mask_utils.iou([partner['segmentation']], [truth['segmentation']], [0]).item())
    # Rough enough to gain from refinement, near enough to mean the same object; the table in demo/README.md.
    assert len(ious) == 11
    assert min(ious) > 0.6 and max(ious) < 0.95
    assert np.mean(ious) == pytest.approx(0.813, abs=0.0005)


def test_coarse_polygons_are_quick() -> None:
    assert all(6 <= len(drawing.coarse.split()) <= 14 for drawing in make_demo_masks.DRAWINGS)


def test_polygon_points_are_pixel_centres() -> None:
    mask = make_demo_masks.polygons_to_mask(('0.5,0.5 3.5,0.5 3.5,2.5 0.5,2.5', '4.5,3.5 6,3.5 6,6 4.5,6'), 5, 6)
    expected = np.zeros((5, 6), bool)
    expected[1:3, 1:4] = True
    expected[4, 5] = True  # the second polygon reaches over the border
    np.testing.assert_array_equal(mask, expected)


def test_unmeasured_pixels_take_the_farther_side() -> None:
    gap = np.inf
    disparity = np.array([[gap, 2, gap, gap, 9, gap], [7, gap, gap, 3, gap, 5]])
    expected = [[2, 2, 2, 2, 9, 9], [7, 3, 3, 3, 3, 5]]
    np.testing.assert_array_equal(make_demo_masks.fill_from_far_side(disparity), expected)


def test_motorcycle_is_what_stands_on_the_floor_before_the_wall() -> None:
    y, x = np.mgrid[:500, :741].astype(float)
    bend = 0.3 * ((x - 370) / 370) ** 2
    floor = 0.1785 * y - 0.0033 * x - 30.8 + bend
    disparity = np.where(y < 285, 20, floor)
    disparity[420:425, 100:105] += 5  # a pebble: nearer than the floor, but not the largest thing on it
    disparity[200:400, 250:350] = 50
    disparity[200:400, 230:250] = np.inf  # seen by one camera only
    disparity[300:310, 300:310] = np.inf  # shiny
    disparity[260:270, 300:310] = 20  # a gap that shows the wall
    expected = np.zeros((500, 741), bool)
    expected[200:400, 250:350] = True
    expected[260:270, 300:310] = False
    by_hand = make_demo_masks.polygons_to_mask(make_demo_masks.BIKE_BY_HAND, 500, 741)
    by_hand |= make_demo_masks.polygons_to_mask(make_demo_masks.FLOOR_BY_HAND, 500, 741)
    mask = make_demo_masks.motorcycle_mask(disparity)
    np.testing.assert_array_equal(mask[~by_hand], expected[~by_hand])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'masks.json'
    make_demo_masks.write_json(path, {'kept': 1})
    with pytest.raises(TypeError):
        make_demo_masks.write_json(path, {'bad': object()})
    assert json.loads(path.read_text()) == {'kept': 1}
    assert list(tmp_path.iterdir()) == [path]
