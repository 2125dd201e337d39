"""Commands that the pages show: their files exist, and their parsers accept the arguments."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

PAGES = sorted(
    path.relative_to(REPO_ROOT).as_posix()
    for pattern in ('*.md', 'configs/**/*.md', 'demo/*.md', 'docs/**/*.md', 'projects/**/*.md', 'tools/**/*.md')
    for path in REPO_ROOT.glob(pattern)
)
BLOCK = re.compile(r'^```(\w*)\n(.*?)^```', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r'((?:tools|projects|demo)/[\w/.-]+\.(?:py|sh)|mmrefine [a-z]+)([^|;&#\n]*)')
INLINE = re.compile(r'`(?:python )?(tools/[\w/.-]+\.py|mmrefine [a-z]+)(\s[^`]*)?`')
VARIABLE = re.compile(r'^(\w+)="?([^"\n]*)"?$', re.MULTILINE)
CONFIG = re.compile(r'\w[\w.-]*(/[\w.-]+)+\.py')
OPTION = re.compile(r'(?<=\s)--[a-z][a-z0-9-]*')


def commands(page: str) -> list[tuple[str, str]]:
    """File or `mmrefine COMMAND`, and arguments, of each command in the shell blocks of a page."""
    text = (REPO_ROOT / page).read_text(encoding='utf-8')
    blocks = [block for language, block in BLOCK.findall(text) if language in ('bash', 'shell')]
    script = '\n'.join(blocks).replace('\\\n', ' ')
    for name, value in VARIABLE.findall(script):
        script = script.replace(f'${name} ', f'{value} ').replace(f'${name}\n', f'{value}\n')
    return COMMAND.findall(VARIABLE.sub('', script))


def inline_commands(page: str) -> list[tuple[str, str]]:
    """The same of the commands in the text between the blocks; their arguments may be incomplete."""
    return INLINE.findall(BLOCK.sub('', (REPO_ROOT / page).read_text(encoding='utf-8')))


class ParserFound(BaseException):
    """Raised instead of parsing, with the parser of a command."""


@lru_cache
def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a Python file, or of `mmrefine COMMAND`."""

    def stop(parser: argparse.ArgumentParser, *_args, **_kwargs):
        raise ParserFound(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(sys, 'argv', [command])
        with pytest.raises(ParserFound) as found:
            if command.startswith('mmrefine '):
                importlib.import_module(f'mmrefine.cli.{command.split()[1]}').main([])
            else:
                runpy.run_path(str(REPO_ROOT / command), run_name='__main__')
    return found.value.args[0]


@pytest.mark.parametrize('page', PAGES)
def test_shown_commands_run_with_their_arguments(page: str):
    for command, arguments in commands(page):
        if command.endswith('.sh'):
            unknown = [option for option in OPTION.findall(arguments) if not knows(REPO_ROOT / command, option)]
            assert not unknown, f'{page} shows {command} with {unknown}'
            continue
        given = shlex.split(arguments)
        missing = [name for name in given if CONFIG.fullmatch(name) and not is_config(name)]
        assert not missing, f'{page} shows {command} with {missing}'
        assert_options(page, command, arguments)
        try:
            parser_of(command).parse_args(given)
        except SystemExit:
            pytest.fail(f'{page}: {command} does not accept {given}')


@pytest.mark.parametrize('page', PAGES)
def test_commands_in_the_text_have_their_options(page: str):
    for command, arguments in inline_commands(page):
        assert_options(page, command, arguments)


def assert_options(page: str, command: str, arguments: str) -> None:
    """Assert that a command has these options, without abbreviations."""
    known = parser_of(command)._option_string_actions
    unknown = [option for option in OPTION.findall(arguments) if option not in known]
    assert not unknown, f'{page} shows {command} with {unknown}'


def is_config(name: str) -> bool:
    """Whether a config of the repository has this path or name."""
    return any((folder / name).is_file() for folder in (REPO_ROOT, REPO_ROOT / 'configs'))


def knows(script: Path, option: str) -> bool:
    """Whether a shell script, or a Python file that it starts, has the option."""
    text = script.read_text(encoding='utf-8')
    names = re.findall(r'[\w/.-]+\.py', text)
    files = [REPO_ROOT / name.lstrip('/') for name in names] + [script.parent / Path(name).name for name in names]
    found = [file.relative_to(REPO_ROOT).as_posix() for file in files if file.is_file()]
    return option in text or any(option in parser_of(file)._option_string_actions for file in found)


def test_search_finds_commands():
    assert len(commands('docs/video.md')) >= 5 and len(commands('docs/model_zoo.md')) > 60
    assert len(inline_commands('docs/gate.md')) > 0
    assert sum('label_maps_to_coco' in command for command, _ in commands('configs/segrefiner/README.md')) > 5
    assert ('mmrefine refine', ' images/ masks/ --out refined/ --report') in commands('README.md')


def test_every_tool_has_a_page():
    pages = '\n'.join((REPO_ROOT / page).read_text(encoding='utf-8') for page in PAGES)
    tools = [path for path in (REPO_ROOT / 'tools').rglob('*') if path.suffix in ('.py', '.sh')]
    missing = [path.name for path in tools if path.parent.name != 'dev' and path.name not in pages]
    assert len(tools) > 20 and not missing


def test_the_site_lists_every_page():
    index = (REPO_ROOT / 'docs' / 'index.md').read_text(encoding='utf-8').split()
    pages = {path.stem for path in (REPO_ROOT / 'docs').glob('*.md')} - {'index'}
    assert not pages - set(index)
