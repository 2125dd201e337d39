"""Cache of refined masks on disk. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmrefine.files.atomic import whole_file
from mmrefine.files.digests import digest_of, file_digest, plain
from mmrefine.structures import RefineResult
from mmrefine.version import __version__

# Errors that numpy raises for truncated, overwritten or foreign files.
_DAMAGE = (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class ResultCache:
    """Cache folder with one file per result, named by a digest of everything that the result depends on.

    Threads and processes may share a folder: files are written atomically, and concurrent writers write the same
    content. The cache never deletes files; the folder can be deleted at any time.

    Args:
        folder: created when the first result is stored.
        refiner_id: digest of the refiner, see :func:`refiner_fingerprint`.
    """

    def __init__(self, folder: str | os.PathLike, refiner_id: str):
        self.folder = Path(folder)
        self.refiner_id = refiner_id

    def key(self, image_path: str | os.PathLike, masks: np.ndarray) -> str:
        """Key of a result: digest of the refiner, the image file's content and the (N, H, W) bool coarse masks."""
        digest = hashlib.sha256(f'{self.refiner_id} {masks.shape}'.encode())
        digest.update(bytes.fromhex(file_digest(image_path)))
        digest.update(np.packbits(masks).tobytes())
        return digest.hexdigest()

    def get(self, key: str, coarse: np.ndarray) -> RefineResult | None:
        """The result with this key; None if it is missing or damaged.

        Args:
            key: key of the result.
            coarse: (N, H, W) bool, the coarse masks of the key.
        """
        try:
            with np.load(self._path(key), allow_pickle=False) as stored:
                return _result(stored, key, coarse)
        except FileNotFoundError:
            return None
        except _DAMAGE:
            return None  # it is computed and written again

    def put(self, key: str, result: RefineResult) -> None:
        """Store a result.

        Raises:
            OSError: the folder is not writable.
        """
        with whole_file(self._path(key), 'wb', shared=True) as file:
            np.savez_compressed(
                file,
                key=np.array(key),
                masks=np.packbits(result.masks),
                scores=result.scores,
                accepted=result.accepted,
                reasons=np.array(result.reasons, str),
                proposals=np.packbits(result.proposals),
                proposal_scores=result.proposal_scores,
                coarse_scores=result.coarse_scores,
                feature_names=np.array(list(result.features), str),
                features=np.array(list(result.features.values()), np.float64),
            )

    def _path(self, key: str) -> Path:
        # Subfolders, because folders with a million files are slow to list and to delete.
        return self.folder / key[:2] / f'{key}.npz'


def _result(stored: Mapping[str, np.ndarray], key: str, coarse: np.ndarray) -> RefineResult:
    """Decode a stored result, validating that it belongs to this key and these (N, H, W) masks."""
    count = len(coarse)
    packed = {name: stored[name] for name in ('masks', 'proposals')}
    scores = {name: stored[name] for name in ('scores', 'proposal_scores', 'coarse_scores')}
    accepted, reasons = stored['accepted'], stored['reasons']
    features = dict(zip(stored['feature_names'].tolist(), stored['features'], strict=True))
    is_whole = (
        stored['key'].item() == key
        and all(bits.dtype == np.uint8 and bits.shape == (-(-coarse.size // 8),) for bits in packed.values())
        and all(column.shape == (count,) for column in (accepted, reasons, *scores.values(), *features.values()))
        and accepted.dtype == bool
        and all((column >= 0).all() and (column <= 1).all() for column in scores.values())
    )
    if not is_whole:
        raise ValueError('the file does not contain this result')
    masks, proposals = (
        np.unpackbits(bits, count=coarse.size).reshape(coarse.shape).astype(bool) for bits in packed.values()
    )
    return RefineResult(
        masks=masks,
        accepted=accepted,
        coarse_masks=coarse,
        reasons=tuple(reasons.tolist()),
        proposals=proposals,
        features=features,
        **scores,
    )


def refiner_fingerprint(config: Mapping, checkpoint: str | os.PathLike | None, seed: int) -> str:
    """Digest of a refiner's config, weights and seed, and of the version of this package.

    Args:
        config: config of the refiner; files that it names are replaced by their content.
        checkpoint: its weights: a file, which is replaced by its content, or a URL.
        seed: its random seed.
    """
    return digest_of([__version__, seed, plain(config), plain(None if checkpoint is None else str(checkpoint))])
