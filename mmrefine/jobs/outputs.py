"""Output folder of a job, in which it writes only files that its manifest lists.

Its subfolder ``.job/`` contains what a job needs to resume: the manifest, the lock, the records.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmrefine.files.atomic import OutputError, remove_results, whole_file
from mmrefine.files.digests import file_digest
from mmrefine.files.manifest import JOB_FOLDER, MANIFEST, read_manifest
from mmrefine.files.names import real_path


class OutputFolder:
    """The output folder of a job.

    Args:
        root: the folder, which need not exist.

    Raises:
        ValueError: it is not a valid path.

    Attributes:
        state: folder of the job's internal files.
        owned: names, relative to the root, of the files that this job or an earlier one has written here or will write.
    """

    def __init__(self, root: str | os.PathLike):
        if '\0' in os.fspath(root):
            raise ValueError(f'{os.fspath(root)!r} is not a folder name; choose another --out.')
        self.root = Path(root)
        self.state = self.root / JOB_FOLDER
        self.owned = read_manifest(self.root)

    def path(self, name: str) -> Path:
        """Path of a result.

        Raises:
            OutputError: it would be outside the folder.
        """
        parts = name.split('/')
        if any(part in ('', '.', '..') or '\0' in part for part in parts) or parts[0] == JOB_FOLDER:
            raise OutputError(f'{name!r} is not a name for a file under {self.root}.')
        path = self.root.joinpath(*parts)
        root = real_path(self.root)
        folder = real_path(path.parent)
        if folder != root and root not in folder.parents:
            raise OutputError(f'{path} is a link that leads out of {self.root}; remove it, or choose another --out.')
        return path

    def plan(self, names: Iterable[str]) -> None:
        """Add results to the manifest; must be called in one process before they are written.

        Raises:
            OutputError: a file exists that no job has written, or the folder is not writable.
        """
        new = self.check_free(names)
        self.owned.update(new)
        if self.owned != read_manifest(self.root) or not self.owned:
            self._write_manifest()

    def check_free(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are not owned; such files must not exist.

        Raises:
            OutputError: a file exists that no job has written.
        """
        new = [name for name in names if name not in self.owned]
        for name in new:
            path = self.path(name)
            if os.path.lexists(path):
                raise OutputError(f'{path} already exists and was not written by this job; choose another --out.')
        return new

    def register(self, written: Iterable[tuple[str, str]]) -> None:
        """Add recorded results that are missing from the manifest.

        Args:
            written: names and digests of the files; a file with another digest may not belong to the job.
        """
        for name, digest in written:
            if name not in self.owned and digest is not None and self.digest(name) == digest:
                self.owned.add(name)

    @contextmanager
    def open(self, name: str, mode: str = 'w') -> Iterator[IO]:
        """Open a result for writing, see :func:`~mmrefine.files.atomic.whole_file`.

        Raises:
            OutputError: it is not in the manifest, or cannot be written.
        """
        if name not in self.owned:
            self.owned |= read_manifest(self.root)  # another process may have planned it
            if name not in self.owned:
                raise OutputError(f'{self.path(name)} is not in the manifest of this job.')
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            raise OutputError(f'{path} must be written but is a folder; choose another --out.')
        with whole_file(path, mode, unfinished=self.unfinished(name)) as file:
            yield file

    def unfinished(self, name: str) -> Path:
        """Temporary path of a result."""
        suffix = Path(name).suffix if len(Path(name).suffix) < 8 else ''
        return self.state / 'unfinished' / (hashlib.sha256(os.fsencode(name)).hexdigest()[:32] + suffix)

    def digest(self, name: str) -> str | None:
        """SHA-256 of a result; None if it is missing or cannot be read."""
        try:
            path = self.path(name)
            return None if path.is_symlink() else file_digest(path)
        except OSError:
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Delete results that the manifest lists, and folders that become empty.

        Raises:
            OutputError: they cannot be deleted.
        """
        removed = []
        for name in names:
            if name not in self.owned:
                continue
            try:
                path = self.path(name)
            except OutputError:  # a folder was replaced by a link
                continue
            if path.is_dir() and not path.is_symlink():
                continue  # replaced by a folder
            if os.path.lexists(path):
                remove_results(path)
            removed.append(path)
        for folder in sorted({path.parent for path in removed}, key=lambda path: -len(path.parts)):
            self._remove_empty(folder)

    def clear(self) -> None:
        """Delete all results and internal files of the job, except the lock.

        Raises:
            OutputError: they cannot be deleted.
        """
        self.remove(self.owned)
        if self.owned:
            self.owned.clear()
            self._write_manifest()
        remove_results(
            *(path for path in self.state.iterdir() if path.name not in (MANIFEST, 'lock') and not path.is_symlink())
        )

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root and self.root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _write_manifest(self) -> None:
        path = self.state / MANIFEST
        with whole_file(path, unfinished=self.state / 'unfinished' / MANIFEST) as file:
            file.writelines(json.dumps(name) + '\n' for name in sorted(self.owned))


def check_names(names: Iterable[str]) -> None:
    """Check that the names of results are unique.

    Raises:
        ValueError: two are the same.
    """
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f'{twice[0]} has the same name as another file that the job writes; rename it.')


def check_apart(out: OutputFolder, names: Iterable[str], inputs: Iterable[tuple[str, Path]]) -> None:
    """Check that results do not overwrite inputs.

    Args:
        out: the output folder.
        names: names of the results.
        inputs: roles, such as ``'masks'``, and paths of input files and folders.

    Raises:
        ValueError: a result would be, contain or lie in an input.
    """
    # Top-level folders of results must not contain inputs.
    folders = {real_path(out.root / name.split('/')[0]) for name in names} | {real_path(out.state)}
    for what, path in inputs:
        path = real_path(path)
        for folder in folders:
            if folder == path:
                problem = f'results would overwrite the {what} {path}'
            elif folder in path.parents:
                problem = f'results would be written to {folder}, which contains the {what} {path}'
            elif path in folder.parents and path.is_dir():
                problem = f'results would be written to {folder}, among the {what} {path}'
            else:
                continue
            raise ValueError(f'{problem}; choose another --out.')
