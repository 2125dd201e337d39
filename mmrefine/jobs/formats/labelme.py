"""labelme's JSON, one file per image: https://github.com/wkentaro/labelme.

An object is a polygon or a mask (a PNG of its box); shapes with the same label and ``group_id`` are one object, as in
labelme's export to COCO. Refined polygons stay polygons: parts become shapes of a group, zero-width cuts connect holes
to the outline. Boxes, circles, lines and points are not refined; everything else in the file stays.
"""

from __future__ import annotations

import base64
import binascii
import copy
import io
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mmrefine.core.checks import check_same_size
from mmrefine.core.outlines import to_polygons
from mmrefine.files.image_table import ImageTable
from mmrefine.files.images import open_whole
from mmrefine.files.json_stream import read_json
from mmrefine.jobs.formats.base import FormatOptions, MaskPair, MaskTask, pairs, register_format
from mmrefine.jobs.formats.exchange import (
    FilePerImage,
    LazyMasks,
    NewImage,
    box_crop,
    paste,
    point_pairs,
    polygon_mask,
)
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

_AREAS = ('polygon', 'mask')
_EXPECTED = '"points" [[x, y], ...] of a polygon, or those of the corners of a mask with "mask", its PNG file in base64'


@register_format('labelme')
class LabelmeMasks(FilePerImage):
    """A folder of labelme files; to open refined files, labelme needs their images or ``imageData`` in ``masks/``."""

    suffixes = ('.json',)

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        # Files that are not called as their image name it.
        named = {task.index: name for task in self.tasks if task.image_path is None and (name := self._named(task))}
        found = images.match(named.values())
        for index, name in named.items():
            if found[name] is not None:
                self.tasks[index] = replace(self.tasks[index], image=found[name], image_path=images.path(found[name]))

    def _named(self, task: MaskTask) -> str | None:
        try:
            return self.declared_name(task)
        except (OSError, ValueError):
            return None  # reading it tells what is wrong

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        file = cls.first_file(path)
        if file is None or options.semantic or options.cam_threshold is not None:
            return False
        with open(file, 'rb') as stream:
            head = stream.read(2000)
        return b'"shapes"' in head or (b'"flags"' in head and b'"version"' in head)

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        return _declared_size(self._content(task))

    def declared_name(self, task: MaskTask) -> str | None:
        path = self._content(task).get('imagePath')
        if not isinstance(path, str) or not path:
            return None
        return str(PurePosixPath(task.key).parent / PurePosixPath(path.replace('\\', '/')).name)

    def _content(self, task: MaskTask) -> dict:
        content = read_json(self.files[task.key])
        if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
            raise ValueError(f'{self.files[task.key]} is not a file of labelme: expected a list under "shapes".')
        return content

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> LazyMasks:
        content = self._content(task)
        declared_hw = _declared_size(content)
        if declared_hw is not None:
            check_same_size(f'{self.files[task.key]} is for an image of', declared_hw, size_hw)
        groups = _group(content['shapes'])
        shapes = [[content['shapes'][position] for position in positions] for positions in groups]
        left_alone = {
            index: str(shape[0]['shape_type'])
            for index, shape in enumerate(shapes)
            if isinstance(shape[0], dict) and _kind(shape[0]) not in _AREAS
        }
        names = [positions[0] for positions in groups]
        labels = [str(shape[0].get('label', '')) if isinstance(shape[0], dict) else '' for shape in shapes]
        masks = LazyMasks(
            size_hw,
            names,
            labels,
            left_alone,
            shapes,
            lambda parts: _decode(parts, size_hw),
            _EXPECTED,
            (content, groups),
        )
        return masks

    def write(self, task: MaskTask, coarse: LazyMasks, refined: RefinedMasks, out: OutputFolder) -> Iterable[MaskPair]:
        content, groups = coarse.content
        pairs_of_task = list(pairs(coarse, refined))
        replaced: dict[int, list] = {}
        groups_in_use = [shape.get('group_id') for shape in content['shapes'] if isinstance(shape, dict)]
        next_group = max((group for group in groups_in_use if isinstance(group, int)), default=0) + 1
        for positions, shapes, pair in zip(groups, coarse.shapes, pairs_of_task, strict=True):
            if not pair.accepted:
                continue
            new, used = _encode(pair.refined, shapes, next_group)
            next_group += used
            replaced |= {position: [] for position in positions} | {positions[0]: new}
        shapes = [new for position, shape in enumerate(content['shapes']) for new in replaced.get(position, [shape])]
        with out.open(self.outputs(task)[0]) as file:
            json.dump({**content, 'shapes': shapes}, file, ensure_ascii=False, indent=2)
        return pairs_of_task


