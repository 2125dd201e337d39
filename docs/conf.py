"""The documentation site: guides in Markdown, and the reference out of the docstrings. `make docs` builds it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import mmrefine.compat.auto  # noqa: F401  (the modules that are documented import MMDetection)
from mmrefine import __version__

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = 'https://github.com/mmrefine/mmrefine'

project = 'mmrefine'
author = 'The mmrefine authors'
copyright = author
release = version = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.apidoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mmrefine {version}'

myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3
# Some pages start with a picture; attributes called `name` are looked up by name, and there are several.
suppress_warnings = ['myst.header', 'ref.python']

# Everything is described where it is defined; names that packages export lead there, see resolve_exported.
autodoc_default_options = {'members': True, 'show-inheritance': True, 'ignore-module-all': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # they are in the signature, and the docstrings say shapes and units
autodoc_mock_imports = ['sam2', 'segment_anything_hq', 'ray', 'panopticapi']
napoleon_use_rtype = False
napoleon_use_ivar = True
apidoc_modules = [
    {
        'path': '../mmrefine',
        'destination': 'reference',
        'separate_modules': True,
        'module_first': True,
        'automodule_options': {'members', 'show-inheritance'},
    }
]

# Links of the guides to files outside of docs/ lead to the repository.
_OUTSIDE = re.compile(r'\]\(\.\./([^)\s]*)\)')


def link_repository(app: Sphinx, name: str, source: list[str]) -> None:
    def target(match: re.Match) -> str:
        path = match[1].partition('#')[0]
        kind = 'tree' if (ROOT / path).is_dir() else 'blob'
        return f']({REPOSITORY}/{kind}/main/{match[1]})'

    source[0] = _OUTSIDE.sub(target, source[0])


def resolve_exported(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Leads a reference to a name that a package exports, such as mmrefine.refine, to where it is defined."""
    package, _, name = node['reftarget'].rpartition('.')
    if node.get('refdomain') != 'py' or not package.startswith('mmrefine'):
        return None
    try:
        defined = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError):
        return None
    target = f'{getattr(defined, "__module__", "")}.{getattr(defined, "__qualname__", "")}'
    if target == node['reftarget']:
        return None
    domain = env.get_domain('py')
    return domain.resolve_xref(env, node['refdoc'], app.builder, 'obj', target, node, content)


def escape_markup(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Stars and bars in docstrings are products, powers, shapes (N, *size_hw) and sizes |B1|, not markup."""
    code_indent = None
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if code_indent is not None and line.strip() and indent <= code_indent:
            code_indent = None
        if code_indent is None and not line.lstrip().startswith(('>>>', '*', '| ')):
            prose_and_literals = re.split(r'(``.*?``)', line)
            prose_and_literals[::2] = [re.sub(r'([*|])', r'\\\1', text) for text in prose_and_literals[::2]]
            lines[index] = ''.join(prose_and_literals)
        if code_indent is None and line.rstrip().endswith('::') or '.. code-block' in line:
            code_indent = indent


def check_exported(app: Sphinx, env: BuildEnvironment) -> None:
    """Warns of a name in a package's ``__all__`` that the reference does not describe."""
    described = env.get_domain('py').objects
    packages = [module.name for module in pkgutil.walk_packages(mmrefine.__path__, 'mmrefine.') if module.ispkg]
    for package in map(importlib.import_module, ('mmrefine', *packages)):
        for name in getattr(package, '__all__', ()):
            defined = getattr(package, name)
            target = f'{getattr(defined, "__module__", "")}.{getattr(defined, "__qualname__", "")}'
            if callable(defined) and target.startswith('mmrefine.') and target not in described:
                logger.warning('%s exports %s, which the reference does not describe', package.__name__, target)


def setup(app: Sphinx) -> None:
    app.connect('env-check-consistency', check_exported)
    app.connect('source-read', link_repository)
    app.connect('missing-reference', resolve_exported)
    app.connect('autodoc-process-docstring', escape_markup, priority=400)  # before napoleon writes its own
