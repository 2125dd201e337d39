"""Conversion of masks between formats: `mmrefine convert IN OUT`. Legend: H, W in pixels."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmrefine.core.outlines import check_tolerance, to_polygons
from mmrefine.core.rle import box_of, encode_rle
from mmrefine.files.atomic import whole_file
from mmrefine.files.image_table import ImageTable
from mmrefine.files.images import IMAGE_SUFFIXES, open_whole
from mmrefine.files.names import inside, without_suffix
from mmrefine.jobs.formats import FormatOptions, find_format
from mmrefine.jobs.formats.arrays import new_arrays
from mmrefine.jobs.formats.base import MaskFormat, MaskTask
from mmrefine.jobs.formats.cvat import new_cvat
from mmrefine.jobs.formats.exchange import NewImage, NewMask
from mmrefine.jobs.formats.instances import new_instances
from mmrefine.jobs.formats.label_studio import new_label_studio
from mmrefine.jobs.formats.labelme import new_labelme
from mmrefine.jobs.formats.yolo import new_yolo
from mmrefine.jobs.work import error_text

TARGETS = ('arrays', 'coco', 'cvat', 'instances', 'label-studio', 'labelme', 'yolo')
_WITHOUT_EMPTY = ('labelme', 'yolo')  # whose polygons need a point
_BY_SUFFIX = {'.json': 'coco', '.xml': 'cvat'}


def convert(
    masks: str | os.PathLike,
    out: str | os.PathLike,
    *,
    to: str | None = None,
    source_format: str | None = None,
    images: str | os.PathLike | None = None,
    image_root: str | os.PathLike | None = None,
    polygons: float | None = None,
    crowds: bool = False,
) -> dict[str, Any]:
    """Convert masks to another format.

    Args:
        masks: file or folder of masks in any format, as for :func:`~mmrefine.jobs.refine_dataset`.
        out: output file or folder, which must not exist.
        to: output format, one of ``TARGETS``; None: by the suffix of ``out``, .json for COCO and .xml for CVAT.
        source_format: format of ``masks``; None: detected.
        images: the images; None if the file of masks contains their sizes.
        image_root: folder to which names in a COCO file are relative, if ``images`` is a COCO file.
        polygons: write polygons instead of RLE to a COCO file, with at most this distance from pixel edges, in pixels.
        crowds: convert COCO's crowds too; some tools mark every RLE as a crowd.

    Returns:
        counts of ``images`` and ``masks``, and ``problems``: sentences about masks that were skipped.

    Raises:
        FileNotFoundError, ValueError: the arguments are invalid, or the size of an image is unknown.
        OutputError: the output cannot be written.
    """
    out, to = Path(out), to or _BY_SUFFIX.get(Path(out).suffix.lower())
    if to not in TARGETS:
        raise ValueError(f'{out} has no suffix of a known format; set --to to one of {", ".join(TARGETS)}, got {to}.')
    if polygons is not None and to != 'coco':
        raise ValueError(f'--polygons needs a COCO file as output, got the format {to}.')
    if polygons is not None:
        check_tolerance(polygons)
    if os.path.lexists(out):
        raise ValueError(f'{out} already exists; choose another OUT, or remove it.')
    masks = Path(masks)
    if not masks.exists():
        raise FileNotFoundError(f'masks {masks} do not exist: expected a file or a folder of masks.')
    options = FormatOptions(crowds=crowds)
    kind = find_format(masks, source_format, options)
    table = _AnyImages(masks) if images is None else ImageTable(images, image_root, kind.files_at(masks))
    report: dict[str, Any] = {'images': 0, 'masks': 0, 'problems': []}
    read = _read(kind(masks, table, options), to, report)
    if to in _WHOLE:
        content = _WHOLE[to](read, polygons)
        if not report['images']:
            raise ValueError(f'no image of {masks} is usable: {report["problems"][0]}')
        with whole_file(out, 'wb') as file:
            file.write(content)
        return report
    classes: dict[str, int] = {}
    for image in read:
        for name, content in _files(to, image, classes, out):
            if os.path.lexists(out / name):
                report['problems'].append(f'{image.name}: {out / name} already exists and belongs to another image.')
                continue
            with whole_file(out / name, 'wb') as file:
                file.write(content)
    if to == 'yolo':
        with whole_file(out / 'classes.txt') as file:
            file.writelines(f'{name}\n' for name in classes)
    return report


def _files(to: str, image: NewImage, classes: dict[str, int], out: Path) -> list[tuple[str, bytes]]:
    """The files of an image, by name."""
    if to == 'instances':
        return new_instances(image)
    if to == 'yolo':
        return [new_yolo(image, classes)]
    return [new_labelme(image, out) if to == 'labelme' else new_arrays(image)]


def new_coco(images: Iterable[NewImage], polygons: float | None = None) -> bytes:
    """A new COCO file with RLE, or with polygons of this tolerance in pixels."""
    described, annotations, categories = [], [], {}
    for image in images:
        height, width = image.size_hw
        described.append({'id': image.number + 1, 'file_name': image.name, 'height': height, 'width': width})
        for item in image.masks:
            category = categories.setdefault(item.category or 'object', len(categories) + 1)
            segmentation = encode_rle(item.mask) if polygons is None else to_polygons(item.mask, polygons)
            record = {
                'id': len(annotations) + 1,
                'image_id': image.number + 1,
                'category_id': category,
                'segmentation': segmentation,
                'area': int(item.mask.sum()),
                'bbox': box_of(item.mask),
                'iscrowd': 0,
            }
            annotations.append(record | ({} if item.score is None else {'score': item.score}))
    names = [{'id': number, 'name': name} for name, number in categories.items()]
    return json.dumps({'images': described, 'annotations': annotations, 'categories': names}).encode()


_WHOLE: dict[str, Callable[[Iterable[NewImage], float | None], bytes]] = {
    'coco': new_coco,
    'cvat': lambda images, polygons: new_cvat(images),
    'label-studio': lambda images, polygons: new_label_studio(images),
}


def _read(source: MaskFormat, to: str, report: dict[str, Any]) -> Iterator[NewImage]:
    """Yield images with masks, then images without any; unusable masks are reported and skipped."""
    empty = list(source.without_masks())
    names = [*(_name(source, task) for task in source.tasks), *(name for name, _ in empty)]
    stems = _stems(names)
    for position, task in enumerate(source.tasks):
        try:
            coarse = source.read(task, _size(source, task))
        except Exception as error:  # whatever a damaged file raises, others are converted
            report['problems'].append(f'{task.image}: {error_text(error)}')
            continue
        masks = []
        for index in range(len(coarse)):
            if index in coarse.left_alone:
                report['problems'].append(f'{task.image}, {coarse.names[index]}: no mask ({coarse.left_alone[index]})')
                continue
            try:
                masks.append(NewMask(coarse.mask(index), coarse.categories[index], coarse.scores[index]))
            except Exception as error:
                report['problems'].append(f'{task.image}, {coarse.names[index]}: {error_text(error)}')
        if to in _WITHOUT_EMPTY:
            report['problems'] += [
                f'{task.image}: the mask is empty, and {to} has no empty masks' for item in masks if not item.mask.any()
            ]
            masks = [item for item in masks if item.mask.any()]
        path = task.image_path if task.image_path is not None and task.image_path.is_file() else None
        yield NewImage(names[position], coarse.size_hw, masks, report['images'], stems[position], path)
        report['images'] += 1
        report['masks'] += len(masks)
    found = source.images.match(name for name, _ in empty)
    for position, (name, size_hw) in enumerate(empty, len(source.tasks)):
        path = None if found[name] is None else source.images.path(found[name])
        exists = path is not None and path.is_file()
        yield NewImage(name, size_hw, [], report['images'], stems[position], path if exists else None)
        report['images'] += 1


def _name(source: MaskFormat, task: MaskTask) -> str:
    """Name of an image: that of the file if there is one, else the name in the file of masks."""
    if task.image_path is not None and task.image_path.is_file():
        return task.image
    try:
        return source.declared_name(task) or task.image
    except (OSError, ValueError):
        return task.image  # the error is reported when the masks are read


def _stems(names: Sequence[str]) -> list[str]:
    """Names without suffix for the files of each image; the suffix is kept where names would not be unique."""
    safe = [inside(name) for name in names]
    stems = [os.path.splitext(name)[0] if name.lower().endswith(IMAGE_SUFFIXES) else name for name in safe]
    counts = Counter(stem.lower() for stem in stems)
    return [stem if counts[stem.lower()] == 1 else name for stem, name in zip(stems, safe, strict=True)]


def _size(source: MaskFormat, task: MaskTask) -> tuple[int, int]:
    """(H, W) of an image, from its file, or else from the file of masks."""
    if task.image_path is not None and task.image_path.is_file():
        image = open_whole(task.image_path)
        turned = image.getexif().get(0x0112, 1) >= 5  # the orientations that swap the sides
        return image.size if turned else image.size[::-1]
    size_hw = source.declared_size(task)
    if size_hw is None:
        raise ValueError(f'the size of {task.image} is unknown; give the images with --images.')
    return tuple(size_hw)


class _AnyImages(ImageTable):
    """Image table without image files, in which every name is found."""

    def __init__(self, source: Path):
        self.source, self.folder = source, source if source.is_dir() else source.parent
        self.ids, self.problems, self.sizes, self.names = {}, {}, {}, {}

    @property
    def is_single(self) -> bool:
        return False

    def find(self, name: str, suffix_counts: bool = True) -> str | None:
        return name

    def find_id(self, image_id: Any) -> str | None:
        return str(image_id)

    def match(self, names: Iterable[str], suffix_counts: bool = True) -> dict[str, str | None]:
        return {name: name if suffix_counts else without_suffix(name) for name in names}
