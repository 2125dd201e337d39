"""Masks of clips in PNG and JSON files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrefine.core.rle import encode_rle
from mmrefine.jobs.formats import ClipFormat, open_clips
from tests.helpers.clips import write_maps

SIZE_HW = (20, 30)


def labels(*boxes: tuple[int, int]) -> np.ndarray:
    """A map with (label, left column) as squares of 5."""
    made = np.zeros(SIZE_HW, np.uint8)
    for label, left in boxes:
        made[5:10, left : left + 5] = label
    return made


def write_frames(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8)).save(folder / f'{index:05d}.jpg')
    return folder


def positions(source: ClipFormat, clip: int = 0) -> tuple[list[int], list[list[int | None]]]:
    """Object ids, and for each frame the left column of each object: None where nothing is said, -1 where it is not."""
    frames, masks = source.open(source.tasks[clip])
    rows = [masks.load(index) for index in range(len(frames))]

    def position(mask: np.ndarray | None) -> int | None:
        return None if mask is None else int(np.argmax(mask.any(axis=0))) if mask.any() else -1

    return masks.object_ids, [[position(mask) for mask in row] for row in rows]


def test_maps_on_all_frames(tmp_path):
    """A label that a frame lacks is an object that is not there; 255 is void."""
    maps = {'00000': labels((2, 1), (7, 20)), '00001': labels((7, 21), (255, 1)), '00002': labels((2, 3))}
    source = open_clips(write_maps(tmp_path / 'masks' / 'a', maps), write_frames(tmp_path / 'a'))
    assert [clip.name for clip in source.tasks] == ['a']
    assert positions(source) == ([2, 7], [[1, 20], [-1, 21], [3, -1]])


def test_prompts_on_first_frames(tmp_path):
    """YouTube-VOS: every object's first frame only; nothing is said of others on it."""
    maps = {'00000': labels((1, 1)), '00002': labels((2, 9))}
    source = open_clips(write_maps(tmp_path / 'masks', maps), write_frames(tmp_path / 'a'))
    assert positions(source) == ([1, 2], [[1, None], [None, None], [None, 9]])


def test_single_file_is_the_first_frame(tmp_path):
    write_maps(tmp_path, {'anything': labels((255, 4))}, palette=False)
    source = open_clips(tmp_path / 'anything.png', write_frames(tmp_path / 'a'))
    assert positions(source) == ([1], [[4], [None], [None]])


def test_binary_masks_every_other_frame(tmp_path):
    maps = {'00000': labels((255, 1)), '00002': labels((255, 3))}
    source = open_clips(write_maps(tmp_path / 'masks', maps, palette=False), write_frames(tmp_path / 'a'))
    assert positions(source) == ([1], [[1], [None], [3]])


@pytest.mark.parametrize('white', [254, 250, 255])
def test_smoothed_edges_are_no_objects(tmp_path, white):
    """Masks of one object by the rule of image masks: soft edges, and a file whose white is another."""
    soft = labels((white, 9))
    soft[4:11, 8:15][soft[4:11, 8:15] == 0] = np.arange(24) * 5  # around the object, all below one half
    soft[5, 9:14] = 128, 150, 170, 200, 240
    maps = {'00000': labels((255, 9)), '00001': soft, '00002': labels((254, 9))}
    source = open_clips(write_maps(tmp_path / 'masks', maps, palette=False), write_frames(tmp_path / 'a'))
    assert positions(source) == ([1], [[9], [9], [9]])
    _, masks = source.open(source.tasks[0])
    assert [masks.load(index)[0].sum() for index in range(3)] == [masks.load(0)[0].sum()] * 3


@pytest.mark.parametrize(
    ('others', 'void'), [((1, 2), 255), ((3, 90), 255), ((1, 2), 0), ((1, 200), 0), ((1, 128), 0), ((3, 90), 0)]
)
def test_labels_are_objects_whatever_their_numbers(tmp_path, others, void):
    maps = {'00000': labels((others[0], 1), (others[1], 20)), '00001': labels((others[0], 4)), '00002': labels()}
    for values in maps.values():
        values[0, 0] = void
    source = open_clips(write_maps(tmp_path / 'masks', maps, palette=False), write_frames(tmp_path / 'a'))
    assert positions(source)[0] == list(others)


