"""Decisions of a person take the place of the gate's, without refining again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmrefine.jobs.decide import KEPT, apply_decisions
from mmrefine.jobs.records import Records
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import Scenes, files_of, run_job


@pytest.mark.parametrize('masks', ['coco.json', 'masks', 'labels'])
def test_accepting_all_is_the_job_without_a_gate(scenes: Scenes, masks: str) -> None:
    options = {'semantic': masks == 'labels', 'pictures': 2}
    run_job(scenes, masks, 'free', gate=False, **options)
    run_job(scenes, masks, 'kept', gate={'min_score': 1.01}, **options)
    records = list(Records(scenes.folder / 'kept/.job'))
    decisions = {record['key']: dict.fromkeys(range(len(record['masks']['masks'])), True) for record in records}
    report = apply_decisions(scenes.folder / 'kept', decisions)
    assert report.total['kept'] == 0 and report.total['accepted'] == len(report.masks)
    made, free = files_of(scenes.folder / 'kept'), files_of(scenes.folder / 'free')
    made.pop('summary.json'), free.pop('summary.json')
    assert made == free


@pytest.mark.parametrize('masks', ['coco.json', 'masks', 'labels'])
def test_refusing_all_is_the_job_whose_gate_keeps_all(scenes: Scenes, masks: str) -> None:
    options = {'semantic': masks == 'labels', 'pictures': 2}
    run_job(scenes, masks, 'free', gate=False, **options)
    kept = run_job(scenes, masks, 'kept', gate={'min_score': 1.01}, **options)
    records = list(Records(scenes.folder / 'free/.job'))
    for taken in (False, True, False):  # however often somebody changes his mind
        decisions = {record['key']: dict.fromkeys(range(len(record['masks']['masks'])), taken) for record in records}
        report = apply_decisions(scenes.folder / 'free', decisions)
    made, expected = files_of(scenes.folder / 'free'), files_of(scenes.folder / 'kept')
    for files in (made, expected):
        for name in [name for name in files if name == 'summary.json' or name.startswith('pictures/')]:
            files.pop(name)  # they show the reason
    assert made == expected
    assert [entry['score'] for entry in report.masks] == [entry['score'] for entry in kept.masks]


def test_refusing_one_gives_its_coarse_mask_back_and_lasts(scenes: Scenes) -> None:
    run_job(scenes, 'masks', 'out')
    before = files_of(scenes.folder / 'out')
    report = apply_decisions(scenes.folder / 'out', {'scene_2.png': {0: False}})
    [entry] = [entry for entry in report.masks if not entry['accepted']]
    assert entry['image'] == 'scene_2.png' and entry['reason'] == KEPT
    coarse = np.asarray(Image.open(scenes.folder / 'out/masks/scene_2.png')) > 0
    assert np.array_equal(coarse, scenes.coarse[2, 0])
    changed = {name for name, content in files_of(scenes.folder / 'out').items() if content != before[name]}
    assert changed == {'masks/scene_2.png', 'summary.json'}

    refiner = BrightRefiner()
    again = run_job(scenes, 'masks', model=refiner, gt=scenes.folder / 'truth')
    assert not refiner.batches and [entry['accepted'] for entry in again.masks].count(False) == 1
    assert json.loads((scenes.folder / 'out/summary.json').read_text())['total'] == again.total
    apply_decisions(scenes.folder / 'out', {'scene_2.png': {0: True}})
    assert files_of(scenes.folder / 'out')['masks/scene_2.png'] == before['masks/scene_2.png']


def test_what_cannot_be_decided(scenes: Scenes) -> None:
    run_job(scenes, 'masks', 'out')
    out = scenes.folder / 'out'
    Image.new('L', (60, 40)).save(scenes.folder / 'masks/scene_1.png')
    run_job(scenes, 'masks', 'out')
    for decisions, message in (
        ({'scene_9.png': {0: True}}, "has no image with the key 'scene_9.png'"),
        ({'scene_0.png': {1: True}}, 'scene_0.png: there is no mask 1; the image has 1'),
        ({'scene_1.png': {0: True}}, 'scene_1.png: mask 0 has no proposal to accept: coarse mask is empty'),
    ):
        with pytest.raises(ValueError, match=message):
            apply_decisions(out, decisions)
    report = apply_decisions(out, {'scene_1.png': {0: False}})
    assert report.masks[1]['reason'] == 'coarse mask is empty', 'the reason is lost'
    shutil.copy(scenes.folder / 'photos/scene_3.png', scenes.folder / 'photos/scene_2.png')
    with pytest.raises(ValueError, match='scene_2.png or its masks have changed; run the job again first'):
        apply_decisions(out, {'scene_2.png': {0: False}})
    with pytest.raises(FileNotFoundError, match='contains no results of a job on images'):
        apply_decisions(scenes.folder, {})


def test_records_of_another_version(scenes: Scenes) -> None:
    run_job(scenes, 'masks', 'out')
    records = Records(scenes.folder / 'out/.job')
    record = records.read('scene_0.png')
    record['masks']['masks'][0]['colour'] = 'red'
    records.write('scene_0.png', record)
    with pytest.raises(ValueError, match='by another version of mmrefine .*colour.*; start again with --overwrite'):
        apply_decisions(scenes.folder / 'out', {'scene_0.png': {0: False}})
