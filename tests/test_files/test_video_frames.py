"""Frames of folders and video files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmrefine.files.video_frames import find_clips, match_frames, natural_order, open_frames


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
    with pytest.raises(ValueError, match='00004 is followed by 00012'):
        open_frames(folder)
    assert len(open_frames(folder, allow_gaps=True)) == 4
    assert len(open_frames(write_folder(tmp_path / 'every_fourth', ['00000.png', '00004.png', '00008.png']))) == 3


def test_frame_of_another_size(tmp_path):
    """The size is that of most frames, wherever the others are."""
    folder = write_folder(tmp_path / 'clip', ['0.png', '1.png', '2.png', '3.png'])
    Image.fromarray(frame(1, (50, 64))).save(folder / '0.png')
    (folder / '3.png').write_bytes(b'no image')
    frames = open_frames(folder)
    assert frames.size_hw == frames[2].shape[:2] == (48, 64)
    assert sorted(frames.unreadable) == [0, 3] and 'not a readable image' in frames.unreadable[3]
    with pytest.raises(ValueError, match=r'frame 0 of .* is 50x64 \(HxW\) but most are 48x64'):
        frames[0]
    part = frames.select([1, 2])
    assert part.names == ['1', '2'] and [brightness(image) for image in part] == [1, 2]


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


@pytest.mark.parametrize(
    'stems',
    [
        ['f1_cam0', 'f2_cam0', 'f10_cam0'],
        ['t1_0.5', 't1_1.0', 't1_1.5', 't2_0.5', 't10_0.25'],
        ['1305031102.175304', '1305031102.211214', '1305031103.043227', '1305031110.000001'],
        ['t0.25', 't0.5', 't0.75', 't1.0', 't1.25'],  # decimals of different lengths
        ['s2.8', 's2.9', 's2.10', 's2.11'],  # counted behind the point
        ['v1.9_2', 'v1.9_10', 'v1.10_1'],
        ['a2b3', 'a2b20', 'a10b3', 'b1'],
        ['8', '09', '10', '0011'],
        ['1403636579763555584', '1403636579813555456', '1403636579863555584'],
        ['frame', 'frame2', 'frame10'],
        ['2024-01-09_0001', '2024-01-10_0001', '2024-02-01_0001'],
    ],
    ids=lambda stems: stems[0],
)
def test_natural_order_over_all_numbers(tmp_path, stems):
    assert natural_order(reversed(stems)) == natural_order(sorted(stems)) == stems
    frames = open_frames(write_folder(tmp_path / 'clip', [f'{stem}.png' for stem in stems]))
    assert frames.names == stems and [brightness(image) for image in frames] == list(range(len(stems)))


def test_hidden_files_are_no_frames(tmp_path):
    folder = write_folder(tmp_path / 'clip', ['0.png', '1.png'])
    for name in ('._0.png', '.2.png'):
        (folder / name).write_bytes(b'rubbish')
    assert open_frames(folder).names == ['0', '1'] and list(find_clips(tmp_path)) == ['clip']


def test_a_frame_that_is_there_twice(tmp_path):
    folder = write_folder(tmp_path / 'clip', ['0.png', '1.png', '1.jpg'])
    frames = open_frames(folder)
    assert brightness(frames[0]) == 0
    with pytest.raises(ValueError, match=r'1.jpg and .*1.png are the same frame'):
        frames[1]


@pytest.mark.parametrize('suffix', ['avi', 'mp4'])
def test_a_video_file_that_is_cut_short(tmp_path, suffix):
    """It says how many frames it has; what can be decoded of it is taken only on demand."""
    rng = np.random.default_rng(0)
    path = tmp_path / f'clip.{suffix}'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*('MJPG' if suffix == 'avi' else 'mp4v')), 12.0, (64, 48)
    )
    for _ in range(8):
        writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    assert len(open_frames(path)) == 8
    data = path.read_bytes()
    if suffix == 'mp4':  # the table of contents, at the end, says where frames are
        data = data[:48] + bytes(len(data[48:]) // 2) + data[48 + len(data[48:]) // 2 :]
        path.write_bytes(data)
        with pytest.raises(ValueError, match='decoded'):
            [frame for frame in open_frames(path)]
        return
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match='clip.avi declares 8 frames but only [1-6] can be decoded; .*truncated'):
        open_frames(path)
    assert 0 < len(open_frames(path, allow_gaps=True)) < 8


def test_masks_belong_to_frames_by_name_or_numbers():
    def match(files, names):
        found, unusable = match_frames([Path(name) for name in files], names, 'clip')
        return {index: path.name for index, path in found.items()} | {
            reason.split()[0]: frame for frame, _, reason in unusable
        }

    assert match(['b.png', 'a.png'], ['a', 'b', 'c']) == {0: 'a.png', 1: 'b.png'}
    assert match(['m_2_0.png'], ['f1_cam0', 'f2_cam0', 'f10_cam0']) == {1: 'm_2_0.png'}
    assert match(['mask2_00010.png', 'mask2_00002.png'], ['v7_2', 'v7_10']) == {
        0: 'mask2_00002.png',
        1: 'mask2_00010.png',
    }
    assert match(['gro\u0308sse.png'], ['a', 'gr\xf6sse']) == {1: 'gro\u0308sse.png'}
    assert match(['anything.png'], ['x', 'y']) == {0: 'anything.png'}
    assert match(['anything.png', 'y.png'], ['x', 'y']) == {1: 'y.png', 'anything.png': None}
    with pytest.raises(ValueError, match='2 masks without a frame of clip: p.png, q.png'):
        match(['p.png', 'q.png'], ['x', 'y'])
    assert match(['x_1.png', 'x_2.png', 'y_1.png'], ['f1', 'f2']) == {1: 'x_2.png', 'x_1.png': 0}
    with pytest.raises(ValueError, match='x_1.png and y_1.png both belong to frame f1 of clip; put the objects'):
        match(['x_1.png', 'y_1.png'], ['f1', 'f2'])


def test_a_pipe_is_no_video(tmp_path):
    os.mkfifo(tmp_path / 'clip.mp4')
    [(name, path)] = find_clips(tmp_path / 'clip.mp4').items()
    assert name == 'clip'
    with pytest.raises(ValueError, match='clip.mp4 is a pipe or a device; expected a file'):
        open_frames(path)
