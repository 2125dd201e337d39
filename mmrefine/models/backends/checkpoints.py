"""Checkpoints of promptable segmentation models, from a path or downloaded to torch's cache directory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

from torch import nn
from torch.hub import download_url_to_file, get_dir

from mmrefine.files.atomic import whole_file, whole_path
from mmrefine.files.digests import file_digest
from mmrefine.models.state_dicts import differences, read_state_dict

_SAM_URL = 'https://dl.fbaipublicfiles.com/segment_anything'
_SAM2_URL = 'https://dl.fbaipublicfiles.com/segment_anything_2'
_HQ_URL = 'https://huggingface.co/lkeab/hq-sam/resolve/main'


@dataclass(frozen=True)
class OfficialCheckpoint:
    """A published checkpoint.

    Attributes:
        url: its URL.
        size: its size in bytes, if known.
        md5: its MD5 digest, if known.
    """

    url: str
    size: int | None = None
    md5: str | None = None

    @property
    def file_name(self) -> str:
        """Last part of the URL."""
        return Path(urlparse(self.url).path).name


_OFFICIAL = {
    checkpoint.url: checkpoint
    for checkpoint in (
        OfficialCheckpoint(f'{_SAM_URL}/sam_vit_b_01ec64.pth', 375042383, '01ec64d29a2fca3f0661936605ae66f8'),
        OfficialCheckpoint(f'{_SAM_URL}/sam_vit_l_0b3195.pth', 1249524607, '0b3195507c641ddb6910d2bb5adee89c'),
        OfficialCheckpoint(f'{_SAM_URL}/sam_vit_h_4b8939.pth', 2564550879, '4b8939a88964f0f4ff5f5b2642c598a6'),
        OfficialCheckpoint(f'{_HQ_URL}/sam_hq_vit_b.pth', None, 'c6b8953247bcfdc8bb8ef91e36a6cacc'),
        OfficialCheckpoint(f'{_HQ_URL}/sam_hq_vit_l.pth', None, '08947267966e4264fb39523eccc33f86'),
        OfficialCheckpoint(f'{_HQ_URL}/sam_hq_vit_h.pth', None, '3560f6b6a5a6edacd814a1325c39640a'),
        OfficialCheckpoint(f'{_SAM2_URL}/072824/sam2_hiera_tiny.pt', 155906050),
        OfficialCheckpoint(f'{_SAM2_URL}/072824/sam2_hiera_small.pt', 184309650),
        OfficialCheckpoint(f'{_SAM2_URL}/072824/sam2_hiera_base_plus.pt', 323493298),
        OfficialCheckpoint(f'{_SAM2_URL}/072824/sam2_hiera_large.pt', 897952466),
        OfficialCheckpoint(f'{_SAM2_URL}/092824/sam2.1_hiera_tiny.pt', 156008466),
        OfficialCheckpoint(f'{_SAM2_URL}/092824/sam2.1_hiera_small.pt', 184416285),
        OfficialCheckpoint(f'{_SAM2_URL}/092824/sam2.1_hiera_base_plus.pt', 323606802),
        OfficialCheckpoint(f'{_SAM2_URL}/092824/sam2.1_hiera_large.pt', 898083611),
    )
}


def fetch_checkpoint(source: str | os.PathLike) -> Path:
    """Local path of a checkpoint, which is downloaded if necessary.

    Args:
        source: a path, or a URL: the file is then downloaded to torch's cache directory (``torch.hub.get_dir()``, set
            by ``TORCH_HOME``) unless it is there. Size and digest are verified each time.

    Raises:
        FileNotFoundError: the file does not exist, or cannot be downloaded.
        ValueError: the file is not the published one.
    """
    source = os.fspath(source)
    if not source.startswith(('https://', 'http://')):
        if not Path(source).is_file():
            raise FileNotFoundError(f'checkpoint {source} does not exist; give the path of the file, or its URL.')
        return Path(source)
    official = _OFFICIAL.get(source, OfficialCheckpoint(source))
    target = Path(get_dir()) / 'checkpoints' / _cache_name(source)
    if not target.is_file():
        _download(official, target)
    problem = _difference(official, target)
    if problem:
        raise ValueError(f'{target} {problem}; delete it to download it from {source} again.')
    return target


def load_checkpoint(model: nn.Module, source: str | os.PathLike) -> None:
    """Load weights into a model (strict).

    Args:
        model: a model of the same architecture.
        source: see :func:`fetch_checkpoint`.

    Raises:
        FileNotFoundError, ValueError: see :func:`fetch_checkpoint` and
            :func:`~mmrefine.models.state_dicts.read_state_dict`; or keys are missing, unexpected or mismatched.
    """
    path = fetch_checkpoint(source)
    weights = read_state_dict(path)
    problem = differences(model.state_dict(), weights)
    if problem:
        raise ValueError(
            f'{path} does not belong to this {type(model).__name__}: {problem}. '
            'Check that config and file have the same model size.'
        )
    model.load_state_dict(weights)


def _cache_name(url: str) -> str:
    """Last part of a URL, with a digest of the URL unless it is that of a published checkpoint."""
    name = Path(urlparse(url).path)
    mark = '' if url in _OFFICIAL else f'-{hashlib.sha256(url.encode()).hexdigest()[:8]}'
    return f'{name.stem}{mark}{name.suffix}'


def _download(official: OfficialCheckpoint, target: Path) -> None:
    """Download to a temporary file, verify it, rename it, and store its digest."""
    advice = f'download it from {official.url} and put it at {target}, or give the path of your copy as checkpoint'
    try:
        with whole_path(target, shared=True) as part:
            download_url_to_file(official.url, str(part), progress=True)
            problem = _difference(official, part)
            if problem:
                raise ValueError(f'{official.file_name} from {official.url} {problem}; try again, or {advice}.')
            with whole_file(_digest_path(target), shared=True) as file:
                file.write(file_digest(part))
    except (URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, 'reason', error)
        raise FileNotFoundError(f'{official.file_name} could not be downloaded ({reason}): {advice}.') from error


def _digest_path(target: Path) -> Path:
    return target.with_name(f'{target.name}.sha256')


def _difference(official: OfficialCheckpoint, path: Path) -> str:
    """How a file differs from the published or downloaded one; '' if no difference is known."""
    size = path.stat().st_size
    if official.size is not None and size != official.size:
        return f'has {size} bytes instead of {official.size}: it is incomplete, or another file'
    if official.md5 is not None:
        md5 = file_digest(path, 'md5')
        if md5 != official.md5:
            return f'has the MD5 digest {md5} instead of {official.md5}: it is damaged, or another file'
        return ''
    noted = _digest_path(path)
    if noted.is_file() and file_digest(path) != noted.read_text(encoding='utf-8').strip():
        return f'differs from the downloaded file (see {noted.name}): it is damaged, or another file'
    return ''
