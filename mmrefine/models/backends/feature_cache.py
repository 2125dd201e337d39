"""Image features on disk, so that several runs over the same images encode each of them once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch

from mmrefine.models.backends.base_backend import PromptBackend, PromptFeatures


class FeatureCache:
    """A folder of features in half precision, one file per image and model.

    A file's name is the digest of the image's pixels and of all that decides its features; it is written under another
    name first, so that processes may share a folder. What is read last stays longest. A file that cannot be read is
    computed anew. Features are the same whether they come from the cache or not: both go through half precision.

    Args:
        folder: made if need be.
        max_bytes: the files used longest ago are deleted above this size of all files together.
    """

    def __init__(self, folder: str | os.PathLike, max_bytes: int = 10 * 2**30):
        if max_bytes <= 0:
            raise ValueError(f'max_bytes must be positive, got {max_bytes}; leave the cache out to use none.')
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._known: tuple[tuple[int, int], str] | None = None

    def encode(self, backend: PromptBackend, image: np.ndarray) -> PromptFeatures:
        """The features of :meth:`PromptBackend.encode`, from the folder where they are there."""
        path = self._path(backend, image)
        features = self._read(path, backend, image.shape[:2])
        if features is not None:
            return features
        features = backend.encode(image)
        rounded = features.to(torch.float16)
        if not all(tensor.isfinite().all() for tensor in (rounded.embedding, *rounded.extras)):
            return features  # too large for half precision: not kept
        self._write(path, rounded)
        return rounded.to(torch.float32)

    def _path(self, backend: PromptBackend, image: np.ndarray) -> Path:
        digest = hashlib.sha256(f'{self._fingerprint(backend)} {image.shape}'.encode())
        digest.update(np.ascontiguousarray(image))
        return self.folder / f'{digest.hexdigest()}.npz'

    def _fingerprint(self, backend: PromptBackend) -> str:
        """The backend's own, computed again only when its weights were written to."""
        state = id(backend), sum(parameter._version for parameter in backend.parameters())
        if self._known is None or self._known[0] != state:
            self._known = state, backend.fingerprint()
        return self._known[1]

    @staticmethod
    def _read(path: Path, backend: PromptBackend, image_hw: tuple[int, int]) -> PromptFeatures | None:
        try:
            with np.load(path, allow_pickle=False) as archive:  # a zip archive: each array has a checksum
                arrays = [archive[f'arr_{k}'] for k in range(len(archive.files))]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, KeyError, ValueError, BadZipFile, ZlibError):
            return None
        if not arrays:
            return None
        with suppress(OSError):
            os.utime(path)
        embedding, *extras = (torch.from_numpy(array).to(backend.device, torch.float32) for array in arrays)
        return PromptFeatures(backend.frame(image_hw), embedding, tuple(extras))

    def _write(self, path: Path, features: PromptFeatures) -> None:
        arrays = [tensor.cpu().numpy() for tensor in (features.embedding, *features.extras)]
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(suffix='.part', dir=self.folder)
        try:
            with os.fdopen(handle, 'wb') as file:
                np.savez(file, *arrays)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        self._evict()

    def _evict(self) -> None:
        """Delete files, those used longest ago first, until the rest fits; another process may be deleting too."""
        entries = []
        for path in self.folder.glob('*.npz'):
            with suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
