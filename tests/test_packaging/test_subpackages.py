"""Imports point one way, as docs/architecture.md draws it."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
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


def modules() -> dict[str, Path]:
    """Files of the package by the names of their modules."""
    found = {}
    for path in PACKAGE.rglob('*.py'):
        if '.mim' not in path.parts:
            parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
            found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


MODULES = modules()


def imported(module: str) -> set[str]:
    """Modules of ours that a module imports, wherever in it and also for type checkers alone."""
    path, found = MODULES[module], set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split('.') if path.name == '__init__.py' else module.split('.')[:-1]
            parts = parts[: len(parts) - node.level + 1] if node.level else []
            base = '.'.join([*parts, *([node.module] if node.module else [])])
            names = [f'{base}.{alias.name}' for alias in node.names]
            found |= {name if name in MODULES else base for name in names}
    return found & MODULES.keys() - {module}


@pytest.mark.parametrize('subpackage', sorted(MAY_IMPORT))
def test_imports_point_one_way(subpackage: str) -> None:
    for module in MODULES:
        if module.split('.')[1:2] == [subpackage]:
            wrong = {name.split('.')[1] for name in imported(module) if '.' in name} - MAY_IMPORT[subpackage]
            assert wrong <= {subpackage}, f'{module} imports {sorted(wrong)}'


def test_imports_make_no_circle() -> None:
    """Also those inside functions, which would hide one."""
    TopologicalSorter({module: imported(module) for module in MODULES}).prepare()


def test_files_are_opened_for_writing_in_one_subpackage() -> None:
    """Renaming is how files appear whole; there is one place that does it."""
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        if '.mim' not in path.parts and 'os.replace(' in path.read_text(encoding='utf-8')
    }
    assert calls == {'files/atomic.py'}
