"""The model zoo: the page is up to date, and mim finds what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import REPO_ROOT

INDEX = yaml.safe_load((REPO_ROOT / 'model-index.yml').read_text())
MODELS = [model for path in INDEX['Import'] for model in yaml.safe_load((REPO_ROOT / path).read_text())['Models']]


def test_the_page_is_what_the_metafiles_say():
    command = [sys.executable, str(REPO_ROOT / 'tools/dev/make_model_zoo.py'), '--check']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + ': run tools/dev/make_model_zoo.py'


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_entries_say_what_mim_and_the_page_need(model):
    assert model['Name'] == model['Name'].lower()
    assert (REPO_ROOT / model['Config']).is_file()
    assert model['Results']
    for result in model['Results']:
        assert result['Task'] and result['Dataset'] and result['Source'] and result['Needs'] and result['Command']
        assert result['Metrics']
        for name, value in {**result['Metrics'], **result.get('Coarse', {}), **result.get('Ours', {})}.items():
            assert isinstance(name, str) and (value is None or isinstance(value, (int, float)))
        assert set(result.get('Coarse', {})) <= set(result['Metrics'])
    weights = model.get('Weights', 'https://example.org/one.pth')
    assert re.fullmatch(r'https://[^,?]+\.(pth|pt)', weights), 'mim names the file after the end of the URL'


def test_names_are_unique():
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)


def test_every_table_config_has_an_entry():
    named = {model['Config'] for model in MODELS}
    for folder in ('ablation', 'instance'):
        for path in (REPO_ROOT / 'configs').glob(f'*/{folder}/*.py'):
            assert path.relative_to(REPO_ROOT).as_posix() in named
