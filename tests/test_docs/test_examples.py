"""The examples in docstrings run, and what is public in the first place has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import mmrefine
from mmrefine import apis


def modules_with_examples() -> list[str]:
    """Names of modules whose text holds a doctest; nothing is imported to find them."""
    found = []
    for module in pkgutil.walk_packages(mmrefine.__path__, 'mmrefine.', onerror=lambda name: None):
        spec = module.module_finder.find_spec(module.name)
        if spec.origin and spec.origin.endswith('.py'):
            with open(spec.origin, encoding='utf-8') as file:
                if '>>> ' in file.read():
                    found.append(module.name)
    return found


@pytest.mark.parametrize('name', modules_with_examples())
def test_examples_run(name, capsys):
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(module, optionflags=flags)
    assert tried and not failed, capsys.readouterr().out


@pytest.mark.parametrize(
    'name', ['refine', 'RefineInferencer', 'refine_predictions', 'build_refiner', 'find_checkpoint']
)
def test_public_functions_have_an_example(name):
    assert '>>> ' in getattr(apis, name).__doc__
