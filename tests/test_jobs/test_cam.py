"""Jobs over class activation maps: label maps out of them, refined, thresholds compared, bad files passed over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.files.activation_maps import MapNames
from mmrefine.jobs import refine_dataset
from mmrefine.jobs.cam import (
    best_threshold,
    compare_label_maps,
    format_label_quality,
    format_sweep,
    sweep_thresholds,
)
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes

LEVEL = 0.6


@pytest.fixture
def maps(scenes: Scenes) -> Path:
    """Activation maps of 0.6 in the coarse masks and 0.2 around, in all forms; true labels without void."""
    folder = scenes.folder / 'cams'
    folder.mkdir()
    keys = np.array([0, 1])
    for index, (name, pair) in enumerate(zip(scenes.names, scenes.coarse, strict=True)):
        scores = np.where(pair, LEVEL, 0.2).astype(np.float32)
        content = (
            {'keys': keys, 'cam': scores[:, ::4, ::4], 'high_res': scores},
            {'keys': torch.from_numpy(keys), 'cam': torch.from_numpy(scores)},
            {0: scores[0], 1: scores[1]},
            None,
            {'keys': keys, 'cams': scores},
        )[index]
        if content is None:
            np.savez(folder / f'{name}.npz', keys=keys, high_res=scores)
        else:
            np.save(folder / f'{name}.npy', content, allow_pickle=True)
        label_map = (scenes.true[index, 0] + 2 * scenes.true[index, 1]).astype(np.uint8)
        Image.fromarray(label_map).save(scenes.folder / f'true_labels/{name}.png')
    return folder


def run(scenes: Scenes, out: str = 'out', **options: object):
    return refine_dataset(
        scenes.folder / 'photos',
        scenes.folder / 'cams',
        scenes.folder / out,
        model=options.pop('model', None) or BrightRefiner(),
        progress=False,
        **{'cam_threshold': 0.3, **options},
    )


def label_map(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_labels_with_palette_band_and_miou(scenes, maps):
    report = run(scenes, ignore_band=True, gt=scenes.folder / 'true_labels')
    assert not report.failed and report.total['masks'] == 2 * len(scenes.names)
    assert report.total['measures']['refined/iou'] == 1
    for index, name in enumerate(scenes.names):
        true = scenes.true[index, 0] + 2 * scenes.true[index, 1]
        coarse = scenes.coarse[index, 0] + 2 * scenes.coarse[index, 1]
        with Image.open(scenes.folder / f'out/masks/{name}.png') as image:
            assert image.mode == 'P' and image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
            np.testing.assert_array_equal(np.asarray(image), true)
        band = label_map(scenes.folder / f'out/pseudo_labels/{name}.png')
        np.testing.assert_array_equal(band, np.where(true == coarse, true, 255))

    quality = compare_label_maps(maps, scenes.folder / 'out', scenes.folder / 'true_labels', 0.3)
    assert list(quality) == ['coarse', 'refined', 'pseudo labels']
    assert quality['refined'].mean_iou == 1 and quality['refined'].labelled_share == 1
    shares = [scenes.coarse[:, k].sum() / scenes.true[:, k].sum() for k in (0, 1)]  # coarse lies within true
    assert quality['coarse'].iou[1] == pytest.approx(shares[0]) and quality['coarse'].iou[2] == pytest.approx(shares[1])
    changed = (scenes.true != scenes.coarse).any(axis=1).mean()
    assert quality['pseudo labels'].labelled_share == pytest.approx(1 - changed)
    assert '| refined       |  100.0 |      100.0 |' in format_label_quality(quality)
    written = json.loads((scenes.folder / 'out/label_quality.json').read_text())
    assert written['coarse']['iou']['2'] == pytest.approx(shares[1])


def test_low_resolution_is_enlarged(scenes, maps):
    """The corners of a map of a quarter of the size are where they are in the image, to half a cell."""
    true = scenes.true[0, 0]
    np.save(maps / 'scene_0.npy', {'keys': np.array([0]), 'cam': true[None, ::4, ::4].astype(np.float32)})
    run(scenes, model=None)
    got = label_map(scenes.folder / 'out/masks/scene_0.png') > 0
    assert (got & true).sum() / (got | true).sum() > 0.6


def test_bad_files_are_reported_and_the_others_done(scenes, maps):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(scenes.folder / 'sprung'),)

    np.save(maps / 'scene_0.npy', {'keys': np.array([0]), 'cam': Trap()}, allow_pickle=True)
    np.save(maps / 'scene_1.npy', {'classes': np.array([0]), 'cam': np.zeros((1, *SIZE_HW))}, allow_pickle=True)
    np.save(maps / 'scene_2.npy', {'keys': np.array([0]), 'cam': np.full((1, *SIZE_HW), np.nan, np.float32)})
    (maps / 'scene_3.npz').write_bytes((maps / 'scene_3.npz').read_bytes()[:200])
    report = run(scenes)
    assert not (scenes.folder / 'sprung').exists()
    errors = {item['image']: item['error'] for item in report.failed}
    assert 'mkdir' in errors['scene_0.png']
    assert 'expected "keys"' in errors['scene_1.png'] and "'classes'" in errors['scene_1.png']
    assert 'NaN' in errors['scene_2.png']
    assert 'scene_3.npz cannot be read as activation maps' in errors['scene_3.png']
    assert [path.name for path in (scenes.folder / 'out/masks').iterdir()] == ['scene_4.png']
    assert sweep_thresholds(maps, [0.3])[0].foreground == pytest.approx(scenes.coarse[4].sum() / (40 * 60))


def test_resumed_jobs_end_the_same(scenes, maps):
    class Stop(KeyboardInterrupt):
        pass

    class Stopping(BrightRefiner):
        def _refine_batch(self, inputs):
            if len(self.batches) == 2:
                raise Stop
            return super()._refine_batch(inputs)

    refiner = Stopping()
    with pytest.raises(Stop):
        run(scenes, model=refiner, ignore_band=True, batch_masks=2)
    assert (scenes.folder / 'out/.job/parts').is_dir() and not (scenes.folder / 'out/summary.json').exists()
    refiner.batches.clear()
    refiner.batches.extend([[0]] * 3)
    run(scenes, model=refiner, ignore_band=True, batch_masks=2)
    assert len(refiner.batches) == 3 + len(scenes.names) - 2
    run(scenes, 'unbroken', ignore_band=True)
    for folder in ('masks', 'pseudo_labels'):
        for name in scenes.names:
            paths = [scenes.folder / f'{out}/{folder}/{name}.png' for out in ('out', 'unbroken')]
            assert paths[0].read_bytes() == paths[1].read_bytes()


def test_another_threshold_is_another_job(scenes, maps):
    run(scenes)
    with pytest.raises(ValueError, match='cam_threshold 0.3, now 0.4'):
        refine_dataset(
            scenes.folder / 'photos',
            maps,
            scenes.folder / 'out',
            model=BrightRefiner(),
            cam_threshold=0.4,
            progress=False,
        )


def test_sweep_finds_the_best_threshold(scenes, maps):
    scores = sweep_thresholds(maps, [0.1, 0.3, 0.7], scenes.folder / 'true_labels')
    assert [score.foreground for score in scores][::2] == [1, 0]
    assert best_threshold(scores) == 0.3
    lines = format_sweep(scores).splitlines()
    assert '0.3 (best)' in lines[3] and len(lines) == 5
    without_gt = sweep_thresholds(maps, [0.1, 0.3])
    assert best_threshold(without_gt) is None and without_gt[0].mean_iou is None


def test_arguments_that_do_not_fit(scenes, maps):
    with pytest.raises(ValueError, match='thresholds must lie in .*1.5'):
        sweep_thresholds(maps, [0.5, 1.5])
    with pytest.raises(FileNotFoundError, match='nowhere do not exist'):
        sweep_thresholds(scenes.folder / 'nowhere', [0.5])
    with pytest.raises(ValueError, match='neither a COCO file nor label maps'):
        run(scenes, semantic=True)
    with pytest.raises(ValueError, match='an ignore band needs label maps'):
        refine_dataset(scenes.folder / 'photos', scenes.folder / 'masks', scenes.folder / 'x', ignore_band=True)


def test_two_files_of_activation_maps_are_a_failure_of_their_image(scenes, maps):
    clean = run(scenes)
    (maps / 'scene_0.npz').write_bytes((maps / 'scene_1.npz').read_bytes() if (maps / 'scene_1.npz').exists() else b'')
    report = run(scenes)  # noticed although the first of them is as it was
    failures = {failure['image']: failure['error'] for failure in report.failed}
    new = failures.keys() - {failure['image'] for failure in clean.failed}
    assert new == {'scene_0.png'}
    assert 'scene_0.npy and' in failures['scene_0.png'] and 'keep one of them' in failures['scene_0.png']


def test_palette_is_that_of_voc():
    colours = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    # aeroplane, bicycle, person, tv monitor, void
    assert colours[[1, 2, 15, 20, 255]].tolist() == [
        [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    assert len(np.unique(colours, axis=0)) == 256


def test_maps_of_another_tool_are_read_by_their_names(scenes: Scenes, maps: Path) -> None:
    """Classes from 1, maps under a key of their own: the job, the sweep and the comparison read the same."""
    expected = run(scenes, 'plain')
    for file in maps.iterdir():
        file.unlink()
    for name, pair in zip(scenes.names, scenes.coarse, strict=True):
        np.savez(maps / f'{name}.npz', keys=[1, 2], mine=np.where(pair, LEVEL, 0.2).astype(np.float32))
    names = MapNames('mine', 1)
    report = run(scenes, 'named', cam_names=names)
    assert not report.failed and [e['mask'] for e in report.masks] == [e['mask'] for e in expected.masks]
    for path in (scenes.folder / 'plain/masks').iterdir():
        assert path.read_bytes() == (scenes.folder / 'named/masks' / path.name).read_bytes()
    gt = scenes.folder / 'true_labels'
    assert sweep_thresholds(maps, [0.3], gt, names)[0].mean_iou > 0.3
    assert compare_label_maps(maps, scenes.folder / 'named', gt, 0.3, names=names)['coarse'].mean_iou > 0.3
    with pytest.raises(ValueError, match='none of the activation maps'):
        sweep_thresholds(maps, [0.3])
