"""Measured errors of masks in files."""

from __future__ import annotations

import json

import pytest

from mmrefine.core.error_measurement import MaskErrors
from mmrefine.core.error_model import MaskErrorModel
from mmrefine.files.error_models import read_error_model, write_error_model


def test_file_keeps_the_model(tmp_path):
    model = MaskErrorModel((MaskErrors(0.01, 1 / 3, missing=(0.1, 0.02)), MaskErrors(-0.2, 0.0, holes=(0.3,))), 0.17)
    path = tmp_path / 'new' / 'errors.json'
    write_error_model(path, model)
    assert read_error_model(path) == model
    assert [file.name for file in path.parent.iterdir()] == ['errors.json']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"images": [], "annotations": []}', 'expected a mask error model of the format .* got None'),
        ('[1, 2]', "got 'list'"),
        ('not JSON', 'errors.json is not valid JSON'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / 'errors.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_error_model(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'masks': []}, 'contains no masks'),
        ({'masks': [{'bias': 0.1}]}, "damaged: expected .* got \\['bias'\\]"),
        ({'length': 'long'}, "expected a finite number, got 'long'"),
        ({'length': float('nan')}, 'expected a finite number, got nan'),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = tmp_path / 'errors.json'
    path.write_text(json.dumps({**MaskErrorModel((MaskErrors(0.0, 0.1),), 0.1).to_dict(), **change}))
    with pytest.raises(ValueError, match=message):
        read_error_model(path)
