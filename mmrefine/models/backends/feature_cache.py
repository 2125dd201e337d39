"""Cache of image features on disk, so that several runs on the same images encode each of them once."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch

from mmrefine.files.atomic import whole_file
from mmrefine.models.backends.base_backend import PromptBackend, PromptFeatures

_EMBEDDING, _KEY = 'embedding', 'key'


class FeatureCache:
    """Cache folder of features in half precision, one file per image and model.

    The name of a file is a digest of the image and of everything that its features depend on. Files are written
    atomically, so that processes can share a folder. Files that cannot be read are computed again. Features are
    always rounded to half precision, whether they come from the cache or not.

    Args:
        folder: folder of the cache, created if necessary.
        max_bytes: maximum total size; the least recently used files are deleted.
    """

    def __init__(self, folder: str | os.PathLike, max_bytes: int = 10 * 2**30):
        if max_bytes <= 0:
            raise ValueError(f'max_bytes must be positive, got {max_bytes}; use cache=None for no cache.')
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._known: tuple[tuple[int, str, int], str] | None = None

    def encode(self, backend: PromptBackend, image: np.ndarray) -> PromptFeatures:
        """The features of :meth:`PromptBackend.encode`, from the cache if possible."""
        path = self._path(backend, image)
        maps = self._read(path)
        if maps is None:
            features = backend.encode(image)
            maps = {_EMBEDDING: features.embedding, **features.extras}
            maps = {name: values.to(torch.float16) for name, values in maps.items()}
            if not all(values.isfinite().all() for values in maps.values()):
                return features  # out of the range of half precision: not cached
            self._write(path, maps)
        maps = {name: values.to(backend.device, torch.float32) for name, values in maps.items()}
        return PromptFeatures(backend.frame(image.shape[:2]), maps.pop(_EMBEDDING), maps)

    def _path(self, backend: PromptBackend, image: np.ndarray) -> Path:
        digest = hashlib.sha256(f'{self._fingerprint(backend)} {image.shape}'.encode())
        digest.update(np.ascontiguousarray(image))
        return self.folder / f'{digest.hexdigest()}.npz'

    def _fingerprint(self, backend: PromptBackend) -> str:
        """Fingerprint of the backend, which is computed again only after its weights or settings have changed."""
        state = id(backend), backend.settings(), sum(parameter._version for parameter in backend.parameters())
        if self._known is None or self._known[0] != state:
            self._known = state, backend.fingerprint()
        return self._known[1]

    @staticmethod
    def _read(path: Path) -> dict[str, torch.Tensor] | None:
        """Feature maps of an entry by name; None if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as archive:  # a zip archive: each array has a checksum
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, EOFError, KeyError, ValueError, BadZipFile, ZlibError):
            return None
        is_whole = str(arrays.pop(_KEY, '')) == path.stem and _EMBEDDING in arrays
        if not is_whole or any(array.dtype != np.float16 for array in arrays.values()):
            return None
        with suppress(OSError):
            os.utime(path)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _write(self, path: Path, maps: dict[str, torch.Tensor]) -> None:
        with whole_file(path, 'wb', shared=True) as file:
            np.savez(file, **{_KEY: path.stem}, **{name: values.cpu().numpy() for name, values in maps.items()})
        self._evict()

    def _evict(self) -> None:
        """Delete the least recently used files until the rest fits; other processes may delete at the same time."""
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
