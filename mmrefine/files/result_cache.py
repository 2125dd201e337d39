"""Refined masks kept on disk, so that they are computed once. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.structures import RefineResult
from mmrefine.version import __version__

_CHUNK_BYTES = 2**20
# What a file that is cut short, overwritten or of another kind can raise in numpy's reader.
_DAMAGE = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class ResultCache:
    """A folder of results, one file each, under names that follow from everything a result depends on.

    Any number of threads and processes may share a folder: files appear whole, and who comes second writes the same
    again. Nothing is ever deleted; the folder may be, at any time.

    Args:
        folder: made when the first result is written.
        refiner_id: what tells one refiner from another, see :func:`refiner_fingerprint`.
    """

    def __init__(self, folder: str | os.PathLike, refiner_id: str):
        self.folder = Path(folder)
        self.refiner_id = refiner_id

    def key(self, image_path: str | os.PathLike, masks: np.ndarray) -> str:
        """Name of a result: the refiner, the bytes of the image file and the pixels of the (N, H, W) bool masks."""
        digest = hashlib.sha256(f'{self.refiner_id} {masks.shape}'.encode())
        digest.update(bytes.fromhex(file_digest(image_path)))
        digest.update(np.packbits(masks).tobytes())
        return digest.hexdigest()

    def get(self, key: str, coarse: np.ndarray) -> RefineResult | None:
        """The result under a key; None if there is none, or a damaged one.

        Args:
            coarse: (N, H, W) bool, the masks that the key was made with.
        """
        try:
            with np.load(self._path(key), allow_pickle=False) as stored:
                masks, proposals = (
                    np.unpackbits(stored[name], count=coarse.size).reshape(coarse.shape).astype(bool)
                    for name in ('masks', 'proposals')
                )
                scores, accepted, proposal_scores = (stored[n] for n in ('scores', 'accepted', 'proposal_scores'))
                reasons = tuple(stored['reasons'].tolist())
                features = dict(zip(stored['feature_names'].tolist(), stored['features'], strict=True))
        except FileNotFoundError:
            return None
        except _DAMAGE:
            return None  # it is computed and written again
        return RefineResult(masks, scores, accepted, coarse, reasons, proposals, proposal_scores, features)

    def put(self, key: str, result: RefineResult) -> None:
        """Keep a result.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: another process may be writing the same result.
        handle, unfinished = tempfile.mkstemp(prefix=f'.{path.stem}.', suffix='.unfinished', dir=path.parent)
        try:
            with os.fdopen(handle, 'wb') as file:
                np.savez_compressed(
                    file,
                    masks=np.packbits(result.masks),
                    scores=result.scores,
                    accepted=result.accepted,
                    reasons=np.array(result.reasons, str),
                    proposals=np.packbits(result.proposals),
                    proposal_scores=result.proposal_scores,
                    feature_names=np.array(list(result.features), str),
                    features=np.array(list(result.features.values()), np.float64),
                )
            os.replace(unfinished, path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise

    def _path(self, key: str) -> Path:
        # Folders of a million files are slow to list and to delete.
        return self.folder / key[:2] / f'{key}.npz'


def refiner_fingerprint(config: Mapping, checkpoint: str | os.PathLike | None, seed: int) -> str:
    """What tells one refiner from another: its config, its weights, its seed, and the version of this package.

    Args:
        config: of the refiner. Of files that it names the content counts.
        checkpoint: its weights; a file, or an address that stands for itself.
        seed: of its random draws.
    """
    parts = [__version__, seed, _with_digests(config), _with_digests(None if checkpoint is None else str(checkpoint))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _with_digests(value: Any) -> Any:
    """A config in types of JSON, names of files replaced by what is in them."""
    if isinstance(value, Mapping):
        return {str(key): _with_digests(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_digests(item) for item in value]
    if isinstance(value, str) and Path(value).is_file():
        return file_digest(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
