"""COCO files read where they lie: records, images, changes, and what is wrong with a file."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mmrefine.files.coco_file import NO_IMAGE, CocoFile, read_images

IMAGES = [{'id': 7, 'file_name': 'größe.jpg'}, {'id': 'b', 'file_name': 'b.jpg'}]


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return path


def record(image_id: object, **more: object) -> dict:
    return {'image_id': image_id, 'segmentation': [], 'note': 'ä', **more}


def coco(path: Path, *image_ids: object, **more: object) -> Path:
    annotations = [record(image_id, id=index) for index, image_id in enumerate(image_ids)]
    return save(path, {'info': {'year': 1}, 'images': IMAGES, 'annotations': annotations, 'licenses': [], **more})


def test_records_of_an_image(tmp_path: Path) -> None:
    file = CocoFile(coco(tmp_path / 'c.json', 'b', 7, 'b', 'b', categories=[{'id': 1, 'name': 'cat'}]))
    assert len(file) == 4 and not file.is_results
    assert file.image_ids == ['b', 7] and file.counts().tolist() == [3, 1]
    assert file.records_of('b') == [0, 2, 3] and file.records_of(7) == [1] and file.records_of(8) == []
    assert file.read([3, 1]) == [record('b', id=3), record(7, id=1)]
    assert file.image_names == {7: 'größe.jpg', 'b': 'b.jpg'} and file.categories == {1: 'cat'}


@pytest.mark.parametrize('kind', ['annotations', 'results', 'empty results', 'no annotations'])
def test_copy_with_changes_is_what_json_dump_would_write(tmp_path: Path, kind: str) -> None:
    path = coco(tmp_path / 'c.json', *(['b', 7, 'b'] if kind == 'annotations' else []))
    if kind.endswith('results'):
        save(path, [record('b'), record(7)] if kind == 'results' else [])
    content = json.loads(path.read_text(encoding='utf-8'))
    records = content if kind.endswith('results') else content['annotations']
    changes = [{'note': 'ß', 'new': [index]} if index else {} for index in range(len(records))]
    for old, change in zip(records, changes, strict=True):
        old.update(change)
    written = io.StringIO()
    CocoFile(path).copy(written, changes.__getitem__)
    assert written.getvalue() == json.dumps(content)


def test_a_file_that_changes_under_the_job(tmp_path: Path) -> None:
    path = coco(tmp_path / 'c.json', 7, 7)
    file = CocoFile(path)
    coco(path, 7, 'b', 7)
    with pytest.raises(ValueError, match='c.json was changed while it was being refined; start again'):
        file.copy(io.StringIO(), lambda index: {})
    path.write_text('[')
    with pytest.raises(ValueError, match='c.json was changed while it was being refined; start again'):
        file.read([1])


@pytest.mark.parametrize(
    ('images', 'image_id', 'message'),
    [
        ([{'id': [7], 'file_name': 'c.jpg'}], 7, 'not a COCO file with images: expected .* each with an "id"'),
        (IMAGES, None, r'annotations\[0\] must have a number or a string as "image_id", got {"image_id": null'),
        (IMAGES, {}, r'annotations\[0\] must have a number or a string as "image_id", got {"image_id": {}'),
    ],
)
def test_ids_that_cannot_be_used(tmp_path: Path, images: list, image_id: object, message: str) -> None:
    path = coco(tmp_path / 'c.json', image_id, images=images)
    with pytest.raises(ValueError, match=f'c.json.* {message}'):
        CocoFile(path)


def test_an_image_that_cannot_be_used_is_no_concern_of_the_others(tmp_path: Path) -> None:
    strange = [None, 5, {}, {'id': None}, {'id': [1]}, {'id': True}, dict(IMAGES[1]), {'id': 7, 'file_name': 'c.jpg'}]
    path = coco(tmp_path / 'c.json', 7, 'b', images=[*IMAGES, *strange])
    for images in (CocoFile(path).images, read_images(path)):
        assert {image_id: image.problem for image_id, image in images.items()} == {
            7: 'several images have the id 7; ids must be unique.',
            'b': '',  # that image twice
        }


def test_what_one_record_lacks_is_no_concern_of_the_file(tmp_path: Path) -> None:
    path = coco(tmp_path / 'c.json', 7, 'b')
    content = json.loads(path.read_text(encoding='utf-8'))
    strangers = [None, 5, {}, {'image_id': None}, {'image_id': True}, {'image_id': []}, {'image_id': float('nan')}]
    content['annotations'] = [strangers[0], content['annotations'][0], *strangers[1:], {'image_id': 7}]
    content['images'][1]['file_name'] = None
    file = CocoFile(save(path, content))
    assert file.records_of(7) == [1, 8] and file.records_of(NO_IMAGE) == [0, 2, 3, 4, 5, 6, 7]
    assert file.image_names == {7: 'größe.jpg'} and 'is not a file name' in file.images['b'].problem
    written = io.StringIO()
    file.copy(written, lambda index: {'note': 1} if index == 1 else {})
    content['annotations'][1]['note'] = 1
    assert written.getvalue() == json.dumps(content)


@pytest.mark.parametrize(
    ('more', 'size_hw'),
    [
        ({'height': 4, 'width': 6}, (4, 6)),
        ({'height': 4.0, 'width': 6.0}, (4, 6)),
        *[({'height': side, 'width': 6}, None) for side in (None, '4', 0, -4, 4.5, float('nan'), [4], True)],
        ({'width': 6}, None),
    ],
)
def test_sizes_of_images(tmp_path: Path, more: dict, size_hw: tuple | None) -> None:
    path = coco(tmp_path / 'c.json', 7, images=[{**IMAGES[0], **more}])
    assert CocoFile(path).images[7].size_hw == read_images(path)[7].size_hw == size_hw


POLYGON = [[1, 1, 4, 1, 4, 3, 1, 3]]


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({'segmentation': [[1, 1, 4, 1, 4, float('nan')]]}, 'finite numbers'),
        (
            {'segmentation': {'size': [7, 5], 'counts': [35]}},
            '7x5 .* but the image is 5x7; height and width are swapped',
        ),
        ({'segmentation': 5}, 'neither polygons nor RLE'),
        *[({'category_id': value}, '"category_id" must be an integer') for value in ([1], {}, 'dog', 1.5, True)],
    ],
)
def test_records_that_cannot_be_used(tmp_path: Path, more: dict, message: str) -> None:
    file = CocoFile(coco(tmp_path / 'c.json', 7, categories=[{'id': 1, 'name': 'cat'}, {'id': 'cat'}]))
    good = {'image_id': 7, 'segmentation': POLYGON, 'category_id': 1}
    for fine in (good, {**good, 'category_id': 'cat'}, {**good, 'category_id': None}, {**good, 'category_id': 1.0}):
        assert file.mask_of(fine, (5, 7)).sum() == 6
    for nothing in (None, [], [[]]):
        assert file.mask_of({**good, 'segmentation': nothing}, (5, 7)) is None
    assert file.mask_of({'image_id': 7}, (5, 7)) is None
    with pytest.raises(ValueError, match=message):
        file.mask_of({**good, **more}, (5, 7))
    with pytest.raises(ValueError, match='an annotation must be an object, got null'):
        file.mask_of(None, (5, 7))


@pytest.mark.parametrize(
    ('declared_hw', 'hint'),
    [
        ((7, 5), 'height and width are swapped: .*EXIF'),
        ((10, 14), 'proportional: .*resize'),
        ((5, 9), 'belong to another image'),
    ],
)
def test_polygons_are_held_to_the_size_that_the_file_says(tmp_path: Path, declared_hw: tuple, hint: str) -> None:
    image = {**IMAGES[0], 'height': declared_hw[0], 'width': declared_hw[1]}
    file = CocoFile(coco(tmp_path / 'c.json', 7, images=[image]))
    said = f'is declared as {declared_hw[0]}x{declared_hw[1]} .HxW. but the image is 5x7; .*{hint}'
    with pytest.raises(ValueError, match=said):
        file.mask_of({'image_id': 7, 'segmentation': POLYGON}, (5, 7))
    rle = {'size': [5, 7], 'counts': [35]}
    assert not file.mask_of({'image_id': 7, 'segmentation': rle}, (5, 7)).any()
    results = CocoFile(save(tmp_path / 'r.json', [{'image_id': 7, 'segmentation': POLYGON}]))
    assert results.mask_of(results.read([0])[0], (5, 7)).sum() == 6
    with pytest.raises(ValueError, match=said):
        results.mask_of(results.read([0])[0], (5, 7), declared_hw)


def test_image_names_are_read_from_a_file_that_is_damaged_behind_them(tmp_path: Path) -> None:
    path = coco(tmp_path / 'c.json', 7, 7)
    path.write_bytes(path.read_bytes()[:-30])
    assert {key: image.name for key, image in read_images(path).items()} == {7: 'größe.jpg', 'b': 'b.jpg'}
    with pytest.raises(ValueError, match='c.json is not valid JSON .* at byte .*; is it truncated?'):
        CocoFile(path)


def test_memory_per_record(tmp_path: Path) -> None:
    """Records of 2 kB each take tens of bytes: start, length and image, and as much again while they are sorted."""
    count = 5000
    mask = {'size': [480, 640], 'counts': 'x' * 2000}
    path = save(tmp_path / 'r.json', [{'image_id': index // 50, 'segmentation': mask} for index in range(count)])
    tracemalloc.start()
    file = CocoFile(path)
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(file) == count and np.array_equal(file.counts(), np.full(100, 50))
    assert kept_bytes < 60 * count
