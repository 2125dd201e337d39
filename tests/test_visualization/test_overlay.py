"""Masks over frames, and videos of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmrefine.visualization.overlay import OverlayVideo, draw_overlay


def test_objects_have_the_colours_of_palette_files():
    """1 is VOC's red (128, 0, 0): two fifths of it on black; the outline is all of it; elsewhere nothing changes."""
    frame = np.zeros((20, 30, 3), np.uint8)
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 5:15, 5:15] = True
    drawn = draw_overlay(frame, mask, [1])
    assert drawn[10, 10].tolist() == [51, 0, 0]
    assert drawn[5, 10, 0] > 100
    assert not drawn[:3].any() and not frame.any()
    with pytest.raises(ValueError, match='size of the image'):
        draw_overlay(frame, mask[:, :10], [1])


def test_video_appears_when_it_is_complete(tmp_path):
    path = tmp_path / 'deep' / 'clip.mp4'
    with OverlayVideo(path, (49, 65), 10.0) as video:  # odd sides, which the format does not know
        for level in (0, 100, 200):
            video.add(np.full((49, 65, 3), (level, 0, 0), np.uint8))
        assert not path.exists()
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(3)]
    assert frames[0].shape == (48, 64, 3)
    # BGR: red is last; lossy colours.
    assert [abs(int(frame[20, 20, 2]) - level) < 20 for frame, level in zip(frames, (0, 100, 200), strict=True)]
    assert not capture.read()[0]


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    with pytest.raises(KeyError), OverlayVideo(tmp_path / 'clip.mp4', (48, 64), 10.0) as video:
        video.add(np.zeros((48, 64, 3), np.uint8))
        raise KeyError
    assert not list(tmp_path.iterdir())
