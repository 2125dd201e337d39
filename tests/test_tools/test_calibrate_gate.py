"""tools/analysis_tools/calibrate_gate.py."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmrefine.core.gate import QualityGate
from mmrefine.models.model_zoo import build_refiner
from tests.helpers.gate_records import records

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/calibrate_gate.py'


def calibrate(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_from_numbers_of_single_masks_to_a_config(tmp_path: Path) -> None:
    rows = records()
    with open(tmp_path / 'masks.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / 'base.py').write_text("model = dict(type='SegRefiner', gate=dict(min_score=0.7))\n")
    done = calibrate(
        *('--per-mask', tmp_path / 'masks.csv', '--config', tmp_path / 'base.py', '--out', tmp_path / 'gate.py'),
        *('--plot', tmp_path / 'curves.png'),
    )
    assert done.returncode == 0, done.stderr
    assert '400 masks of 200 images, cross-validated in 5 parts' in done.stdout and '| simulated |' in done.stdout
    model = Config.fromfile(tmp_path / 'gate.py').model
    assert model.type == 'SegRefiner' and 'min_score' not in model.gate
    assert 0 < QualityGate(**model.gate).min_probability < 1
    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('base', ['segrefiner_tiny', 'gateless.py'])
def test_the_config_refines_with_the_weights_it_was_fitted_for(tmp_path: Path, base: str) -> None:
    (tmp_path / 'masks.json').write_text(json.dumps(records()))
    if base != 'segrefiner_tiny':
        (tmp_path / base).write_text("model = dict(type='mmrefine.GuidedFilter')\n")
        base = tmp_path / base
    done = calibrate('--per-mask', tmp_path / 'masks.json', '--config', base, '--out', tmp_path / 'gate.py')
    assert done.returncode == 0, done.stderr
    refiner = build_refiner(tmp_path / 'gate.py', device='cpu')
    assert refiner.gate.min_score is None and 0 < refiner.gate.min_probability < 1
    expected = build_refiner(base, device='cpu').state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in refiner.state_dict().items())


def test_the_model_is_fitted_to_other_masks(tmp_path: Path) -> None:
    (tmp_path / 'train.json').write_text(json.dumps(records(600, seed=1)))
    (tmp_path / 'dev.json').write_text(json.dumps(records(100, seed=2)))
    outputs = [
        calibrate('--per-mask', tmp_path / 'dev.json', *fit).stdout
        for fit in ([], ['--fit-on', tmp_path / 'train.json'])
    ]
    assert 'the model was fitted to the 600 masks of' in outputs[1]
    weights = [output.partition('weights=')[2].partition('\n')[0] for output in outputs]
    assert weights[0] != weights[1]


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    assert 'give either IMAGES COARSE GT' in calibrate().stderr
    assert 'expected IMAGES COARSE GT and --config' in calibrate('images', '--config', 'x.py').stderr
    (tmp_path / 'masks.json').write_text('[]')
    done = calibrate('--per-mask', tmp_path / 'masks.json')
    assert done.returncode == 1 and done.stderr.startswith('error: calibration needs masks with coarse_iou')
