"""Pictures during validation, in files and in TensorBoard's way in; and what they show."""

from __future__ import annotations

import colorsys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmrefine.engine import RefineVisualizationHook
from mmrefine.registry import VISUALIZERS
from mmrefine.structures import RefineDataSample
from mmrefine.visualization import draw_refinement
from mmrefine.visualization.side_by_side import _colour


def sample_of(path=None):
    coarse = np.zeros((2, 40, 60), bool)
    coarse[0, 5:20, 5:20] = coarse[1, 10:30, 30:50] = True
    sample = RefineDataSample(metainfo={} if path is None else {'img_path': str(path)})
    sample.coarse_masks, sample.refined_masks, sample.gt_masks = coarse, np.roll(coarse, 2, axis=2), coarse
    return sample


def test_the_hook_writes_pictures_through_the_visualizer(tmp_path, rng):
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / 'a.png')
    visualizer = VISUALIZERS.build(
        dict(
            type='mmrefine.Visualizer',
            name='pictures',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
        )
    )
    runner = SimpleNamespace(visualizer=visualizer, iter=7)
    hook = RefineVisualizationHook(interval=2, num_pictures=2)
    for batch in range(9):
        hook.after_val_iter(runner, batch, {}, [sample_of(tmp_path / 'a.png')])
    pictures = sorted((tmp_path / 'vis_data/vis_image').iterdir())
    assert [path.name for path in pictures] == ['val_0_7.png', 'val_1_7.png']
    with Image.open(pictures[0]) as picture:
        assert picture.width > 4 * 640  # photo, coarse, refined, ground truth
    with pytest.raises(ValueError, match='img_path'):
        hook.after_val_iter(runner, 0, {}, [sample_of()])


def test_colours_of_masks_are_neither_green_nor_red():
    hues = [colorsys.rgb_to_hsv(*(channel / 255 for channel in _colour(index)))[0] for index in range(200)]
    assert all(0.07 < hue < 0.18 or 0.47 < hue < 0.91 for hue in hues)
    assert len({round(hue, 2) for hue in hues}) > 40


def test_rejected_proposals_are_shown_with_their_reason():
    image, masks = np.full((40, 60, 3), 90, np.uint8), sample_of().coarse_masks
    plain = draw_refinement(image, masks, masks)
    shown = draw_refinement(image, masks, masks, rejected_masks=masks[:, ::-1], notes=['cat kept: overlap'])
    white = [(drawn[-430:, 1304:1944] >= 200).all(axis=2).sum() for drawn in (plain, shown)]
    assert white[1] > white[0] + 500
    assert shown.shape[0] > plain.shape[0]


def test_small_masks_fill_the_panel_and_large_ones_stay():
    image = np.full((400, 600, 3), 40, np.uint8)
    image[100:110, 200:210] = 200
    mask = np.zeros((1, 400, 600), bool)
    mask[0, 95:115, 195:215] = True
    photos = [draw_refinement(image, mask, mask, crop=crop)[-400:, 8:648] for crop in (False, True)]
    bright = [((photo > 150) & (photo < 250)).all(axis=2).sum() for photo in photos]
    assert bright[1] > 20 * bright[0] > 0
    large = np.ones((1, 400, 600), bool)
    assert np.array_equal(draw_refinement(image, large, large), draw_refinement(image, large, large, crop=True))
