"""Seeded damage: whatever is in a file, readers answer with what it says or with a sentence, and in no time.

A few hundred inputs run always; thousands with ``pytest -m slow``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.core.rle import encode_rle, encode_runs
from mmrefine.files.activation_maps import load_activation_maps
from mmrefine.files.coco_file import CocoFile
from mmrefine.files.json_stream import read_json
from mmrefine.files.mask_files import read_mask_file

SIZE_HW = (40, 60)
NASTY = [
    *(None, True, False, 0, -1, 1, 10**30, -(10**400), 0.5, 1e300, -1e300, float('nan'), float('inf'), -float('inf')),
    *('', 'x', '\ud800', '\x1b[31m', 'a' * 300, '../../x', '/', '.', [], {}, [[]], [None], [[None] * 6], {'a': 1}),
    *([[1, 2]], [[1, 2, 3, 4, 5]], [[1e12] * 8], {'size': [1, 1], 'counts': 'x'}, {'size': None, 'counts': None}),
]
AMOUNTS = [pytest.param(150, id='some'), pytest.param(3000, id='many', marks=pytest.mark.slow)]


def good_content() -> dict:
    mask = np.zeros(SIZE_HW, bool)
    mask[5:20, 10:30] = True
    return {
        'images': [{'id': k, 'file_name': f'{k}.png', 'height': SIZE_HW[0], 'width': SIZE_HW[1]} for k in range(3)],
        'categories': [{'id': 1, 'name': 'thing'}],
        'annotations': [
            {'id': k, 'image_id': k % 3, 'category_id': 1, 'iscrowd': 0, 'area': 300, 'bbox': [10, 5, 20, 15]}
            | {'segmentation': ([[10, 5, 30, 5, 30, 20, 10, 20]], encode_rle(mask), encode_runs(mask))[k % 3]}
            for k in range(6)
        ],
    }


def key_paths(value: object) -> list[tuple]:
    """Keys that lead to everything inside of a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, child in children for path in [(key,), *((key, *rest) for rest in key_paths(child))]]


def spoil(content: object, rng: np.random.Generator) -> tuple:
    """Put something nasty in one place, or leave something out; returns the place."""
    every = key_paths(content)
    path = every[rng.integers(len(every))]
    for key in path[:-1]:
        content = content[key]
    if rng.random() < 0.2 and isinstance(content, dict):
        del content[path[-1]]
    else:
        content[path[-1]] = copy.deepcopy(NASTY[rng.integers(len(NASTY))])
    return path


def check_sentence(error: Exception, path: Path | None = None) -> None:
    text = str(error)
    assert text and text[-1] in '.?' and '\n' not in text and 'Traceback' not in text, text
    assert path is None or path.name in text


@pytest.mark.parametrize('amount', AMOUNTS)
def test_one_spoilt_value_spoils_one_record(tmp_path: Path, amount: int) -> None:
    """Of six masks five at least are what they were, unless the file as a whole makes no sense."""
    path = tmp_path / 'c.json'
    path.write_text(json.dumps(good_content()))
    expected = [mask.sum() for mask in masks_of(path).values()]
    assert len(expected) == 6 and min(expected) == 300
    rng = np.random.default_rng(0)
    for _ in range(amount):
        content = good_content()
        spoilt = spoil(content, rng)
        path.write_text(json.dumps(content))
        try:
            found = masks_of(path)
        except ValueError as error:
            check_sentence(error, path)
            assert spoilt[0] != 'annotations' or len(spoilt) == 1, spoilt
            continue
        if len(spoilt) > 1:
            same = sum(mask.sum() == 300 for mask in found.values())
            assert same >= (5 if spoilt[0] == 'annotations' else 4), spoilt


def masks_of(path: Path) -> dict[int, np.ndarray]:
    """Usable masks by the place of their record."""
    file = CocoFile(path)
    found = {}
    for image_id in file.image_ids:
        places_of_image = file.records_of(image_id)
        for index, record in zip(places_of_image, file.read(places_of_image), strict=True):
            try:
                mask = file.mask_of(record, SIZE_HW)
            except ValueError as error:
                check_sentence(error)
                continue
            if mask is not None:
                assert mask.shape == SIZE_HW and mask.dtype == bool
                found[index] = mask
    return found


@pytest.mark.parametrize('amount', AMOUNTS)
def test_damaged_bytes_of_json(tmp_path: Path, amount: int) -> None:
    """The stream reads what the standard library reads, and refuses what it refuses."""
    good = json.dumps(good_content(), ensure_ascii=False).encode()
    rng = np.random.default_rng(1)
    for _ in range(amount):
        data = damaged(good, rng)
        path = tmp_path / 'c.json'
        path.write_bytes(data)
        try:
            expected = json.loads(data.decode())
        except ValueError:
            expected = None
        try:
            found = read_json(path)
        except ValueError as error:
            check_sentence(error, path)
            assert expected is None or 'occurs twice' in str(error)
        else:
            assert json.dumps(found) == json.dumps(expected)


@pytest.mark.parametrize('amount', AMOUNTS)
@pytest.mark.parametrize('kind', ['mask', 'palette', 'npz', 'npy', 'tensors'])
def test_damaged_bytes_of_arrays(tmp_path: Path, kind: str, amount: int) -> None:
    path, read = ARRAYS[kind](tmp_path)
    good = path.read_bytes()
    rng = np.random.default_rng(2)
    for _ in range(amount // 3):
        path.write_bytes(damaged(good, rng))
        try:
            read(path)
        except ValueError as error:
            assert path.name in str(error)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut short, or with some bytes changed, doubled or left out."""
    result = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        index = int(rng.integers(len(result))) if result else 0
        kind = rng.integers(4)
        if kind == 0 and rng.random() < 0.3:
            del result[index:]
        elif kind == 1 and result:
            result[index] = rng.integers(256)
        elif kind == 2:
            result[index:index] = result[index : index + 3]
        else:
            del result[index : index + 2]
    return bytes(result)


def _png(folder: Path, palette: bool) -> tuple[Path, Callable]:
    image = Image.fromarray((np.indices((12, 15)).sum(axis=0) % 3).astype(np.uint8))
    if palette:
        image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    image.save(folder / 'm.png')
    return folder / 'm.png', read_mask_file


def _maps(folder: Path, suffix: str, convert: Callable = np.asarray) -> tuple[Path, Callable]:
    maps = np.random.default_rng(0).random((2, 4, 5)).astype(np.float32)
    content = {'keys': convert(np.array([3, 14])), 'cam': convert(maps)}
    path = folder / f'm.{suffix}'
    if suffix == 'npz':
        np.savez(path, **content)
    else:
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path, load_activation_maps


ARRAYS = {
    'mask': lambda folder: _png(folder, False),
    'palette': lambda folder: _png(folder, True),
    'npz': lambda folder: _maps(folder, 'npz'),
    'npy': lambda folder: _maps(folder, 'npy'),
    'tensors': lambda folder: _maps(folder, 'npy', torch.from_numpy),
}
