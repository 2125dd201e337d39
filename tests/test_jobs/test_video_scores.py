"""J and F of results in the layouts of DAVIS and LVOS."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmrefine.jobs.video_scores import evaluate_davis, evaluate_lvos
from tests.helpers.clips import write_maps

SIZE_HW = (30, 40)


def labels(*objects: tuple[int, int]) -> np.ndarray:
    """(label, left column) as squares of 10."""
    made = np.zeros(SIZE_HW, np.uint8)
    for label, left in objects:
        made[10:20, left : left + 10] = label
    return made


def test_davis_leaves_out_first_and_last(tmp_path):
    """Of five frames the middle three count; objects are those of the first frame, a later label is none."""
    gt = {f'{k:05d}': labels((1, 2), (2, 20), (255, 32) if k else (2, 20)) for k in range(5)}
    made = {name: labels((1, 2), (2, 20)) for name in gt}
    made['00000'] = made['00004'] = labels()
    made['00002'] = labels((1, 7), (2, 20))  # shares 5 of 15 columns with the ground truth: J is 1/3
    write_maps(tmp_path / 'truth' / 'a', gt)
    write_maps(tmp_path / 'made' / 'a', made)
    first, second = evaluate_davis(tmp_path / 'made', tmp_path / 'truth', [])
    assert (first.object_id, second.object_id) == (1, 2)
    assert first.j.tolist() == [1, pytest.approx(1 / 3), 1] and second.j.tolist() == [1, 1, 1]
    assert first.f[0] == 1 and first.f[1] < 1


def test_davis_2016_is_binary(tmp_path):
    for kind in ('truth', 'made'):
        write_maps(tmp_path / kind / 'a', {f'{k:05d}': labels((255, 2)) for k in range(3)}, palette=False)
    assert [item.j.tolist() for item in evaluate_davis(tmp_path / 'made', tmp_path / 'truth', ['a'])] == [[1.0]]


def test_lvos_takes_the_range_of_each_object(tmp_path):
    """Frames 1, 6, 11, 16; the second object is there from 6 to before 16."""
    names = ['00000001', '00000006', '00000011', '00000016']
    write_maps(tmp_path / 'truth' / 'a', {name: labels((1, 2), (2, 20)) for name in names})
    write_maps(tmp_path / 'made' / 'a', {name: labels((1, 2)) for name in names})
    ranges = {'1': ('1', '17', 4), '2': ('6', '16', 2)}
    objects = {
        key: {'frame_range': {'start': start, 'end': end, 'frame_nums': str(count)}}
        for key, (start, end, count) in ranges.items()
    }
    (tmp_path / 'meta.json').write_text(json.dumps({'videos': {'a': {'objects': objects}}}))
    first, second = evaluate_lvos(tmp_path / 'made', tmp_path / 'truth', tmp_path / 'meta.json')
    assert first.j.tolist() == [1] * 4 and second.j.tolist() == [0] * 2
    (tmp_path / 'meta.json').write_text('{"videos": {"a": {}}}')
    with pytest.raises(ValueError, match='not a meta file of LVOS'):
        evaluate_lvos(tmp_path / 'made', tmp_path / 'truth', tmp_path / 'meta.json')


def test_results_that_do_not_fit(tmp_path):
    gt = {f'{k:05d}': labels((1, 2)) for k in range(3)}
    write_maps(tmp_path / 'truth' / 'a', gt)
    write_maps(tmp_path / 'made' / 'a', {'00000': labels()})
    with pytest.raises(FileNotFoundError, match='00001.png does not exist'):
        evaluate_davis(tmp_path / 'made', tmp_path / 'truth', ['a'])
    write_maps(tmp_path / 'made' / 'a', {'00001': labels()[:20]})
    with pytest.raises(ValueError, match=r'must have the size of its annotation \(30, 40\), got \(20, 40\)'):
        evaluate_davis(tmp_path / 'made', tmp_path / 'truth', ['a'])
    write_maps(tmp_path / 'short' / 'a', {'00000': labels((1, 2)), '00001': labels((1, 2))})
    with pytest.raises(ValueError, match='at least 3 annotated frames, got 2'):
        evaluate_davis(tmp_path / 'made', tmp_path / 'short', ['a'])
    with pytest.raises(FileNotFoundError, match='not a folder'):
        evaluate_davis(tmp_path / 'made', tmp_path / 'absent', [])
