"""`mmrefine COMMAND`: what it says, and the way from labelme files to corrected labelme files."""

from __future__ import annotations

import argparse
import importlib
import json

import pytest

from mmrefine.cli.main import COMMANDS, main
from mmrefine.jobs.convert import convert
from tests.helpers.scenes import Scenes

CONFIG = """
custom_imports = dict(imports=['tests.helpers.bright_refiner'])
model = dict(type='BrightRefiner', gate=dict(min_score=0.67))
"""


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bright.py').write_text(CONFIG)
    return Scenes(tmp_path, 2)


def test_every_command_is_there_and_teaches(capsys, monkeypatch):
    parsers = []
    show = argparse.ArgumentParser.print_help
    monkeypatch.setattr(argparse.ArgumentParser, 'print_help', lambda self: parsers.append(self) or show(self))
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            importlib.import_module(f'mmrefine.cli.{name}').main(['--help'])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith(f'usage: mmrefine {name} ')
        assert 'exit status: 0' in text and f'mmrefine {name}' in text.partition('options:')[2], 'no example'
        [parser] = parsers[-1:]
        assert [
            action.dest for action in parser._actions if not (action.help or action.metavar in parser.description)
        ] == []
    assert main([]) == 2 and main(['--help']) == 0
    assert main(['refien']) == 2
    error = capsys.readouterr().err
    assert "'refien' is not a command; expected one of refine, report" in error and 'Did you mean refine?' in error


def test_from_labelme_to_corrected_labelme(scenes, capsys):
    convert(scenes.folder / 'coco.json', scenes.folder / 'labelme', to='labelme')
    command = ['refine', 'photos', 'labelme', '--out', 'out', '--config', 'bright.py', '--device', 'cpu', '--report']
    assert main(command) == 0
    output = capsys.readouterr()
    assert 'review them in a browser: out/review/index.html' in output.out and 'already' not in output.err
    before = json.loads((scenes.folder / 'out/masks/scene_0.json').read_text())

    assert main(command) == 0
    output = capsys.readouterr()
    assert 'already done' in output.err and 'images/s' not in output.err

    kept = [entry for entry in json.loads((scenes.folder / 'out/summary.json').read_text())['masks']]
    taken = {'scene_0.json': {'0': not kept[0]['accepted']}}
    scenes.write_json('decisions.json', {'decisions': taken})
    assert main(['decide', 'out', 'decisions.json']) == 0
    assert capsys.readouterr().out.startswith('1 decision applied; ')
    after = json.loads((scenes.folder / 'out/masks/scene_0.json').read_text())
    assert after['shapes'][0] != before['shapes'][0] and after['shapes'][1:] == before['shapes'][1:]
    assert main(['report', 'out']) == 0


def test_going_on_counts_what_is_done(scenes, capsys):
    command = ['refine', 'photos', 'coco.json', '--out', 'out', '--config', 'bright.py', '--device', 'cpu']
    photo = scenes.folder / 'photos/scene_1.png'
    content = photo.read_bytes()
    photo.write_bytes(b'broken')
    assert main(command) == 1
    assert '1 image skipped' in capsys.readouterr().err
    photo.write_bytes(content)
    assert main(command) == 0
    output = capsys.readouterr()
    assert 'resuming: 1 of 2 are done' in output.err
    assert 'total: 2 images' in output.out


def test_swapped_arguments_and_wrong_decisions(scenes, capsys):
    from PIL import Image

    (scenes.folder / 'jpegs').mkdir()
    Image.open(scenes.folder / 'photos/scene_0.png').save(scenes.folder / 'jpegs/scene_0.jpg')
    assert main(['refine', 'coco.json', 'jpegs', '--out', 'out', '--config', 'bright.py']) == 2
    assert 'are they swapped?' in capsys.readouterr().err
    assert main(['refine', 'masks', 'jpegs', '--out', 'out', '--config', 'bright.py']) == 2
    assert 'are they swapped?' in capsys.readouterr().err
    assert main(['report', 'photos']) == 2
    assert 'contains no results of a job' in capsys.readouterr().err
    scenes.write_json('decisions.json', {'masks': []})
    assert main(['decide', 'out', 'decisions.json']) == 2
    assert 'contains no decisions' in capsys.readouterr().err
    assert main(['decide', 'decisions.json', 'jpegs']) == 2
    assert 'OUT comes first and DECISIONS second: are they swapped?' in capsys.readouterr().err


def test_pick_replaces_configs_of_its_own_alone(scenes, capsys):
    (scenes.folder / 'mine.py').write_text('mine = 1\n')
    assert main(['pick', 'photos', 'coco.json', '--out', 'mine.py']) == 2
    assert 'mine.py already exists and was not written by mmrefine pick' in capsys.readouterr().err
    assert (scenes.folder / 'mine.py').read_text() == 'mine = 1\n'
    assert main(['pick', 'photos', 'nothing.json', '--out', 'other.py']) == 2
    assert capsys.readouterr().err == 'error: masks nothing.json do not exist: expected a file or a folder of masks.\n'


@pytest.mark.parametrize('command', [['convert', 'coco.json', 'x.json'], ['report', 'out'], ['decide', 'out', 'x']])
@pytest.mark.parametrize('error', [TypeError('odd'), KeyboardInterrupt()])
def test_no_command_ends_in_a_traceback(scenes, capsys, monkeypatch, command, error):
    def fail(*args, **kwargs):
        raise error

    for name in ('convert.convert', 'review.write_review', 'review.apply_decision_file'):
        monkeypatch.setattr(f'mmrefine.jobs.{name}', fail)
    assert main(command) == (2 if isinstance(error, TypeError) else 130)
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and said.startswith('error: odd' if isinstance(error, TypeError) else 'stopped')


@pytest.mark.parametrize('command', ['train', 'test'])
def test_a_config_that_cannot_be_read(scenes, capsys, command):
    (scenes.folder / 'odd.py').write_text('model = dict(')
    for name, message in (('nowhere.py', 'nowhere.py'), ('odd.py', 'config odd.py cannot be read')):
        with pytest.raises(SystemExit) as stop:
            main([command, name])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and error.startswith('error: ') and message in error and error.count('\n') == 1


def test_convert_says_what_it_did(scenes, capsys):
    assert main(['convert', 'coco.json', 'yolo', '--to', 'yolo']) == 0
    assert capsys.readouterr().out == '4 masks of 2 images written to yolo\n'
    assert main(['convert', 'yolo', 'again.json']) == 2
    assert '--images' in capsys.readouterr().err
    assert not (scenes.folder / 'again.json').exists()
    assert main(['convert', 'yolo', 'again.json', '--images', 'photos', '--polygons']) == 0
    [record, *_] = json.loads((scenes.folder / 'again.json').read_text())['annotations']
    assert isinstance(record['segmentation'], list)
