"""Class activation maps: the files that are read, those that are refused, and the label maps that come of them."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
import torch

from mmrefine.core.activation_maps import activation_label_map, load_activation_maps, resize_scores

MAPS = {3: np.full((2, 3), 0.25, np.float32), 14: np.eye(2, 3, dtype=np.float32)}


def save_object(path, value):
    np.save(path, np.array(value, dtype=object), allow_pickle=True)
    return path


def check(path):
    classes, scores = load_activation_maps(path)
    assert classes.tolist() == [3, 14] and scores.dtype == np.float32
    np.testing.assert_array_equal(scores, np.stack(list(MAPS.values())))


def test_map_per_class(tmp_path):
    np.savez(tmp_path / 'a.npz', **{str(key): value for key, value in MAPS.items()})
    check(tmp_path / 'a.npz')
    check(save_object(tmp_path / 'b.npy', MAPS))
    check(save_object(tmp_path / 'c.npy', {np.int64(key): value for key, value in MAPS.items()}))


def test_keys_beside_maps(tmp_path):
    scores = np.stack(list(MAPS.values()))
    np.savez(tmp_path / 'a.npz', keys=[3, 14], high_res=scores)
    check(tmp_path / 'a.npz')
    check(save_object(tmp_path / 'b.npy', {'keys': np.array([3, 14]), 'cam': scores[:, :1], 'high_res': scores}))


def test_nothing_is_run_while_reading(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'sprung'),)

    with pytest.raises(ValueError, match='mkdir'):
        load_activation_maps(save_object(tmp_path / 'trap.npy', {3: Trap()}))
    assert not (tmp_path / 'sprung').exists()


def test_other_content_is_refused(tmp_path):
    (tmp_path / 'broken.npy').write_bytes(b'no array')
    (tmp_path / 'cut.npy').write_bytes(save_object(tmp_path / 'whole.npy', MAPS).read_bytes()[:-20])
    np.save(tmp_path / 'plain.npy', MAPS[3])
    np.savez(tmp_path / 'names.npz', cat=MAPS[3])
    np.savez(tmp_path / 'lonely.npz', keys=[3])
    np.savez(tmp_path / 'count.npz', keys=[3], cam=np.zeros((2, 4, 4)))
    (tmp_path / 'raw.pkl').write_bytes(pickle.dumps(MAPS))
    for name, message in {
        'broken.npy': 'not a .npy file',
        'cut.npy': 'cut.npy',
        'plain.npy': 'ndarray',
        'names.npz': 'cat',
        'lonely.npz': 'high_res',
        'count.npz': r'\(2, 4, 4\)',
        'raw.pkl': '.npz and .npy',
    }.items():
        with pytest.raises(ValueError, match=message):
            load_activation_maps(tmp_path / name)


def test_background_score():
    scores = np.array([[[0.9, 0.3, 0.0]], [[0.2, 0.4, 0.0]]], np.float32)
    labels, winning = activation_label_map(np.array([3, 14]), scores, alpha=1.0)
    assert labels.tolist() == [[4, 0, 0]]
    np.testing.assert_allclose(winning, [[0.9, 0.6, 1.0]], rtol=1e-6)
    assert activation_label_map(np.array([3, 14]), scores, alpha=4.0)[0].tolist() == [[4, 15, 0]]
    assert activation_label_map(np.zeros(0, int), np.zeros((0, 2, 2)), 1.0)[0].tolist() == [[0, 0], [0, 0]]


def test_scores_out_of_range_are_refused():
    with pytest.raises(ValueError, match='2.5'):
        activation_label_map(np.array([0]), np.full((1, 2, 2), 2.5), alpha=1.0)
    with pytest.raises(ValueError, match='2 classes'):
        activation_label_map(np.array([0, 1]), np.zeros((1, 2, 2)), alpha=1.0)


def test_tensors_are_read(tmp_path):
    scores = torch.from_numpy(np.stack(list(MAPS.values())))
    content = {'keys': torch.tensor([3, 14]), 'cam': scores[:, :1], 'high_res': scores}
    check(save_object(tmp_path / 'a.npy', content))


def test_nothing_is_run_inside_of_tensors(tmp_path):
    """A tensor is a torch file within the pickle, which could hold objects of its own."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'sprung'),)

    class FakeStorage:
        def __reduce__(self):
            stream = io.BytesIO()
            torch.save(Trap(), stream)
            return torch.storage._load_from_bytes, (stream.getvalue(),)

    with pytest.raises(ValueError, match='cannot be read as activation maps'):
        load_activation_maps(save_object(tmp_path / 'trap.npy', {3: FakeStorage()}))
    assert not (tmp_path / 'sprung').exists()


def test_threshold():
    scores = np.array([[[0.9, 0.3, 0.0]], [[0.2, 0.4, 0.0]]], np.float32)
    labels = {t: activation_label_map(np.array([3, 14]), scores, threshold=t)[0].tolist() for t in (0.1, 0.35, 0.5)}
    assert labels == {0.1: [[4, 15, 0]], 0.35: [[4, 15, 0]], 0.5: [[4, 0, 0]]}
    # alpha 8 cuts where (1 - level)^8 = level, at 0.1885 by bisection.
    for level, expected in ((0.188, 0), (0.189, 1)):
        scores = np.full((1, 1, 1), level)
        for options in ({'alpha': 8}, {'threshold': 0.1885}):
            assert activation_label_map(np.array([0]), scores, **options)[0].item() == expected
    for options in ({}, {'alpha': 1, 'threshold': 0.5}, {'threshold': 1.5}):
        with pytest.raises(ValueError, match='threshold'):
            activation_label_map(np.array([0]), scores, **options)


def test_sizes():
    scores = np.zeros((2, 4, 5), np.float32)
    scores[1, :, 3:] = 1
    resized = resize_scores(scores, (15, 20))
    assert resized.shape == (2, 15, 20) and (resized[0] == 0).all()
    assert (resized[1, :, :10] == 0).all() and (resized[1, :, 15:] == 1).all()
    assert resize_scores(scores, (4, 5)) is scores
    for size_hw in ((20, 16), (10, 20)):
        with pytest.raises(ValueError, match=f'4x5 .HxW. but their image {size_hw[0]}x{size_hw[1]}'):
            resize_scores(scores, size_hw)
