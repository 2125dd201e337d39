"""The feature cache on disk."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmrefine.models.backends import FeatureCache, PromptFeatures
from tests.helpers.tiny_sam import PlainBackend, noise_image, random_sam


def check_equal(first: PromptFeatures, second: PromptFeatures):
    assert first.frame == second.frame and first.embedding.dtype == second.embedding.dtype == torch.float32
    assert torch.equal(first.embedding, second.embedding) and first.extras.keys() == second.extras.keys()
    for name, extra in first.extras.items():
        assert torch.equal(extra, second.extras[name])


def test_encoded_once_and_the_same_from_the_first_time_on(tmp_path):
    backend, image = PlainBackend(), noise_image((8, 12))
    first = FeatureCache(tmp_path / 'features').encode(backend, image)
    second = FeatureCache(tmp_path / 'features').encode(backend, image)
    assert backend.encoded == 1
    check_equal(first, second)
    torch.testing.assert_close(first.embedding, PlainBackend().encode(image).embedding, rtol=1e-3, atol=0)  # 11 bits
    assert not list((tmp_path / 'features').glob('.*.unfinished'))


def test_other_images_weights_sizes_and_settings_are_kept_apart(tmp_path, monkeypatch):
    cache, image = FeatureCache(tmp_path), noise_image((8, 12))
    backend = PlainBackend()
    cache.encode(backend, image)
    for other in (255 - image, image.reshape(12, 8, 3), image[:, ::-1]):
        cache.encode(backend, other)
    assert backend.encoded == 4
    changed = PlainBackend(factor=2.0)
    cache.encode(changed, image)
    assert changed.encoded == 1
    backend.load_state_dict(changed.state_dict())
    check_equal(cache.encode(backend, image), cache.encode(changed, image))
    assert backend.encoded == 4
    monkeypatch.setattr(backend, 'settings', lambda: 'bfloat16')
    cache.encode(backend, image)
    assert backend.encoded == 5


def test_features_come_back_by_name_whatever_their_order(tmp_path):
    cache, backend, image = FeatureCache(tmp_path), PlainBackend(), noise_image((8, 12))
    good = cache.encode(backend, image)
    (path,) = tmp_path.glob('*.npz')
    with np.load(path) as stored:
        content = dict(reversed(list(stored.items())))
    np.savez(path, **content)
    check_equal(cache.encode(backend, image), good)
    assert backend.encoded == 1
    for wrong in ({'key': 'another'}, {'embedding': np.zeros(3)}):
        np.savez(path, **{**content, **wrong})
        check_equal(cache.encode(backend, image), good)
    assert backend.encoded == 3


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty', 'foreign'])
def test_damaged_entries_are_computed_again(tmp_path, damage):
    cache, backend, image = FeatureCache(tmp_path), PlainBackend(), noise_image((32, 32))
    good = cache.encode(backend, image)
    (path,) = tmp_path.glob('*.npz')
    data = bytearray(path.read_bytes())
    if damage == 'flipped':
        data[len(data) // 2] ^= 1
    path.write_bytes({'cut': data[: len(data) // 2], 'flipped': data, 'empty': b'', 'foreign': b'no archive'}[damage])
    check_equal(cache.encode(backend, image), good)
    assert backend.encoded == 2
    cache.encode(backend, image)
    assert backend.encoded == 2


def test_what_was_used_longest_ago_goes_first(tmp_path):
    backend = PlainBackend()
    images = [noise_image((32, 32), seed) for seed in range(3)]
    roomy = FeatureCache(tmp_path)
    paths = []
    for stamp, image in enumerate(images[:2]):
        roomy.encode(backend, image)
        (new,) = set(tmp_path.glob('*.npz')) - set(paths)
        os.utime(new, (stamp, stamp))
        paths.append(new)
    roomy.encode(backend, images[0])  # used again: younger than the second now
    bounded = FeatureCache(tmp_path, max_bytes=int(2.5 * paths[0].stat().st_size))
    bounded.encode(backend, images[2])
    assert paths[0].exists() and not paths[1].exists()
    assert sum(path.stat().st_size for path in tmp_path.glob('*.npz')) <= bounded.max_bytes


def test_features_too_large_for_half_precision_are_not_kept(tmp_path):
    backend = PlainBackend(factor=1e4)
    features = FeatureCache(tmp_path).encode(backend, noise_image((8, 8)))
    assert features.embedding.isfinite().all() and not list(tmp_path.glob('*'))


def test_a_bound_is_wanted(tmp_path):
    with pytest.raises(ValueError, match='max_bytes'):
        FeatureCache(tmp_path, max_bytes=0)


ENCODE_ALL = """
import sys
import torch
from mmrefine.models.backends import FeatureCache
from tests.helpers.tiny_sam import PlainBackend, noise_image

cache, backend = FeatureCache(sys.argv[1], max_bytes=60_000), PlainBackend()
for k in range(30):
    image = noise_image((32, 32), (int(sys.argv[2]) + k) % 10)
    expected = backend.encode(image).embedding
    torch.testing.assert_close(cache.encode(backend, image).embedding, expected, rtol=1e-3, atol=0)
"""


def test_two_processes_share_a_folder_that_is_too_small_for_them(tmp_path, repo_root):
    """Both write, read and evict the same ten files, about four of which fit."""
    workers = [
        subprocess.Popen(
            [sys.executable, '-c', ENCODE_ALL, str(tmp_path), str(5 * k)],
            env={**os.environ, 'PYTHONPATH': str(repo_root), 'OMP_NUM_THREADS': '1'},
        )
        for k in range(2)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert list(tmp_path.glob('*.npz')) and not list(tmp_path.glob('.*.unfinished'))


def test_on_a_real_backend(tmp_path):
    backend, image = random_sam(), noise_image()
    cache = FeatureCache(tmp_path)
    check_equal(cache.encode(backend, image), cache.encode(backend, image))
