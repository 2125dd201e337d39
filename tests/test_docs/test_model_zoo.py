"""The model zoo: the page is up to date, its commands parse, and mim finds what it looks for."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO_ROOT

INDEX = yaml.safe_load((REPO_ROOT / 'model-index.yml').read_text())
MODELS = [model for path in INDEX['Import'] for model in yaml.safe_load((REPO_ROOT / path).read_text())['Models']]
PAGE = (REPO_ROOT / 'docs' / 'model_zoo.md').read_text()
BLOCKS = re.findall(r'```shell\n(.*?)```', PAGE, flags=re.DOTALL)
COMMANDS = sorted({line for block in BLOCKS for line in block.replace('\\\n', ' ').splitlines() if line.strip()})


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
    assert re.fullmatch(r'https://[^,?]+\.(pth|pt)', weights), 'mim names the file after the end of the address'


def test_names_are_unique():
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)


def test_every_table_config_has_an_entry():
    named = {model['Config'] for model in MODELS}
    for folder in ('ablation', 'instance'):
        for path in (REPO_ROOT / 'configs').glob(f'*/{folder}/*.py'):
            assert path.relative_to(REPO_ROOT).as_posix() in named


@pytest.fixture(scope='module')
def parse():
    """Runs a tool up to its parser, in this process: ``parse(words)`` gives the parsed arguments."""
    import argparse
    import runpy

    class Parsed(Exception):
        pass

    original = argparse.ArgumentParser.parse_args

    def run(words: list[str]):
        def stop(parser, args=None, namespace=None):
            raise Parsed(original(parser, words[1:] if args is None else args, namespace))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
            patch.setattr(sys, 'argv', words)
            try:
                runpy.run_path(str(REPO_ROOT / words[0]), run_name='__main__')
            except Parsed as parsed:
                return parsed.args[0]
        raise AssertionError(f'{words[0]} has no parser')

    return run


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_parse(command, parse):
    words = shlex.split(command)
    assert words[0] == 'python' and Path(words[1]).parts[0] == 'tools'
    parse(words[1:])
    for word in words:
        if word.startswith('configs/'):
            assert (REPO_ROOT / word).is_file(), word
    if '--config' in words:
        from mmrefine.utils import find_config

        assert Path(find_config(words[words.index('--config') + 1])).is_file()


def test_a_wrong_option_would_be_seen(parse, capsys):
    with pytest.raises(SystemExit):
        parse(['tools/test.py', 'config.py', '--no-such-option'])
    assert 'no-such-option' in capsys.readouterr().err
    assert len(COMMANDS) > 60
