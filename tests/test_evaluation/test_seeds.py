"""Trainings over several seeds."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from mmrefine.evaluation import last_metric, paired_interval


def log(work_dir: Path, time: str, *records: dict) -> Path:
    path = work_dir / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(f'{json.dumps(record)}\n' for record in records))
    return work_dir


def test_the_last_value_of_the_latest_run_that_has_one(tmp_path):
    log(tmp_path, '20260101_000000', {'mIoU': 1.0}, {'loss': 0.1}, {'mIoU': 2.0}, {'loss': 0.2})
    log(tmp_path, '20251231_000000', {'mIoU': 9.0})
    log(tmp_path, '20260102_000000', {'loss': 0.3})  # killed before its validation
    assert last_metric(tmp_path, 'mIoU') == 2.0
    with pytest.raises(ValueError, match='no run in .* logged mAP'):
        last_metric(tmp_path, 'mAP')


def test_interval_of_three_seeds_by_a_table_of_t():
    """Mean 2, standard deviation 1, t of 2 degrees of freedom 4.303."""
    assert paired_interval([1, 2, 3]) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)
    assert paired_interval([0.5, 0.5]) == (0.5, 0.5)
    for wrong in ([1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match='two finite differences at least'):
            paired_interval(wrong)


def test_pairs_are_compared_in_their_order(tmp_path, repo_root, monkeypatch, capsys):
    for seed, (coarse, refined) in enumerate([(0.1, 0.3), (0.5, 0.7), (0.2, 0.41)]):
        log(tmp_path / f'{seed}/coarse', 'run', {'coco/segm_mAP': coarse})
        log(tmp_path / f'{seed}/refined', 'run', {'coco/segm_mAP': refined})

    def run(*folders: str) -> str:
        sides = [str(tmp_path / folder) for folder in folders]
        half = len(sides) // 2
        arguments = ['coco/segm_mAP', '--without', *sides[:half], '--with', *sides[half:], '--scale', '100']
        monkeypatch.setattr('sys.argv', ['compare_seeds.py', *arguments])
        runpy.run_path(str(repo_root / 'tools/analysis_tools/compare_seeds.py'), run_name='__main__')
        return capsys.readouterr().out

    printed = run(*(f'{seed}/{side}' for side in ('coarse', 'refined') for seed in range(3)))
    assert (
        '| pair 3 | 20.0 | 41.0 | +21.0 |' in printed and '| mean | 26.7 | 47.0 | +20.3 (+18.9 to +21.8) |' in printed
    )
    assert 'The mean difference differs from 0 at 95 % over 3 seeds.' in printed
    turned = run('0/coarse', '1/refined', '1/coarse', '0/refined')
    assert 'does not differ from 0' in turned
    with pytest.raises(SystemExit, match='compare_seeds: no run in .*9/refined'):
        run('0/coarse', '1/coarse', '0/refined', '9/refined')
