"""Imports point one way, as docs/architecture.md draws it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ANYWHERE = {'compat', 'registry', 'utils', 'version'}
# Each subpackage may import those before it, of its own line none.
ORDER = [
    {'core'},
    {'structures'},
    {'files'},
    {'models', 'evaluation'},
    {'datasets', 'engine', 'visualization'},
    {'apis'},
    {'jobs'},
    {'cli'},
]
MAY_IMPORT = {
    name: set().union(*ORDER[:level]) | ANYWHERE - {name} for level, names in enumerate(ORDER) for name in names
}
MAY_IMPORT['core'] = set()
MAY_IMPORT['structures'] = {'core'}
PACKAGE = Path(__file__).parents[2] / 'mmrefine'


def subpackages_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
        found |= {name.split('.')[1] for name in names if name.startswith('mmrefine.')}
    return found


@pytest.mark.parametrize('subpackage', sorted(MAY_IMPORT))
def test_imports_point_one_way(subpackage: str) -> None:
    for path in (PACKAGE / subpackage).rglob('*.py'):
        wrong = subpackages_imported(path) - MAY_IMPORT[subpackage] - {subpackage}
        assert not wrong, f'{path.relative_to(PACKAGE)} imports {sorted(wrong)}'


def test_files_are_opened_for_writing_in_one_subpackage() -> None:
    """Renaming is how files appear whole; there is one place that does it."""
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        if '.mim' not in path.parts and 'os.replace(' in path.read_text(encoding='utf-8')
    }
    assert calls == {'files/atomic.py'}
