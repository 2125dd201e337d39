"""What is on the review page, and which files it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmrefine.cli.main import main
from mmrefine.jobs import review
from mmrefine.jobs.refined_masks import encode_results
from mmrefine.jobs.review import write_review
from mmrefine.models.refiners import Proposal
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import Scenes, run_job


def data_of(page: Path) -> dict:
    html = page.read_text(encoding='utf-8')
    mark = '<script type="application/json" id="data">'
    return json.JSONDecoder().raw_decode(html, html.index(mark) + len(mark))[0]


def test_masks_that_are_not_shown_are_counted(scenes: Scenes) -> None:
    content = scenes.read_json('coco.json')
    content['annotations'][0]['iscrowd'] = 1
    content['annotations'][1]['segmentation'] = {'size': [3, 3], 'counts': [9]}
    scenes.write_json('coco.json', content)
    report = run_job(scenes, 'coco.json')
    data = data_of(write_review(scenes.folder / 'out'))
    assert data['leftOut'] == 2 and len(data['masks']) == report.total['masks'] - 2


def test_numbers_of_page_and_report_round_alike(scenes: Scenes) -> None:
    report = run_job(scenes, 'masks')
    [*shown] = data_of(write_review(scenes.folder / 'out'))['masks']
    for mask, entry in zip(shown, report.masks, strict=True):
        assert mask['change'] == pytest.approx(entry['changed_px'] / entry['area_px'], abs=1e-6)


def test_thumbnails_of_an_earlier_page_go(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, '_PLANNED_TOGETHER', 3)
    run_job(scenes, 'masks')
    page = write_review(scenes.folder / 'out')
    assert len(list(page.parent.glob('thumbnails/*'))) == 10
    (scenes.folder / 'masks/scene_2.png').unlink()
    run_job(scenes, 'masks')
    data = data_of(write_review(scenes.folder / 'out'))
    names = {item['file'] for item in (*data['images'], *data['masks'])}
    assert {path.relative_to(page.parent).as_posix() for path in page.parent.glob('thumbnails/*')} == names
    assert len(names) == 8


def test_a_folder_without_job_is_reported_without_internals(scenes: Scenes, capsys: pytest.CaptureFixture) -> None:
    for path in (scenes.folder / 'photos', scenes.folder / 'coco.json', scenes.folder / 'nowhere'):
        assert main(['report', str(path)]) == 2
        assert (
            capsys.readouterr().err
            == f'error: {path} contains no results of a job on images; give the --out of the job.\n'
        )


class _Refusing(BrightRefiner):
    def _refine_batch(self, inputs):
        [item] = inputs
        scores = np.array([0, 0.9])
        return [Proposal(item.masks.copy(), scores, refusals=['coarse mask is too small: 3 px, needs 4', ''])]


def test_what_the_refiner_refused_has_no_proposal() -> None:
    masks = np.zeros((2, 8, 9), bool)
    masks[0, 2, 2:5] = masks[1, 2:6, 2:6] = True
    refused, kept = encode_results(
        _Refusing().with_gate({'min_score': 0.95}).refine(np.zeros((8, 9, 3), np.uint8), masks)
    )
    assert refused.rle is None and refused.reason == 'coarse mask is too small: 3 px, needs 4'
    assert kept.rle is not None and kept.reason == 'score too low: 0.900, needs 0.950'
