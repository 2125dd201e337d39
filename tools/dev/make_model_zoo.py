"""Generate docs/model_zoo.md from the metafiles: tools/dev/make_model_zoo.py [--check].

With --check nothing is written, and the exit status is 1 if the page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'model_zoo.md'
HEADER = """\
# Model zoo

All tables of the three papers that can be reproduced, and the commands. `tools/dev/make_model_zoo.py` generates this
page from the metafiles. *Published* is coarse → refined where both are given; a dash: the published number was not
available. *Here* was measured with this code. [datasets.md](datasets.md) describes how each dataset is laid out and
prepared. Intended differences between a config and its paper are listed in its first lines.
"""


def read_collections() -> Iterator[tuple[dict, list[dict]]]:
    """Collections of the model index, each with its models."""
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))['Import']:
        content = yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))
        for collection in content['Collections']:
            yield collection, [one for one in content['Models'] if one['In Collection'] == collection['Name']]


def page() -> str:
    """The whole page."""
    parts = [HEADER]
    for collection, models in read_collections():
        paper = collection['Paper']
        parts += [f'## {collection["Name"]}', '', f'[{paper["Title"]}]({paper["URL"]})', '']
        parts += ['| model | task | data | published | source | here |', '|---|---|---|---|---|---|']
        parts += [row(model, result) for model in models for result in model['Results']]
        parts += ['', f'### Commands of {collection["Name"]}', '']
        parts += [line for model in models for line in commands(model)]
    return '\n'.join(parts).rstrip() + '\n'


def row(model: dict, result: dict) -> str:
    """A line of the table."""
    published, ours = [], []
    for name, value in result['Metrics'].items():
        sides = [*([result['Coarse'][name]] if name in result.get('Coarse', {}) else []), value]
        published.append(f'{name} ' + ' → '.join('–' if side is None else str(side) for side in sides))
        if name in result.get('Ours', {}):
            ours.append(f'{name} {result["Ours"][name]}')
    here = ', '.join(ours) or f'not run here: needs {result["Needs"]}'
    link = f'[{model["Name"]}](../{model["Config"]})'
    cells = (link, result['Task'], result['Dataset'], ', '.join(published), result['Source'], here)
    return f'| {" | ".join(cells)} |'


def commands(model: dict) -> Iterator[str]:
    """Lines of one model: its notes, and each command once."""
    yield f'**{model["Name"]}**'
    notes = dict.fromkeys(result['Note'] for result in model['Results'] if 'Note' in result)
    yield from (f'({note})' for note in notes)
    yield from ('', '```shell')
    for command in dict.fromkeys(result['Command'] for result in model['Results']):
        yield from map(wrapped, command.splitlines())
    yield from ('```', '')


def wrapped(command: str, width: int = 120) -> str:
    """A long command on several lines, broken before options."""
    lines = ['']
    for word in command.split(' '):
        starts = word.startswith('--') or word.endswith('.json')
        if lines[-1] and starts and len(lines[-1]) + len(word) > width - 20:
            lines.append(f'    {word}')
        else:
            lines[-1] = f'{lines[-1]} {word}' if lines[-1] else word
    return ' \\\n'.join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='only check whether the page is up to date')
    text = page()
    if parser.parse_args().check:
        is_same = PAGE.is_file() and PAGE.read_text(encoding='utf-8') == text
        print(f'{PAGE.relative_to(ROOT)} is {"" if is_same else "not "}up to date')
        return 0 if is_same else 1
    PAGE.write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
