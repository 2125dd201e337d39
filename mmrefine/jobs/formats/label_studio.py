"""Label Studio's JSON: a list of tasks with annotations and predictions, which are brushes (RLE) and polygons.

Brushes stay brushes and polygons stay polygons; a polygon has a single ring, so zero-width cuts connect parts and
holes. Everything else in the file stays. https://labelstud.io/guide/export
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np

from mmrefine.core.brush_rle import decode_brush, encode_brush
from mmrefine.core.checks import check_same_size
from mmrefine.core.outlines import to_ring
from mmrefine.files.digests import digest_of, file_digest
from mmrefine.files.image_table import ImageTable
from mmrefine.files.json_stream import read_json
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.formats.base import FormatOptions, GroundTruth, MaskFormat, MaskTask, register_format
from mmrefine.jobs.formats.exchange import LazyMasks, NewImage, SameFormatGroundTruth, point_pairs, polygon_mask
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

_LABELS = {'brushlabels': 'brush', 'brush': 'brush', 'polygonlabels': 'polygon', 'polygon': 'polygon'}
_PARTS = ('annotations', 'predictions')
_EXPECTED = '"value" with "points" [[x, y], ...] in percent of a polygon, or "rle" of a brush'


@register_format('label-studio')
class LabelStudioMasks(MaskFormat):
    """A file of tasks; the refined one has the same name.

    Attributes:
        content: the list of tasks.
    """

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        self.content = read_json(path)
        if not isinstance(self.content, list) or not all(isinstance(item, dict) for item in self.content):
            raise ValueError(f'{path} is not an export of Label Studio: expected a list of tasks.')
        if not any(part in item for item in self.content for part in ('data', *_PARTS)):
            raise ValueError(f'{path} is a JSON-MIN export of Label Studio, which lacks fields; export it as JSON.')
        names = [_image_name(item) for item in self.content]
        found = _match(images, names)
        self.tasks = []
        for index, (name, item) in enumerate(zip(names, self.content, strict=True)):
            image = found[name]
            image_path = None if image is None else images.path(image)
            key = f'{item.get("id", index)} {name}'
            self.tasks.append(MaskTask(index, key, image or name, image_path, (index,), len(_results(item))))
        if len({task.key for task in self.tasks}) < len(self.tasks):
            raise ValueError(f'{path} has two tasks of the same id and image; ids must be unique.')

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        if path.suffix.lower() != '.json' or not path.is_file():
            return False
        with open(path, 'rb') as file:
            head = file.read(20_000).lstrip(b'\xef\xbb\xbf \t\r\n')
        # "annotator" is in JSON-MIN.
        return head.startswith(b'[') and any(f'"{key}"'.encode() in head for key in ('data', 'annotator', *_PARTS))

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        digest = digest_of(self.content[task.index])
        return Fingerprint(digest, lambda: digest)

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        return next((size for result in _results(self.content[task.index]) if (size := _size(result))), None)

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> LazyMasks:
        results = _results(self.content[task.index])
        left_alone = {
            index: str(result.get('type')) for index, result in enumerate(results) if result.get('type') not in _LABELS
        }
        names = [result.get('id', index) for index, result in enumerate(results)]
        labels = [_category(result) for result in results]
        scores = [result.get('score') for result in results]
        return LazyMasks(
            size_hw,
            names,
            labels,
            left_alone,
            results,
            lambda result: _decode(result, size_hw),
            _EXPECTED,
            scores=scores,
        )

    def final_digest(self) -> str:
        return file_digest(self.path)

    def final_outputs(self) -> list[str]:
        return [self.path.name]

    def finish(self, done: Iterable[tuple[MaskTask, RefinedMasks]], out: OutputFolder) -> None:
        content = read_json(self.path)
        for task, refined in done:
            for result, item in zip(_results(content[task.index]), refined, strict=True):
                if item.accepted:
                    result['value'] = {**result['value'], **_encode(result['type'], item.decode())}
        with out.open(self.path.name) as file:
            json.dump(content, file)

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return SameFormatGroundTruth(path, self)


def new_label_studio(images: Iterable[NewImage]) -> bytes:
    """Content of a new file, with masks as brush predictions that Label Studio can import."""
    tasks = []
    for image in images:
        height, width = image.size_hw
        results = [
            {
                'id': f'mask{index}',
                'type': 'brushlabels',
                'from_name': 'tag',
                'to_name': 'image',
                'original_width': width,
                'original_height': height,
                'image_rotation': 0,
                'value': {**_encode('brushlabels', item.mask), 'brushlabels': [item.category or 'object']},
                **({} if item.score is None else {'score': item.score}),
            }
            for index, item in enumerate(image.masks)
        ]
        tasks.append(
            {
                'id': image.number + 1,
                'data': {'image': f'/data/local-files/?d={quote(image.name)}'},
                'predictions': [{'model_version': 'mmrefine', 'result': results}],
            }
        )
    return json.dumps(tasks).encode()


def _image_name(task: dict) -> str:
    """Name of a task's image: the path of its URL, or the query parameter ``d`` of local files."""
    data = task.get('data')
    values = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    address = data['image'] if values and isinstance(data.get('image'), str) else (values or [''])[0]
    parts = urlsplit(address)
    local = parse_qs(parts.query).get('d')
    return local[0] if local else unquote(parts.path).lstrip('/')


def _match(images: ImageTable, names: list[str]) -> dict[str, str | None]:
    """Match images by name; names of uploaded files have a prefix of eight characters and a hyphen."""
    if images.is_single and len(names) == 1:
        return dict(zip(names, images.names, strict=True))
    found = images.match(names)
    for name, image in found.items():
        start, hyphen, rest = PurePosixPath(name).name.partition('-')
        if image is None and hyphen and len(start) == 8:
            found[name] = images.match([rest])[rest]
    return found


def _results(task: dict) -> list[dict]:
    """All results of a task, those of annotations first."""
    return list(_walk(task))


def _walk(task: dict) -> Iterator[dict]:
    for part in _PARTS:
        for item in task.get(part) or []:
            if isinstance(item, dict):
                yield from (result for result in item.get('result') or [] if isinstance(result, dict))


def _category(result: dict) -> str:
    value = result.get('value')
    labels = value.get(result.get('type')) if isinstance(value, dict) else None
    return ', '.join(map(str, labels)) if isinstance(labels, list) else ''


def _size(result: dict) -> tuple[int, int] | None:
    sides = result.get('original_height'), result.get('original_width')
    return tuple(sides) if all(isinstance(side, int) and side > 0 for side in sides) else None


def _decode(result: dict, size_hw: tuple[int, int]) -> np.ndarray:
    if result.get('image_rotation'):
        raise ValueError('the image was rotated in Label Studio; rotate the file itself and annotate it upright.')
    declared_hw = _size(result)
    if declared_hw is not None:
        check_same_size('the result is for an image of', declared_hw, size_hw)
    value: dict[str, Any] = result['value']
    if _LABELS[result['type']] == 'brush':
        return decode_brush(value['rle'], size_hw)
    return polygon_mask(point_pairs(value['points']) * size_hw[::-1] / 100, size_hw)


def _encode(kind: str, mask: np.ndarray) -> dict:
    """Encode a mask as the value of a result."""
    if _LABELS[kind] == 'brush':
        return {'format': 'rle', 'rle': encode_brush(mask)}
    return {'points': (to_ring(mask) * 100 / mask.shape[::-1]).tolist(), 'closed': True}
