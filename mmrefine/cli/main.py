"""Entry point of ``mmrefine COMMAND ...``."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches

from mmrefine.version import __version__

COMMANDS = {
    'refine': 'refine the masks of images',
    'report': 'write a page for reviewing masks',
    'decide': 'apply the decisions made on that page',
    'convert': 'convert masks between formats',
    'video': 'refine the masks of video clips',
    'pick': 'choose a refiner for given masks',
    'train': 'train a refiner',
    'test': 'evaluate a refiner, or a model whose predictions are refined',
}

HELP = """\
usage: mmrefine COMMAND ...

Refinement of coarse segmentation masks.

{commands}

from labelme files to corrected labelme files:
  mmrefine refine photos/ labelme/ --out refined/ --report
  (open refined/review/index.html, accept, reject, export)
  mmrefine decide refined/ decisions.json

See `mmrefine COMMAND --help` for the options of a command.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ('-h', '--help', 'help'):
        print(HELP.format(commands='\n'.join(f'  {name:8s} {what}' for name, what in COMMANDS.items())), end='')
        return 0 if words else 2
    if words[0] == '--version':
        print(f'mmrefine {__version__}')
        return 0
    if words[0] not in COMMANDS:
        likely = ''.join(f' Did you mean {name}?' for name in get_close_matches(words[0], COMMANDS, 1))
        known = ', '.join(COMMANDS)
        print(f'mmrefine: {words[0]!r} is not a command; expected one of {known}.{likely}', file=sys.stderr)
        return 2
    command = importlib.import_module(f'mmrefine.cli.{words[0]}')
    return command.main(words[1:]) or 0
