"""Large JSON files: the same as the standard library says, at every cut of the window; mistakes are said."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tracemalloc
from pathlib import Path

import pytest

from mmrefine.files import json_stream
from mmrefine.files.json_stream import Item, walk_json, write_json

CONTENTS = [
    {},
    [],
    3,
    'größe',
    [1, 23, -4.5e-7, 'a"b\\', None],
    {'info': {'a': [1, 2]}, 'images': [{'id': 'ä', 'file_name': '日本.jpg'}], 'empty': [], 'n': 12, 'list': [[1], []]},
    {'ß': [{'counts': 'x' * 50}], 'last': False},
]


def save(path: Path, content: object, **options: object) -> Path:
    path.write_text(json.dumps(content, **options), encoding='utf-8')
    return path


def collect(items: list[Item]) -> object:
    """What the items came from."""
    if items and items[0].key is None:
        return items[0].value if items[0].index is None else [item.value for item in items]
    content: dict = {}
    for item in items:
        if item.index is None:
            content[item.key] = item.value
        else:
            content.setdefault(item.key, []).append(item.value)
    return content


@pytest.mark.parametrize('chunk', [1, 2, 7, 1 << 20])
@pytest.mark.parametrize('layout', [{}, {'ensure_ascii': False, 'indent': 1}])
@pytest.mark.parametrize('content', CONTENTS)
def test_same_as_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, layout: dict, chunk: int
) -> None:
    monkeypatch.setattr(json_stream, '_CHUNK', chunk)
    path = save(tmp_path / 'a.json', content, **layout)
    digest = hashlib.sha256()
    items = list(walk_json(path, digest))
    assert collect(items) == content
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
    raw = path.read_bytes()
    for item in items:
        assert json.loads(raw[item.start : item.start + item.length]) == item.value
    written = io.StringIO()
    write_json(written, items)
    assert written.getvalue() == json.dumps(content)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'Expecting value at byte 0'),
        ('[{"a": 1}, {"a"', "Expecting ':' delimiter at byte 15"),
        ('[{"a": 1}, ', 'Expecting value at byte 11'),
        ('[{"a": 1}', 'expected , or ] at byte 9'),
        ('{"a": [1, "', 'Unterminated string'),
        ('{"a": 1, }', 'a key is missing at byte 9'),
        ('{"a": 1 "b": 2}', 'expected , or } at byte 8'),
        ('{"a": [1], "a": [2]}', 'the key "a" occurs twice'),
        ('[1 2]', 'expected , or ] at byte 3'),
        ('[nope]', 'Expecting value at byte 1'),
    ],
)
@pytest.mark.parametrize('chunk', [1, 1 << 20])
def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str, chunk: int) -> None:
    monkeypatch.setattr(json_stream, '_CHUNK', chunk)
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError) as error:
        list(walk_json(tmp_path / 'a.json'))
    assert 'a.json is not valid JSON' in str(error.value) and message in str(error.value)
    assert str(error.value).endswith('; is it truncated?')


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'utf-32-be'])
def test_text_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / 'a.json').write_text('\n {"images": []}', encoding=encoding)
    with pytest.raises(
        ValueError, match=rf'a.json is text in {encoding.upper()}: save it again; expected JSON in UTF-8'
    ):
        list(walk_json(tmp_path / 'a.json'))


@pytest.mark.parametrize('text', ['[1, 2]]', '{"a": 1}\n{"a": 2}\n', '[] nothing'])
def test_more_than_one_value(tmp_path: Path, text: str) -> None:
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match='a.json is not valid JSON: more follows at byte .*JSON Lines; expected one'):
        list(walk_json(tmp_path / 'a.json'))


def test_no_text_and_no_file(tmp_path: Path) -> None:
    for pack, kind in ((gzip.compress, 'gzip'), (bz2.compress, 'bzip2'), (lzma.compress, 'xz')):
        (tmp_path / 'a.json').write_bytes(pack(b'[]'))
        with pytest.raises(ValueError, match=rf'a.json is packed \({kind}\): unpack it'):
            list(walk_json(tmp_path / 'a.json'))
    (tmp_path / 'a.json').write_bytes(bytes(100))
    with pytest.raises(ValueError, match='a.json is not valid JSON'):
        list(walk_json(tmp_path / 'a.json'))
    (tmp_path / 'a.json').write_bytes(b'["\xff"]')
    with pytest.raises(ValueError, match='a.json is not UTF-8 text, as JSON must be'):
        list(walk_json(tmp_path / 'a.json'))
    with pytest.raises(FileNotFoundError, match='nowhere.json does not exist'):
        list(walk_json(tmp_path / 'nowhere.json'))


@pytest.mark.parametrize('broken', [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    """Eight megabytes through a window of 16 KiB; a mistake in the middle does not pull in the rest either."""
    monkeypatch.setattr(json_stream, '_CHUNK', 1 << 14)
    records = ', '.join(json.dumps({'id': index, 'counts': 'x' * 400}) for index in range(18_000))
    path = tmp_path / 'a.json'
    path.write_text(f'{{"annotations": [{records[:1000] + "?" + records[1000:] if broken else records}]}}')
    tracemalloc.start()
    try:
        count = sum(1 for _ in walk_json(path))
    except ValueError:
        assert broken
    else:
        assert count == 18_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1 << 20  # some windows and the records in them; the file is eight times that
