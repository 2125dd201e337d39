"""Records of a job's tasks, with which it resumes, rewrites results and makes review pages without refining again.

While a job runs, each task has a file, a *part*. When it concludes, the parts are merged into ``records.jsonl``, one
line per task in the order of the tasks. Damaged records are treated as missing.

A record consists of JSON values: ``key`` and ``name`` of the task; ``refiner``, a digest of the refiner and all its
settings; ``inputs``, fingerprints by name; ``masks``, see
:meth:`~mmrefine.jobs.refined_masks.RefinedMasks.as_json`, or for clips the fields of
:class:`~mmrefine.jobs.formats.clips.RefinedClip`; ``delivered``, digests of the files written and the task's report.
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
        folder: folder of the job's internal files, which need not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._parts, self._path = folder / 'parts', folder / RECORDS
        self._spans: dict[str, tuple[int, int]] | None = None

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
        """Whether a task has a record."""
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
        self._spans = None

    def __iter__(self) -> Iterator[dict]:
        """All records: the merged ones in the order of the tasks, then the parts of a running job."""
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
        if self._spans is None:
            self._spans, start = {}, 0
            with contextlib.suppress(OSError), open(self._path, 'rb') as file:
                for line in file:
                    record = _decode(line)
                    if record is not None:
                        self._spans[record['key']] = (start, len(line))
                    start += len(line)
        return self._spans

    def _part(self, key: str) -> Path:
        # Subfolders, because folders with a million files are slow; a hash, because keys may not be valid file names.
        name = hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
        return self._parts / name[:2] / f'{name}.json'


def _encode(record: dict) -> bytes:
    text = json.dumps(record)
    return f'{{"crc32": {zlib.crc32(text.encode())}, "record": {text}}}\n'.encode()


def _decode(line: bytes, key: str | None = None) -> dict | None:
    """Decode a record; None if it is damaged or has another key."""
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
    """Marks of unfinished attempts, so that work that crashes the process is not tried forever.

    Args:
        folder: folder of the job's internal files.
    """

    def __init__(self, folder: Path):
        self._folder = folder / 'attempts'

    def begun(self, keys: Iterable[str]) -> int:
        """Number of attempts at exactly these tasks that were begun and not ended, because the process died."""
        try:
            return int(self._path(keys).read_text())
        except (OSError, ValueError):
            return 0

    def has(self, keys: Iterable[str]) -> bool:
        """Whether an attempt at exactly these tasks is marked."""
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