def test_clips_are_matched_by_name(tmp_path):
    for name in ('a', 'b'):
        write_frames(tmp_path / 'JPEGImages' / '480p' / name)
        write_maps(tmp_path / 'results' / name, {'00000': labels((1, 5 if name == 'b' else 0))})
    write_maps(tmp_path / 'results' / 'c', {'00000': labels((1, 1))})
    source = open_clips(tmp_path / 'results', tmp_path / 'JPEGImages')
    assert [clip.name for clip in source.tasks] == ['a', 'b', 'c']
    assert positions(source, 1)[1][0] == [5]
    with pytest.raises(FileNotFoundError, match='clip c has masks .* but no frames'):
        source.open(source.tasks[2])


def youtube_vis(segmentations: list[list]) -> dict:
    names = [f'a/{index:05d}.jpg' for index in range(3)]
    video = {'id': 5, 'file_names': names, 'length': 3, 'height': SIZE_HW[0], 'width': SIZE_HW[1]}
    annotations = [
        {'id': 10 + k, 'video_id': 5, 'category_id': 3, 'segmentations': row} for k, row in enumerate(segmentations)
    ]
    return {'videos': [video], 'categories': [{'id': 3, 'name': 'cat'}], 'annotations': annotations}


def rle(left: int) -> dict:
    return encode_rle(labels((1, left)) > 0)


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def test_youtube_vis(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    polygon = [[4, 5, 9, 5, 9, 10, 4, 10]]
    content = youtube_vis([[rle(1), None, rle(3)], [None, polygon, rle(8)]])
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    assert positions(source) == ([1, 2], [[1, -1], [-1, 4], [3, 8]])
    results = write_json(tmp_path / 'results.json', content['annotations'])
    assert positions(open_clips(results, tmp_path / 'frames', videos=tmp_path / 'a.json'))[1] == positions(source)[1]


def test_youtube_vis_prompts(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    path = write_json(tmp_path / 'a.json', youtube_vis([[rle(1), None, None], [None, rle(4), None]]))
    assert positions(open_clips(path, tmp_path / 'frames'))[1] == [[1, None], [None, 4], [None, None]]


def test_coco_with_videos(tmp_path):
    """Images in whatever order; annotations of a frame each, joined by instance."""
    write_frames(tmp_path / 'frames' / 'a')
    images = [{'id': 30 + k, 'video_id': 5, 'frame_id': k, 'file_name': f'a/{k:05d}.jpg'} for k in (2, 0, 1)]
    annotations = [
        {'id': k, 'image_id': 30 + frame, 'instance_id': instance, 'category_id': 1, 'segmentation': rle(left)}
        for k, (frame, instance, left) in enumerate([(0, 77, 1), (1, 77, 2), (2, 78, 9)])
    ]
    content = {'videos': [{'id': 5, 'name': 'a'}], 'images': images, 'annotations': annotations}
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    assert positions(source) == ([1, 2], [[1, -1], [2, -1], [-1, 9]])


def test_masks_that_do_not_fit(tmp_path):
    frames = write_frames(tmp_path / 'a')
    cases = {
        'empty': ({'00000': labels()}, 'are empty: there is only background'),
        'small': ({'00000': labels((1, 2))[:10]}, r'is 10x30 \(HxW\) but the image is 20x30'),
        'lost': ({'00008': labels((1, 2)), '00009': labels((1, 2))}, '2 masks without a frame'),
    }
    for name, (maps, message) in cases.items():
        source = open_clips(write_maps(tmp_path / name, maps), frames)
        with pytest.raises(ValueError, match=message):
            positions(source)


def test_a_png_file_that_cannot_be_used_fails_alone(tmp_path):
    maps = {'00000': labels((1, 2)), '00001': labels((1, 3))[:10], '00002': labels((1, 4)), '00009': labels((1, 5))}
    (write_maps(tmp_path / 'masks', maps) / '00003.png').write_bytes(b'no image')
    source = open_clips(tmp_path / 'masks', write_frames(tmp_path / 'a', 4))
    assert positions(source) == ([1], [[2], [None], [4], [None]])
    _, masks = source.open(source.tasks[0])
    assert [(frame, row) for frame, row, _ in masks.unusable] == [(None, None), (1, None), (3, None)]
    for (*_, reason), text in zip(masks.unusable, ('00009.png belongs to no', '10x30', '00003.png is no'), strict=True):
        assert text in reason


def test_an_object_that_cannot_be_used_fails_alone(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    content = youtube_vis([[rle(1), None, rle(3)], *[[rle(2), None, rle(8)]] * 5])
    bad = content['annotations']
    del bad[1]['segmentations']
    bad[2]['segmentations'] = [rle(2)]
    bad[3]['segmentations'] = 'x'
    bad[4]['category_id'] = [3]
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    _, masks = source.open(source.tasks[0])
    assert positions(source) == ([1, 2, 3, 4, 5, 6], [[1, *[-1] * 4, 2], [-1] * 6, [3, *[-1] * 4, 8]])
    assert [(frame, row) for frame, row, _ in masks.unusable] == [(None, 1), (None, 2), (None, 3), (None, 4)]
    assert 'must be a list of 3, null where it is not visible, got 1 of them' in masks.unusable[1][-1]


def test_records_of_no_video_are_a_task_that_fails(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    content = youtube_vis([[rle(1), None, rle(3)]] * 2)
    content['annotations'][1:1] = [None, 5, {}, *({'video_id': bad} for bad in (6, None, [5], True, float('nan')))]
    content['videos'] += [None, {}, {'id': []}, {'id': 9}, {'id': 8, 'file_names': [None]}]
    content['annotations'] += [{**content['annotations'][0], 'video_id': video_id} for video_id in (9, 8)]
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    assert positions(source)[0] == [1, 2]
    names = ['a', 'video_9', 'video_8', 'records of a.json']
    assert [task.name for task in source.tasks] == names
    for task, text in zip(
        source.tasks, ('', 'got None', 'got null', r'annotation 1 .* got None. \(and 7 more\)'), strict=True
    ):
        assert re.search(text, task.problem) and bool(task.problem) == bool(text)


def test_images_of_videos_that_cannot_be_used(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    images = [{'id': 30 + k, 'video_id': 5, 'frame_id': k, 'file_name': f'a/{k:05d}.jpg'} for k in range(3)]
    masks = [(30, 7), (31, 7), (30, 7), (99, 7), (31, None), (40, 7)]
    annotations = [{'image_id': image, 'instance_id': track, 'segmentation': rle(1)} for image, track in masks]
    stranger = {'id': 40, 'video_id': 6, 'frame_id': 0, 'file_name': 'x.jpg'}
    content = {'videos': [{'id': 5}], 'images': [None, {}, {'id': [1]}, stranger, *images]}
    content['annotations'] = [*annotations, None]
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    assert positions(source) == ([1], [[1], [1], [-1]])
    assert [task.name for task in source.tasks] == ['a', 'records of a.json']
    assert 'annotation 2 is the second of object 7 on image 30. (and 4 more)' in source.tasks[1].problem


def test_refined_records_keep_the_order_of_the_file(tmp_path):
    for name in 'ab':
        write_frames(tmp_path / 'frames' / name)
    content = youtube_vis([[rle(k), None, rle(k)] for k in range(1, 5)])
    names = [name.replace('a/', 'b/') for name in content['videos'][0]['file_names']]
    content['videos'].append({**content['videos'][0], 'id': 6, 'file_names': names})
    for record, video_id in zip(content['annotations'], (5, 6, 5, 6), strict=True):
        record['video_id'] = video_id
    source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
    assert [source.objects(task) for task in source.tasks] == [[0, 2], [1, 3]]


def test_files_that_do_not_fit(tmp_path):
    write_frames(tmp_path / 'frames' / 'a')
    (tmp_path / 'none').mkdir()
    (tmp_path / 'cut.json').write_text('{"videos": [', encoding='utf-8')
    write_json(tmp_path / 'list.json', [])
    short = youtube_vis([[rle(1)]])
    write_json(tmp_path / 'unknown.json', short | {'annotations': [{'video_id': 6, 'segmentations': []}]})
    empty = youtube_vis([[None, None, None]])
    for name, error, message in (
        ('absent', FileNotFoundError, 'do not exist'),
        ('none', ValueError, 'contains no masks'),
        ('cut.json', ValueError, 'not valid JSON'),
        ('list.json', ValueError, 'no list "videos"'),
        ('unknown.json', ValueError, 'no record belongs to a clip: annotation 0 must have'),
    ):
        with pytest.raises(error, match=message):
            open_clips(tmp_path / name, tmp_path / 'frames')
    for content, message in ((short, 'must be a list of 3, .* got 1 of them'), (empty, 'has no mask')):
        source = open_clips(write_json(tmp_path / 'a.json', content), tmp_path / 'frames')
        with pytest.raises(ValueError, match=message):
            source.open(source.tasks[0])
    maps = write_maps(tmp_path / 'maps' / 'z', {'00000': labels((1, 1))})
    write_maps(tmp_path / 'maps' / 'y', {'00000': labels((1, 1))})
    with pytest.raises(ValueError, match='none of the clips y, z'):
        open_clips(maps.parent, tmp_path / 'frames')
