"""LVIS's annotations on COCO's images, from the published files to mask and boundary AP."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

from tests.conftest import REPO_ROOT


@pytest.fixture
def run(monkeypatch, capsys):
    def run(script: str, *arguments: object) -> tuple[int, str]:
        path = str(REPO_ROOT / 'tools' / script)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(path, run_name='__main__')
        captured = capsys.readouterr()
        return stopped.value.code, captured.out + captured.err

    return run


@pytest.fixture
def folder(tmp_path):
    """LVIS annotations, the images of COCO val, and results that are the annotations themselves."""
    reference = json.loads((REPO_ROOT / 'tests/data/I_lvis2coco_s0.json').read_text())
    for image in reference['coco_val']['images']:
        image.setdefault('file_name', f'{image["id"]}.jpg')
    for name in ('lvis', 'coco_val'):
        (tmp_path / f'{name}.json').write_text(json.dumps(reference[name]))
    results = [
        {
            'image_id': one['image_id'],
            'category_id': one['category_id'],
            'segmentation': {'size': [20, 30], 'counts': _runs(one['segmentation'])},
            'score': 0.9,
        }
        for one in reference['output']['annotations']
    ]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    return tmp_path


def _runs(polygons: list) -> str:
    from pycocotools import mask as coco_mask

    return coco_mask.merge(coco_mask.frPyObjects(polygons, 20, 30))['counts'].decode()


def test_from_the_published_files_to_ap(run, folder):
    pytest.importorskip('lvis')
    paths = folder / 'lvis.json', folder / 'coco_val.json', folder / 'out.json'
    code, text = run('dataset_converters/lvis_to_coco.py', *paths, '--check')
    assert code == 0 and 'of the 80 classes' in text and not paths[2].exists()
    assert run('dataset_converters/lvis_to_coco.py', *paths)[0] == 0
    code, text = run('analysis_tools/evaluate_ap.py', paths[2], folder / 'results.json', '--lvis')
    assert code == 0 and 'boundary AP' in text and '100.00' in text, text


def test_what_is_wrong_is_reported(run, folder):
    wrong = folder / 'coco_val.json', folder / 'coco_val.json', folder / 'out.json'
    code, text = run('dataset_converters/lvis_to_coco.py', *wrong)
    assert code == 2 and 'an LVIS annotation file has' in text
    code, text = run('analysis_tools/evaluate_ap.py', folder / 'lvis.json', folder / 'coco_val.json')
    assert code == 2 and 'not a COCO results list' in text
