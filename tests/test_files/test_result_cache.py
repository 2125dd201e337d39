"""Results on disk: what comes back, and two processes at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from mmrefine.files.result_cache import ResultCache, refiner_fingerprint
from mmrefine.structures import RefineResult

COARSE = np.random.default_rng(0).random((3, 13, 17)) < 0.5
RESULT = RefineResult(
    np.roll(COARSE, 1, axis=1),
    np.array([0.5, 0.25, 0], np.float32),
    np.array([True, True, False]),
    COARSE,
    ('', '', 'no'),
)


def assert_is_result(found: RefineResult | None) -> None:
    np.testing.assert_array_equal(found.masks, RESULT.masks)
    np.testing.assert_array_equal(found.scores, RESULT.scores)
    np.testing.assert_array_equal(found.accepted, RESULT.accepted)
    assert found.reasons == RESULT.reasons and found.masks.dtype == bool


def test_round_trip(tmp_path):
    cache = ResultCache(tmp_path / 'made/later', 'a')
    assert cache.get('ab' * 32, COARSE) is None
    cache.put('ab' * 32, RESULT)
    assert_is_result(cache.get('ab' * 32, COARSE))
    assert_is_result(ResultCache(tmp_path / 'made/later', 'a').get('ab' * 32, COARSE))


def test_no_masks(tmp_path):
    none = np.zeros((0, 13, 17), bool)
    cache = ResultCache(tmp_path, 'a')
    cache.put('cd' * 32, RefineResult(none, np.zeros(0, np.float32), np.zeros(0, bool), none, ()))
    assert cache.get('cd' * 32, none).masks.shape == none.shape


@pytest.mark.parametrize(
    'wrong',
    [
        {'key': np.array('cd' * 32)},
        {'masks': np.zeros(3, np.uint8)},
        {'masks': np.zeros(83, bool)},
        {'proposals': np.zeros(84, np.uint8)},
        {'scores': np.zeros(2, np.float32)},
        {'scores': np.array([0.5, np.nan, 0], np.float32)},
        {'scores': np.array([0.5, 7, 0], np.float32)},
        {'accepted': np.zeros(3, np.float32)},
        {'reasons': np.array(['a'])},
        {'feature_names': np.array(['a']), 'features': np.zeros((1, 2))},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_file_that_holds_another_result_is_not_believed(tmp_path, wrong):
    """It can be read, yet it is not what was asked for."""
    cache = ResultCache(tmp_path, 'a')
    cache.put('ab' * 32, RESULT)
    [path] = tmp_path.rglob('*.npz')
    with np.load(path) as stored:
        content = dict(stored)
    np.savez(path, **content)
    assert_is_result(cache.get('ab' * 32, COARSE))
    assert cache.get('ab' * 32, COARSE[:2]) is None
    np.savez(path, **{**content, **wrong})
    assert cache.get('ab' * 32, COARSE) is None


def write_often(folder: Path) -> None:
    for _ in range(50):
        ResultCache(folder, 'a').put('ab' * 32, RESULT)


def test_two_processes_write_while_a_third_reads(tmp_path):
    cache = ResultCache(tmp_path, 'a')
    cache.put('ab' * 32, RESULT)
    writers = [multiprocessing.get_context('fork').Process(target=write_often, args=(tmp_path,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert_is_result(cache.get('ab' * 32, COARSE))
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [path.name for path in tmp_path.rglob('*') if path.is_file()] == [f'{"ab" * 32}.npz']


def test_fingerprint_follows_the_content_of_named_files(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'1')
    (tmp_path / 'b.pth').write_bytes(b'1')
    (tmp_path / 'c.pth').write_bytes(b'2')

    def of(name: str, seed: int = 0) -> str:
        return refiner_fingerprint({'backend': {'checkpoint': str(tmp_path / name)}}, None, seed)

    assert of('a.pth') == of('b.pth') != of('c.pth')
    assert of('a.pth') != of('a.pth', seed=1)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file'):
        ResultCache(tmp_path / 'file', 'a').put('ab' * 32, RESULT)
