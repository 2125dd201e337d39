"""COCO files read where they lie: records, images, changes, and what is wrong with a file."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mmrefine.files.coco_file import CocoFile, read_images

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
    with pytest.raises(ValueError, match='c.json was changed while it was being refined; start anew'):
        file.copy(io.StringIO(), lambda index: {})
    path.write_text('[')
    with pytest.raises(ValueError, match='c.json was changed while it was being refined; start anew'):
        file.read([1])


@pytest.mark.parametrize(
    ('images', 'image_id', 'message'),
    [
        ([*IMAGES, {'id': 7, 'file_name': 'c.jpg'}], 7, r'images\[2\] has the id 7 of another image; ids must be uniq'),
        ([{'id': [7], 'file_name': 'c.jpg'}], 7, r'images\[0\] must have a number or a text as "id", got {"id": \[7\]'),
        (IMAGES, None, r'annotations\[0\] must have a number or a text as "image_id", got {"image_id": null'),
        (IMAGES, {}, r'annotations\[0\] must have a number or a text as "image_id", got {"image_id": {}'),
    ],
)
def test_ids_that_cannot_be_used(tmp_path: Path, images: list, image_id: object, message: str) -> None:
    path = coco(tmp_path / 'c.json', image_id, images=images)
    with pytest.raises(ValueError, match=f'c.json: {message}'):
        CocoFile(path)


def test_image_names_are_read_from_a_file_that_is_damaged_behind_them(tmp_path: Path) -> None:
    path = coco(tmp_path / 'c.json', 7, 7)
    path.write_bytes(path.read_bytes()[:-30])
    assert {key: image.name for key, image in read_images(path).items()} == {7: 'größe.jpg', 'b': 'b.jpg'}
    with pytest.raises(ValueError, match='c.json is not valid JSON .* at byte .*; is it cut short?'):
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
