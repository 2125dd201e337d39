"""Class activation maps: the files that are read, and those that are refused."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
import torch

from mmrefine.files.activation_maps import MapNames, load_activation_maps

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


SCORES = np.stack(list(MAPS.values()))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('wrap', [torch.Tensor.detach, torch.Tensor.requires_grad_, torch.nn.Parameter])
def test_tensors_of_any_float_type_with_and_without_gradients(tmp_path, dtype, wrap):
    maps = wrap(torch.from_numpy(SCORES).to(dtype))
    check(save_object(tmp_path / 'a.npy', {'keys': torch.tensor([3, 14]), 'attn_highres': maps}))


def test_formats_of_published_tools(tmp_path):
    """IRN; CLIP-ES, in half precision; PuzzleCAM, whose keys begin with the background and count classes from 1."""
    strided = torch.zeros(2, 1, 1)
    check(save_object(tmp_path / 'irn.npy', {'keys': torch.tensor([3, 14]), 'cam': strided, 'high_res': SCORES}))
    half = SCORES.astype(np.float16)
    check(save_object(tmp_path / 'clip.npy', {'keys': np.array([3, 14]), 'cam': strided, 'attn_highres': half}))
    check(save_object(tmp_path / 'puzzle.npy', {'keys': np.array([0, 4, 15]), 'cam': strided, 'hr_cam': SCORES}))
    np.savez(tmp_path / 'own.npz', keys=[3, 14], mine=SCORES)
    with pytest.raises(ValueError, match='found .*mine'):
        load_activation_maps(tmp_path / 'own.npz')
    classes, scores = load_activation_maps(tmp_path / 'own.npz', MapNames('mine'))
    np.testing.assert_array_equal(scores, SCORES)
    with pytest.raises(ValueError, match="the key 'other'"):
        load_activation_maps(tmp_path / 'own.npz', MapNames('other'))


def test_classes_from_1_and_a_map_of_the_background_are_asked_for(tmp_path):
    with_background = np.concatenate([np.ones((1, 2, 3), np.float32), SCORES])
    files = [
        save_object(tmp_path / 'a.npy', {'keys': np.array([4, 15]), 'cam': SCORES}),
        save_object(tmp_path / 'b.npy', {'keys': np.array([0, 4, 15]), 'cam': with_background}),
        save_object(tmp_path / 'c.npy', {0: with_background[0], 4: SCORES[0], 15: SCORES[1]}),
        save_object(tmp_path / 'd.npy', {'keys': np.array([0, 4, 15]), 'cam': SCORES}),
    ]
    for file in files:
        classes, scores = load_activation_maps(file, MapNames(first_class=1))
        assert classes.tolist() == [3, 14]
        np.testing.assert_array_equal(scores, SCORES)
    assert load_activation_maps(files[0])[0].tolist() == [4, 15]
    with pytest.raises(ValueError, match='expected 3 maps'):
        load_activation_maps(files[3], MapNames(first_class=0))
    with pytest.raises(ValueError, match='0 or 1, got 2'):
        MapNames(first_class=2)


@pytest.mark.parametrize('content', [{'keys': [3, 3]}, {'keys': [0, 3, 3]}, {'3': 0, '03': 0}])
def test_two_maps_of_one_class_are_refused(tmp_path, content):
    maps = {'cam': np.zeros((2, 4, 5), np.float32)} if 'keys' in content else {}
    arrays = {key: value if key == 'keys' else np.zeros((4, 5), np.float32) for key, value in content.items()}
    np.savez(tmp_path / 'a.npz', **arrays, **maps)
    with pytest.raises(ValueError, match='a.npz: expected one map per class, got the classes '):
        load_activation_maps(tmp_path / 'a.npz')
