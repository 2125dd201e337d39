"""Frames of folders and video files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmrefine.files.video_frames import find_clips, open_frames


def frame(index: int, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A frame whose brightness is its number."""
    return np.full((*size_hw, 3), 8 * index, np.uint8)


def write_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        Image.fromarray(frame(index)).save(folder / name)
    return folder


def write_video(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 12.0, (64, 48))
    for index in range(count):
        writer.write(frame(index))
    writer.release()
    return path


def brightness(image: np.ndarray) -> int:
    """Which frame it is; compression moves grey levels by less than half a step."""
    return round(float(image.mean()) / 8)


def test_folder_is_in_the_order_of_numbers(tmp_path):
    names = [f'img_{index}.png' for index in range(12)]
    frames = open_frames(write_folder(tmp_path / 'clip', names))
    assert frames.names == [name[:-4] for name in names]  # 10 and 11 last, not after 1
    assert [brightness(image) for image in frames] == list(range(12))
    assert (len(frames), frames.size_hw, frames[-1].shape) == (12, (48, 64), (48, 64, 3))
    with pytest.raises(IndexError, match='12 frames'):
        frames[12]


def test_few_frames_are_held(tmp_path):
    frames = open_frames(write_folder(tmp_path / 'clip', [f'{index:03d}.png' for index in range(30)]))
    assert [brightness(frames[index]) for index in (29, 3, 29)] == [29, 3, 29]
    for _ in frames:
        pass
    assert len(frames._recent) <= 16


def test_video_file_reads_forwards_backwards_and_at_random(tmp_path):
    frames = open_frames(write_video(tmp_path / 'clip.mp4', 30))
    assert (len(frames), frames.size_hw, frames.fps) == (30, (48, 64), 12)
    assert frames.names[:2] == ['00000', '00001']
    order = [*range(30), *range(29, -1, -1), 17, 3, 28]
    assert [brightness(frames[index]) for index in order] == order


def test_missing_frames(tmp_path):
    folder = write_folder(tmp_path / 'clip', ['00000.png', '00004.png', '00012.png', '00016.png'])
    with pytest.raises(ValueError, match='after 00004 comes 00012'):
        open_frames(folder)
    assert len(open_frames(folder, allow_gaps=True)) == 4
    assert len(open_frames(write_folder(tmp_path / 'every_fourth', ['00000.png', '00004.png', '00008.png']))) == 3


def test_frame_of_another_size(tmp_path):
    folder = write_folder(tmp_path / 'clip', ['0.png', '1.png', '2.png'])
    Image.fromarray(frame(1, (50, 64))).save(folder / '1.png')
    frames = open_frames(folder)
    assert frames[2].shape == (48, 64, 3)
    with pytest.raises(ValueError, match=r'frame 1 of .* is 50x64 \(HxW\) but the first 48x64'):
        frames[1]


def test_what_cannot_be_read(tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video at all')
    (tmp_path / 'empty').mkdir()
    for path, error, message in (
        ('absent', FileNotFoundError, 'does not exist'),
        ('empty', ValueError, 'no frame in'),
        ('broken.mp4', ValueError, 'cannot be decoded'),
    ):
        with pytest.raises(error, match=message):
            open_frames(tmp_path / path)


def test_clips_are_found_by_name(tmp_path):
    write_folder(tmp_path / 'JPEGImages' / '480p' / 'libby', ['00000.png'])
    write_folder(tmp_path / 'JPEGImages' / '480p' / 'v1.5', ['00000.png'])
    write_video(tmp_path / 'JPEGImages' / 'walk.mp4', 2)
    assert list(find_clips(tmp_path / 'JPEGImages')) == ['480p/libby', '480p/v1.5', 'walk']
    assert list(find_clips(tmp_path / 'JPEGImages' / '480p' / 'libby')) == ['libby']
    assert list(find_clips(tmp_path / 'JPEGImages' / 'walk.mp4')) == ['walk']
    (tmp_path / 'nothing').mkdir()
    with pytest.raises(ValueError, match='no clip'):
        find_clips(tmp_path / 'nothing')
    with pytest.raises(FileNotFoundError, match='do not exist'):
        find_clips(tmp_path / 'absent')
