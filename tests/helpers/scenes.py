"""A small dataset of bright objects on dark ground, in each of the kinds that a job reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmrefine.core.rle import encode_rle, encode_runs
from mmrefine.jobs import refine_dataset
from mmrefine.jobs.report import JobReport
from tests.helpers.bright_refiner import BrightRefiner

SIZE_HW = (40, 60)


class Scenes:
    """Images with two bright rectangles each, whose coarse masks are too small by a pixel or two on each side.

    Attributes:
        folder: with ``photos/`` (``name.png``), ``masks/`` and ``truth/`` (the first rectangle), ``labels/`` and
            ``true_labels/`` (labels 1 and 2 on 0 with a void column 255), ``coco.json``, ``results.json`` and
            ``truth.json`` (both rectangles, annotations not grouped by image).
        names: of the images.
        coarse, true: (images, 2, H, W) bool.
    """

    def __init__(self, folder: Path, count: int):
        self.folder = folder
        self.names = [f'scene_{index}' for index in range(count)]
        true = np.zeros((count, 2, *SIZE_HW), bool)
        coarse = true.copy()
        for index in range(count):
            true[index, 0, 6 : 20 + index % 8, 5:25] = coarse[index, 0, 7 : 18 + index % 8, 7:24] = True
            true[index, 1, 8:30, 35:55] = coarse[index, 1, 10:29, 37 : 54 - index % 3] = True
        self.true, self.coarse = true, coarse
        for name in ('photos', 'masks', 'truth', 'labels', 'true_labels'):
            (folder / name).mkdir(parents=True)
        for name, pair, coarse_pair in zip(self.names, true, coarse, strict=True):
            self._save(f'photos/{name}', np.repeat(np.where(pair.any(axis=0), 200, 20)[..., None], 3, axis=2))
            self._save(f'masks/{name}', coarse_pair[0] * 255)
            self._save(f'truth/{name}', pair[0] * 255)
            self._save(f'labels/{name}', self.label_map(coarse_pair))
            self._save(f'true_labels/{name}', self.label_map(pair))
        self._write_coco()

    @staticmethod
    def label_map(pair: np.ndarray) -> np.ndarray:
        labels = pair[0] + 2 * pair[1]
        labels[:, 50] = 255
        return labels

    def _save(self, name: str, values: np.ndarray) -> None:
        Image.fromarray(values.astype(np.uint8)).save(self.folder / f'{name}.png')

    def _write_coco(self) -> None:
        images = [
            {'id': 10 + index, 'file_name': f'{name}.png', 'height': SIZE_HW[0], 'width': SIZE_HW[1]}
            for index, name in enumerate(self.names)
        ]
        kinds = (encode_rle, encode_runs)
        files = {}
        for name, masks in (('coco', self.coarse), ('truth', self.true)):
            files[name] = [
                {
                    'id': 1000 - 2 * index - position,
                    'image_id': 10 + index,
                    'category_id': 1 + position,
                    'segmentation': kinds[position](masks[index, position]),
                    'area': int(masks[index, position].sum()),
                    'bbox': [1.5, 2.5, 3.5, 4.5],
                    'iscrowd': 0,
                    'attributes': {'note': f'größe {index}', 'truncated': None},
                }
                for position in (0, 1)
                for index in range(len(images))
            ]
            categories = [{'id': 1, 'name': 'left'}, {'id': 2, 'name': 'right'}]
            content = {'info': {'year': 2024}, 'images': images, 'categories': categories, 'annotations': files[name]}
            self.write_json(f'{name}.json', content)
        results = [
            {'score': 0.25 + 0.001 * index} | {key: record[key] for key in ('image_id', 'category_id', 'segmentation')}
            for index, record in enumerate(files['coco'])
        ]
        self.write_json('results.json', results)

    def write_json(self, name: str, content: object) -> Path:
        (self.folder / name).write_text(json.dumps(content), encoding='utf-8')
        return self.folder / name

    def read_json(self, name: str) -> list | dict:
        return json.loads((self.folder / name).read_text(encoding='utf-8'))


def files_of(folder: Path) -> dict[str, bytes]:
    """Files by name, without what a job keeps for itself."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*') if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if '.job' not in name.split('/')}


def run_job(scenes: Scenes, masks: str, out: str | Path = 'out', **more: object) -> JobReport:
    """Refine masks of the scenes, by default those in ``photos`` with a refiner that needs no weights."""
    options = {'images': scenes.folder / 'photos', 'model': BrightRefiner(), 'device': 'cpu', 'progress': False, **more}
    return refine_dataset(masks=scenes.folder / masks, out=scenes.folder / out, **options)
