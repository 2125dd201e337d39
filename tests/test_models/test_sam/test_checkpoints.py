"""Checkpoints of segmenters: paths, downloads from a server of our own, and what may be wrong with them."""

from __future__ import annotations

import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from mmrefine.models.backends import SAMBackend, checkpoints
from mmrefine.models.backends.checkpoints import OfficialCheckpoint, fetch_checkpoint
from mmrefine.models.state_dicts import read_state_dict
from tests.helpers.tiny_sam import RANDOM, random_sam


@pytest.fixture
def weights(tmp_path) -> Path:
    """A checkpoint of a small random SAM, as the authors store theirs."""
    path = tmp_path / 'published' / 'sam_small.pth'
    path.parent.mkdir()
    torch.save(random_sam(fused=False).sam.state_dict(), path)
    return path


@pytest.fixture
def server(weights, tmp_path, monkeypatch):
    """Serves the folder of the checkpoint; torch's cache is elsewhere."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(weights.parent))

        def log_message(self, *args):
            pass

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()
    httpd.server_close()


def publish(monkeypatch, url: str, size: int | None = None, md5: str | None = None) -> None:
    monkeypatch.setitem(checkpoints._OFFICIAL, url, OfficialCheckpoint(url, size, md5))


def cached(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / 'torch').rglob('*') if path.is_file())


def test_from_a_path(weights):
    backend = SAMBackend(RANDOM, checkpoint=weights)
    for name, value in read_state_dict(weights).items():
        assert torch.equal(backend.sam.state_dict()[name], value)


def test_downloaded_once(server, weights, tmp_path, monkeypatch):
    url = f'{server}/sam_small.pth'
    content = weights.read_bytes()
    publish(monkeypatch, url, len(content), hashlib.md5(content).hexdigest())
    first = fetch_checkpoint(url)
    assert first.read_bytes() == content and cached(tmp_path) == ['sam_small.pth', 'sam_small.pth.sha256']
    weights.unlink()
    assert fetch_checkpoint(url) == first
    SAMBackend(RANDOM, checkpoint=url)


@pytest.mark.parametrize('wrong, message', [('size', 'instead of 12'), ('md5', 'MD5 digest')])
def test_another_file_than_the_published_one(server, weights, tmp_path, monkeypatch, wrong, message):
    url = f'{server}/sam_small.pth'
    publish(monkeypatch, url, **{wrong: 12 if wrong == 'size' else '0' * 32})
    with pytest.raises(ValueError, match=message) as error:
        fetch_checkpoint(url)
    target = tmp_path / 'torch' / 'hub' / 'checkpoints' / 'sam_small.pth'
    assert all(part in str(error.value) for part in ('sam_small.pth', url, str(target)))
    assert cached(tmp_path) == []


def test_a_cut_file_in_the_cache(server, weights, tmp_path, monkeypatch):
    url = f'{server}/sam_small.pth'
    publish(monkeypatch, url, weights.stat().st_size)
    path = fetch_checkpoint(url)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match='has 100 bytes') as error:
        fetch_checkpoint(url)
    assert str(path) in str(error.value) and 'delete' in str(error.value)


@pytest.mark.parametrize('url', ['http://127.0.0.1:9/sam_small.pth', '{server}/absent.pth'])
def test_offline_says_what_to_put_where(server, tmp_path, url):
    url = url.format(server=server)
    name = url.rpartition('/')[2]
    with pytest.raises(FileNotFoundError) as error:
        fetch_checkpoint(url)
    target = tmp_path / 'torch' / 'hub' / 'checkpoints' / name.removesuffix('.pth')
    assert all(part in str(error.value) for part in (name, url, str(target)))
    assert cached(tmp_path) == []


def test_a_damaged_file_in_the_cache(server, weights, tmp_path, monkeypatch):
    """Of the right size; known by the published digest, or by the one that was noted when it was downloaded."""
    content = weights.read_bytes()
    published, other = f'{server}/sam_small.pth', f'{server}/sam_small.pth?other'
    publish(monkeypatch, published, len(content), hashlib.md5(content).hexdigest())
    for url in (published, other):
        path = fetch_checkpoint(url)
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='it is damaged, or another file; delete it') as error:
            fetch_checkpoint(url)
        assert str(path) in str(error.value)
        path.unlink()
        assert fetch_checkpoint(url).read_bytes() == content


def test_two_addresses_of_one_last_part_do_not_share_a_file(server, weights):
    (weights.parent / 'b').mkdir()
    (weights.parent / 'b' / weights.name).write_bytes(b'another file')
    first, second = (fetch_checkpoint(f'{server}/{path}sam_small.pth') for path in ('', 'b/'))
    assert first != second and first.read_bytes() == weights.read_bytes() and second.read_bytes() == b'another file'
    assert {first.suffix, second.suffix} == {'.pth'}


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        fetch_checkpoint(tmp_path / 'absent.pth')


def test_weights_of_another_size(weights):
    with pytest.raises(ValueError, match=r'sam_small.pth.*missing.*of another shape.*same model size'):
        SAMBackend({**RANDOM, 'depth': 3, 'embed_dim': 64}, checkpoint=weights)