def new_labelme(image: NewImage, folder: Path) -> tuple[str, bytes]:
    """Name and content of a new file in a folder; ``imagePath`` is the image, or a file of its name beside the file."""
    name = f'{image.stem}.json'
    beside = PurePosixPath(image.name).name
    image_path = beside if image.path is None else os.path.relpath(image.path, (folder / name).parent)
    shapes: list[dict] = []
    for number, item in enumerate(image.masks, 1):
        base = {'label': item.category or 'object', 'points': [], 'group_id': None, 'description': ''}
        shapes += _encode(item.mask, [{**base, 'shape_type': 'polygon', 'flags': {}, 'mask': None}], number)[0]
    height, width = image.size_hw
    content = {
        'version': '5.5.0',
        'flags': {},
        'shapes': shapes,
        'imagePath': Path(image_path).as_posix(),
        'imageData': None,
        'imageHeight': height,
        'imageWidth': width,
    }
    text = json.dumps(content, ensure_ascii=False, indent=2)
    return name, text.encode('utf-8', 'surrogatepass')


def _declared_size(content: dict) -> tuple[int, int] | None:
    sides = content.get('imageHeight'), content.get('imageWidth')
    return tuple(sides) if all(isinstance(side, int) and side > 0 for side in sides) else None


def _kind(shape: dict) -> str:
    return shape.get('shape_type') or 'polygon'  # missing in files from before 2018


def _group(shapes: list) -> list[list[int]]:
    """Indices of the shapes of each object."""
    groups: dict[object, list[int]] = {}
    for position, shape in enumerate(shapes):
        group = shape.get('group_id') if isinstance(shape, dict) else None
        is_area = isinstance(shape, dict) and _kind(shape) in _AREAS
        key = (str(shape.get('label')), str(group)) if group is not None and is_area else position
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def _decode(shapes: list[dict], size_hw: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    for shape in shapes:
        if _kind(shape) == 'mask':
            mask |= _decode_crop(shape['mask'], point_pairs(shape['points']), size_hw)
        else:
            mask |= polygon_mask(shape['points'], size_hw)
    return mask


def _decode_crop(text: str, corners: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The mask of which a PNG file holds the part between two corners x, y."""
    if corners.shape != (2, 2) or not np.isfinite(corners).all():
        raise TypeError(f'two corners, got {corners}')
    try:
        image = open_whole(io.BytesIO(base64.b64decode(text, validate=True)), '"mask"')
    except binascii.Error as error:
        raise ValueError(f'"mask" is not a PNG file in base64 ({error}).') from error
    crop = np.asarray(image.convert('L')) > 0
    (left, top), sides_hw = corners[0], (corners[1] - corners[0] + 1)[::-1]
    if (np.abs(crop.shape - sides_hw) > 1).any():
        raise ValueError(
            f'"mask" must fill the {sides_hw.round().tolist()} pixels (H, W) between its corners, got {crop.shape}.'
        )
    return paste(crop, round(left), round(top), size_hw)


def _encode(mask: np.ndarray, shapes: list[dict], group: int) -> tuple[list[dict], bool]:
    """Encode a mask as shapes like those it had; also whether they are a new group."""
    first = copy.deepcopy(shapes[0])
    if _kind(first) == 'mask':
        crop, left, top = box_crop(mask)
        buffer = io.BytesIO()
        Image.fromarray(crop.astype(np.uint8) * 255).save(buffer, 'PNG')
        height, width = crop.shape
        points = [[float(left), float(top)], [float(left + width - 1), float(top + height - 1)]]
        return [{**first, 'points': points, 'mask': base64.b64encode(buffer.getvalue()).decode('ascii')}], False
    polygons = [np.reshape(polygon, (-1, 2)).tolist() for polygon in to_polygons(mask)]
    is_new = len(polygons) > 1 and first.get('group_id') is None
    if is_new:
        first['group_id'] = group
    kinds = [*copy.deepcopy(shapes[1:]), *[copy.deepcopy(first) for _ in polygons]]
    return [{**kind, 'points': points} for kind, points in zip([first, *kinds], polygons, strict=False)], is_new
