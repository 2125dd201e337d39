"""CVAT's XML format "CVAT for images 1.1", one file for all images.

Polygons and masks are refined. A polygon has a single ring, so zero-width cuts connect parts and holes; masks are
row-major RLE of their box, which is lossless. Everything else in the file stays.
https://docs.cvat.ai/docs/manual/advanced/xml_format
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from defusedxml.ElementTree import DefusedXMLParser, parse

from mmrefine.core.checks import check_same_size
from mmrefine.core.outlines import to_ring
from mmrefine.files.digests import digest_of, file_digest
from mmrefine.files.image_table import ImageTable
from mmrefine.files.names import check_readable
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.formats.base import FormatOptions, GroundTruth, MaskFormat, MaskTask, register_format
from mmrefine.jobs.formats.exchange import LazyMasks, NewImage, SameFormatGroundTruth, box_crop, paste, polygon_mask
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

_AREAS = ('polygon', 'mask')
_NOT_SHAPES = ('tag', 'attribute')
_EXPECTED = (
    'points="x,y;x,y;..." of a polygon, or rle="run, run, ..." of a mask with left, top, width and height, all whole '
    'numbers'
)


@register_format('cvat')
class CvatMasks(MaskFormat):
    """A file ``annotations.xml``; the refined one has the same name.

    Attributes:
        tree: the XML tree.
        elements: its ``<image>`` elements.
    """

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        self.tree = _parse(path)
        self.elements = self.tree.getroot().findall('image')
        if not self.elements:
            kind = (
                'holds tracks of a video; export it from CVAT' if self.tree.getroot().find('track') else 'is no export'
            )
            raise ValueError(f'{path} {kind} as "CVAT for images 1.1": expected elements <image>.')
        names = [element.get('name', '') for element in self.elements]
        matched = images.match(names)
        if images.is_single and len(names) == 1:
            matched = dict(zip(names, images.names, strict=True))
        self.tasks = []
        for index, (name, element) in enumerate(zip(names, self.elements, strict=True)):
            image = matched[name]
            image_path = None if image is None else images.path(image)
            key = f'{element.get("id", index)} {name}'
            self.tasks.append(MaskTask(index, key, image or name, image_path, (index,), len(_shapes(element))))
        if len({task.key for task in self.tasks}) < len(self.tasks):
            raise ValueError(f'{path} has two images of the same id and name; ids must be unique.')

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        return path.suffix.lower() == '.xml'

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        digest = digest_of(ET.tostring(self.elements[task.index], 'unicode'))
        return Fingerprint(digest, lambda: digest)

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        element = self.elements[task.index]
        try:
            return int(element.get('height')), int(element.get('width'))
        except (TypeError, ValueError):
            return None

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> LazyMasks:
        declared_hw = self.declared_size(task)
        if declared_hw is not None:
            check_same_size(f'{task.image} is in {self.path} an image of', declared_hw, size_hw)
        shapes = _shapes(self.elements[task.index])
        left_alone = {index: shape.tag for index, shape in enumerate(shapes) if shape.tag not in _AREAS}
        labels = [shape.get('label', '') for shape in shapes]
        names = [shape.get('id', index) for index, shape in enumerate(shapes)]
        return LazyMasks(size_hw, names, labels, left_alone, shapes, lambda shape: _decode(shape, size_hw), _EXPECTED)

    def final_digest(self) -> str:
        return file_digest(self.path)

    def final_outputs(self) -> list[str]:
        return [self.path.name]

    def finish(self, done: Iterable[tuple[MaskTask, RefinedMasks]], out: OutputFolder) -> None:
        tree = _parse(self.path)
        elements = tree.getroot().findall('image')
        for task, refined in done:
            for shape, item in zip(_shapes(elements[task.index]), refined, strict=True):
                if item.accepted:
                    _update(shape, item.decode())
        with out.open(self.path.name, 'wb') as file:
            tree.write(file, encoding='utf-8', xml_declaration=True)

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return SameFormatGroundTruth(path, self)


def new_cvat(images: Iterable[NewImage]) -> bytes:
    """Content of a new file with masks and a list of their labels, which Datumaro requires."""
    root = ET.Element('annotations')
    ET.SubElement(root, 'version').text = '1.1'
    labels = ET.SubElement(ET.SubElement(ET.SubElement(root, 'meta'), 'task'), 'labels')
    for image in images:
        height, width = map(str, image.size_hw)
        element = ET.SubElement(root, 'image', id=str(image.number), name=image.name, width=width, height=height)
        for item in image.masks:
            common = {'label': item.category or 'object', 'source': 'semi-auto', 'occluded': '0', 'z_order': '0'}
            _update(ET.SubElement(element, 'mask', common), item.mask)
    for label in dict.fromkeys(shape.get('label') for shape in root.iter('mask')):
        ET.SubElement(ET.SubElement(labels, 'label'), 'name').text = label
    ET.indent(root)
    return ET.tostring(root, encoding='utf-8', xml_declaration=True)


def _parse(path: Path) -> ET.ElementTree:
    """Parse an untrusted file; entities, which could exhaust memory or read other files, are refused."""
    check_readable(path)
    try:
        return parse(path, DefusedXMLParser(target=ET.TreeBuilder(insert_comments=True)))
    except (ET.ParseError, ValueError, LookupError) as error:  # defusedxml raises ValueError
        raise ValueError(f'{path} cannot be read as XML ({error or "it contains entities"}).') from error


def _shapes(image: ET.Element) -> list[ET.Element]:
    return [child for child in image if isinstance(child.tag, str) and child.tag not in _NOT_SHAPES]


def _decode(shape: ET.Element, size_hw: tuple[int, int]) -> np.ndarray:
    if shape.tag == 'polygon':
        return polygon_mask([point.split(',') for point in shape.get('points').split(';')], size_hw)
    left, top, width, height = (_whole(shape.get(name)) for name in ('left', 'top', 'width', 'height'))
    runs = np.array([_whole(run) for run in shape.get('rle').split(',')], np.int64)
    if min(width, height) < 1 or (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f'"rle" must add up to {width} x {height} pixels, got {runs.sum()}.')
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return paste(crop, left, top, size_hw)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise TypeError(text) from error


def _update(shape: ET.Element, mask: np.ndarray) -> None:
    """Replace the mask of a shape."""
    if shape.tag == 'polygon':
        shape.set('points', ';'.join(f'{x:.2f},{y:.2f}' for x, y in to_ring(mask)))
        return
    crop, left, top = box_crop(mask)
    pixels = np.concatenate([[False], crop.ravel()])
    starts = np.flatnonzero(pixels[1:] != pixels[:-1])
    runs = np.diff(starts, prepend=0, append=crop.size)
    height, width = crop.shape
    for name, value in {'left': left, 'top': top, 'width': width, 'height': height}.items():
        shape.set(name, str(value))
    shape.set('rle', ', '.join(map(str, runs)))
