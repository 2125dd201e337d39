"""Commands that the pages show: their files are there and know the options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

PAGES = sorted(
    path.relative_to(REPO_ROOT).as_posix()
    for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md', 'projects/**/*.md', 'tools/**/*.md')
    for path in REPO_ROOT.glob(pattern)
)
SHELL_BLOCK = re.compile(r'```(?:bash|shell)\n(.*?)```', re.DOTALL)
COMMAND = re.compile(r'((?:tools|projects|demo)/[\w/.-]+\.(?:py|sh)|mmrefine [a-z]+)([^|;&#\n]*)')
OPTION = re.compile(r'(?<=\s)--[a-z][a-z0-9-]*')


def commands(page: str) -> list[tuple[str, str]]:
    """File or `mmrefine COMMAND`, and arguments, of each command in the shell blocks of a page."""
    text = (REPO_ROOT / page).read_text(encoding='utf-8')
    blocks = '\n'.join(SHELL_BLOCK.findall(text)).replace('\\\n', ' ')
    return COMMAND.findall(blocks)


@pytest.mark.parametrize('page', PAGES)
def test_shown_commands_exist_with_their_options(page: str):
    for file, arguments in commands(page):
        path = REPO_ROOT / (f'mmrefine/cli/{file.split()[1]}.py' if file.startswith('mmrefine ') else file)
        assert path.is_file(), f'{page} shows {file}'
        unknown = [option for option in OPTION.findall(arguments) if not knows(path, option)]
        assert not unknown, f'{page} shows {file} with {unknown}'


def knows(path: Path, option: str) -> bool:
    """Whether a tool has the option, or a tool that a shell script starts, or the command that a tool stands for."""
    texts = [path.read_text(encoding='utf-8')]
    if path.suffix == '.sh':
        started = re.findall(r'[\w/.-]+\.py', texts[0])
        files = [REPO_ROOT / name.lstrip('/') for name in started] + [path.parent / Path(name).name for name in started]
        texts += [file.read_text(encoding='utf-8') for file in files if file.is_file()]
    for _ in range(2):  # a script, its command, and the options that commands share
        modules = re.findall(r'^from (mmrefine\.cli[\w.]*) import', '\n'.join(texts), re.MULTILINE)
        texts += [(REPO_ROOT / f'{module.replace(".", "/")}.py').read_text(encoding='utf-8') for module in modules]
    return any(f"'{option}'" in text for text in texts)


def test_search_finds_commands():
    assert len(commands('docs/video.md')) >= 5
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
