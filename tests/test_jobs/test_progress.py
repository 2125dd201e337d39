"""What a job prints: lines of progress in logs, and a table that stays readable."""

from __future__ import annotations

import pytest

from mmrefine.jobs import format_report, progress
from mmrefine.jobs.progress import JobProgress
from tests.helpers.scenes import Scenes, run_job


def test_no_line_of_progress_comes_twice(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, lines in ((-1.0, ['1/2', '2/2']), (60.0, ['2/2'])):
        monkeypatch.setattr(progress, '_SECONDS_BETWEEN_LINES', seconds)
        with JobProgress(2) as shown:
            shown.show(1, 3)
            shown.show(2, 5)
        assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == lines


def test_long_names_do_not_tear_the_table_apart(scenes: Scenes) -> None:
    content = scenes.read_json('coco.json')
    content['categories'][0]['name'] = 'long ' * 80
    scenes.write_json('coco.json', content)
    table = format_report(run_job(scenes, 'coco.json'))
    assert max(map(len, table.splitlines())) < 200 and 'long…' in table.replace(' …', '…')


def test_regions_of_a_label_are_counted_under_one_reason(scenes: Scenes) -> None:
    report = run_job(scenes, 'labels', semantic=True, split='components', gate={'min_score': 1.01})
    assert report.total['kept_for'] == {'score too low': report.total['kept']}
