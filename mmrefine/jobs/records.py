"""Records of a job's tasks, from which it resumes, writes again and makes review pages without refining again.

While a job works, each task has a file of its own, a *part*. When it concludes, they become one file,
``records.jsonl``, one line per task in the order of the tasks. Anything in it that is damaged, empty or of another job
counts as not there.

A record holds, in types of JSON: ``key`` and ``name`` of the task; ``refiner``, a digest of all that chooses how is
refined; ``inputs``, fingerprints by name; ``masks``, see :meth:`~mmrefine.jobs.refined_masks.RefinedMasks.as_json`
(of clips ``frames``, a list of such); ``delivered``, what was written of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmrefine.files.atomic import remove_results, whole_file

RECORDS = 'records.jsonl'


class Records:
    """The records of a job.

    Args:
        folder: what the job keeps for itself; need not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._parts, self._path = folder / 'parts', folder / RECORDS
        self._places: dict[str, tuple[int, int]] | None = None

    def read(self, key: str) -> dict | None:
        """The record of a task; None if there is none."""
        with contextlib.suppress(OSError):
            return _decode(self._part(key).read_bytes(), key)
        span = self._index().get(key)
        if span is None:
            return None
        with contextlib.suppress(OSError), open(self._path, 'rb') as file:
            file.seek(span[0])
            return _decode(file.read(span[1]), key)
        return None

    def has(self, key: str) -> bool:
        """Whether there is a record."""
        return self.read(key) is not None

    def write(self, key: str, record: dict) -> None:
        """Write the record of a task.

        Raises:
            OutputError: it cannot be written.
        """
        with whole_file(self._part(key), 'wb') as file:
            file.write(_encode({'key': key, **record}))

    def merge(self, keys: Iterable[str]) -> None:
        """Merge the records of these tasks, in this order, and drop all others.

        Raises:
            OutputError: they cannot be written.
        """
        with whole_file(self._path, 'wb') as file:
            for key in keys:
                record = self.read(key)
                if record is not None:
                    file.write(_encode(record))
        remove_results(self._parts)
        self._places = None

    def __iter__(self) -> Iterator[dict]:
        """All records: those of a concluded job in the order of its tasks, then the parts of one at work."""
        for key in list(self._index()):
            record = self.read(key)
            if record is not None:
                yield record
        for path in sorted(self._parts.glob('*/*.json')):
            with contextlib.suppress(OSError):
                record = _decode(path.read_bytes())
                if record is not None and record['key'] not in self._index():
                    yield record

    def _index(self) -> dict[str, tuple[int, int]]:
        """Offset and length of the line of each key."""
        if self._places is None:
            self._places, start = {}, 0
            with contextlib.suppress(OSError), open(self._path, 'rb') as file:
                for line in file:
                    record = _decode(line)
                    if record is not None:
                        self._places[record['key']] = (start, len(line))
                    start += len(line)
        return self._places

    def _part(self, key: str) -> Path:
        # Folders of a million files are slow to list and to delete; keys may be no names of files.
        name = hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
        return self._parts / name[:2] / f'{name}.json'


def _encode(record: dict) -> bytes:
    text = json.dumps(record)  # json.dump takes four times as long
    return f'{{"crc32": {zlib.crc32(text.encode())}, "record": {text}}}\n'.encode()


def _decode(line: bytes, key: str | None = None) -> dict | None:
    """A record; None if it is damaged, or that of another key."""
    head, separator, text = line.rstrip(b'\n').removesuffix(b'}').partition(b', "record": ')
    if not separator or head != b'{"crc32": %d' % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get('key'), str) or key not in (None, record['key']):
        return None
    return record


class Attempts:
    """Marks of attempts, so that work that kills its process is not tried for ever.

    Args:
        folder: what the job keeps for itself.
    """

    def __init__(self, folder: Path):
        self._folder = folder / 'attempts'

    def begun(self, keys: Iterable[str]) -> int:
        """How many attempts at exactly these tasks have ended with the death of the process."""
        try:
            return int(self._path(keys).read_text())
        except (OSError, ValueError):
            return 0

    def has(self, keys: Iterable[str]) -> bool:
        """Whether work on exactly these tasks was begun and not done."""
        return self._path(keys).exists()

    def begin(self, keys: Iterable[str], count: int) -> None:
        """Mark the start of the ``count``-th attempt."""
        with whole_file(self._path(keys)) as file:
            file.write(str(count))

    def end(self, keys: Iterable[str]) -> None:
        """Remove the mark of an attempt."""
        self._path(keys).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove the folder if nothing is marked."""
        with contextlib.suppress(OSError):
            os.rmdir(self._folder)

    def _path(self, keys: Iterable[str]) -> Path:
        name = hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()[:32]
        return self._folder / name
