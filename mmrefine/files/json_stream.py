"""JSON files of any size, read and written one list element at a time.

The standard library's decoder parses a window that moves over the file. Unlike event parsers such as ijson, this gives
the position of each element in the file, so that elements can be indexed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TextIO

from mmrefine.files.names import check_readable

_CHUNK = 1 << 20
_BOM = '\xef\xbb\xbf'  # byte order mark, written by some editors on Windows
_BLANK = re.compile(r'[ \t\n\r]*')
# Only strings are longer, so an error further from the end of the window is not due to a token that is cut there.
_MAX_TOKEN = 32
_decode = json.JSONDecoder().raw_decode


class Item(NamedTuple):
    """A part of a JSON file: an element of the top-level list or of a list under a top-level key, or another value.

    Attributes:
        key: top-level key; None if the file is not an object.
        index: index in the list; None for values that are not lists, and for empty lists.
        value: the decoded JSON.
        start, length: position in the file and length, in bytes.
    """

    key: str | None
    index: int | None
    value: Any
    start: int
    length: int


def walk_json(path: str | os.PathLike, digest: Any = None) -> Iterator[Item]:
    """Iterate over the parts of a JSON file in order.

    Args:
        path: file in UTF-8, with or without a byte order mark.
        digest: hash object of :mod:`hashlib` that is updated with the bytes of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not valid JSON, or a key occurs twice; parts before the error have been yielded.
    """
    with open(check_readable(path), 'rb') as file:
        other = _other_kind(file.peek(2000)[:2000])
        if other:
            raise ValueError(f'{path} is {other}; expected JSON in UTF-8.')
        window = _Window(file, digest)
        try:
            if window.peek() == '{':
                yield from _members(window)
            else:
                yield from _elements(window, None)
            is_whole = not window.peek()
        except UnicodeDecodeError as error:
            raise ValueError(f'{path} is not UTF-8 text, as JSON must be; save it as UTF-8.') from error
        except ValueError as error:
            raise ValueError(f'{path} is not valid JSON ({error}); is it truncated?') from error
        except RecursionError as error:
            raise ValueError(f'{path} is not an annotation file: its lists are nested too deeply.') from error
        if not is_whole:
            raise ValueError(
                f'{path} is not valid JSON: more follows at byte {window.offset}, as in JSON Lines; expected one list '
                'or object.'
            )


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file that fits into memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON.
    """
    content: dict | list = {}
    for item in walk_json(path):
        if item.key is None and item.index is None:
            return item.value
        if item.key is None:
            content = content or []
            content.append(item.value)
        elif item.index is None:
            content[item.key] = item.value
        else:
            content.setdefault(item.key, []).append(item.value)
    return content


def write_json(file: TextIO, items: Iterable[Item]) -> None:
    """Write the items of :func:`walk_json`; the result is identical to that of ``json.dump``."""
    last: Item | None = None
    for item in items:
        is_new = last is None or item.key != last.key
        if is_new and last is not None:
            file.write(']' if last.index is not None else '')
        if is_new and item.key is not None:
            file.write(f'{"{" if last is None else ", "}{json.dumps(item.key)}: ')
        if item.index is not None:
            file.write('[' if is_new else ', ')
        file.write(json.dumps(item.value))
        last = item
    if last is None:
        file.write('{}')
    else:
        file.write((']' if last.index is not None else '') + ('}' if last.key is not None else ''))


def _other_kind(start: bytes) -> str:
    """What a file is that is not text in UTF-8, by its first bytes; '' where nothing says so."""
    packed = {b'\x1f\x8b': 'gzip', b'PK\x03\x04': 'ZIP', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz'}
    kind = next((name for head, name in packed.items() if start.startswith(head)), None)
    if kind is not None:
        return f'packed ({kind}): unpack it'
    encoding = json.detect_encoding(start)
    is_text = start.decode(encoding, 'ignore').lstrip('\ufeff \t\r\n')[:1] in ('{', '[')
    return f'text in {encoding.upper()}: save it again' if is_text and not encoding.startswith('utf-8') else ''


def _members(window: _Window) -> Iterator[Item]:
    keys = set()
    window.take('{')
    if window.peek() == '}':
        window.take('}')
        return
    while True:
        if window.peek() != '"':
            raise window.error('a key is missing')
        key = window.value()[0]
        if key in keys:
            raise window.error(f'the key "{key}" occurs twice')
        keys.add(key)
        window.take(':')
        yield from _elements(window, key)
        if window.take(',}') == '}':
            return


def _elements(window: _Window, key: str | None) -> Iterator[Item]:
    """The elements of the next value if it is a list, else the value."""
    if window.peek() != '[':
        yield Item(key, None, *window.value())
        return
    start = window.offset
    window.take('[')
    if window.peek() == ']':
        window.take(']')
        yield Item(key, None, [], start, window.offset - start)
        return
    index = 0
    while True:
        yield Item(key, index, *window.value())
        index += 1
        if window.take(',]') == ']':
            return


class _Window:
    """Part of the file that is in memory.

    It is decoded as Latin-1, in which a character is a byte: the syntax of JSON is ASCII, and positions are in bytes.
    """

    def __init__(self, file: Any, digest: Any):
        self._file, self._digest = file, digest
        self._text, self._at, self._before = '', 0, 0
        while len(self._text) < len(_BOM) and self._read_on():
            pass
        if self._text.startswith(_BOM):
            self._at = len(_BOM)

    @property
    def offset(self) -> int:
        """Current position in the file, in bytes."""
        return self._before + self._at

    def peek(self) -> str:
        """The next non-blank character; '' at the end of the file."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ''

    def take(self, allowed: str) -> str:
        """Consume the next non-blank character, which must be one of these."""
        character = self.peek()
        if not character or character not in allowed:
            raise self.error(f'expected {" or ".join(allowed)}')
        self._at += 1
        return character

    def value(self) -> tuple[Any, int, int]:
        """Consume the next value; return it with its position and length."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                located = self.error(error.msg.removesuffix(' at'), error.pos - self._at)
                is_cut = error.msg.startswith('Unterminated') or self._is_near_end(error.pos)
                if not is_cut or not self._read_on():
                    raise located from error
            else:
                # 12 may continue as 123, and 1 as 1.5e-7.
                is_cut = self._text[end : end + 1] in '.eE' and self._is_near_end(end)
                if not is_cut or not self._read_on():
                    break
        text, start = self._text[self._at : end], self.offset
        self._at = end
        return value if text.isascii() else json.loads(text.encode('latin-1').decode('utf-8')), start, len(text)

    def error(self, what: str, further: int = 0) -> ValueError:
        return ValueError(f'{what} at byte {self.offset + further}')

    def _is_near_end(self, position: int) -> bool:
        return position > len(self._text) - _MAX_TOKEN

    def _read_on(self) -> bool:
        """Read the next chunk and drop consumed text; False at the end of the file."""
        kept = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(kept)))
        if chunk and self._digest is not None:
            self._digest.update(chunk)
        self._text, self._before, self._at = kept + chunk.decode('latin-1'), self.offset, 0
        return bool(chunk)
