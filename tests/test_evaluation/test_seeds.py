"""Trainings over several seeds."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_pairs_are_compared_in_their_order(tmp_path, repo_root):
    for seed, (coarse, refined) in enumerate([(0.1, 0.3), (0.5, 0.7), (0.2, 0.41)]):
        log(tmp_path / f'{seed}/coarse', 'run', {'coco/segm_mAP': coarse})
        log(tmp_path / f'{seed}/refined', 'run', {'coco/segm_mAP': refined})

    def run(*folders: str) -> subprocess.CompletedProcess:
        command = [sys.executable, repo_root / 'tools/analysis_tools/compare_seeds.py', 'coco/segm_mAP']
        sides = [str(tmp_path / folder) for folder in folders]
        arguments = ['--without', *sides[: len(sides) // 2], '--with', *sides[len(sides) // 2 :], '--scale', '100']
        env = {'PYTHONPATH': str(repo_root), 'PATH': ''}
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, env=env)

    done = run(*(f'{seed}/{side}' for side in ('coarse', 'refined') for seed in range(3)))
    assert done.returncode == 0, done.stderr
    assert (
        '| pair 3 | 20.0 | 41.0 | +21.0 |' in done.stdout
        and '| mean | 26.7 | 47.0 | +20.3 (+18.9 to +21.8) |' in done.stdout
    )
    assert 'The mean difference differs from 0 at 95 % over 3 seeds.' in done.stdout
    turned = run('0/coarse', '1/refined', '1/coarse', '0/refined')
    assert 'does not differ from 0' in turned.stdout
    assert 'no run in' in run('0/coarse', '1/coarse', '0/refined', '9/refined').stderr
