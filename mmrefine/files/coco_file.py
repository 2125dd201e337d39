"""COCO files of any size: only an index of the positions of records and of their images is kept in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from mmrefine.core.checks import check_same_size
from mmrefine.core.rle import decode_segmentation, is_absent
from mmrefine.files.json_stream import Item, walk_json, write_json
from mmrefine.files.names import name_problem

NO_IMAGE = None  # image id of records without a usable one


class CocoImage(NamedTuple):
    """An image of a COCO file.

    Attributes:
        name: its ``file_name``; if that is not a file name, its JSON text.
        size_hw: its ``height`` and ``width`` in pixels; None if they are missing.
        problem: why ``name`` is not usable; '' if it is.
    """

    name: str
    size_hw: tuple[int, int] | None
    problem: str = ''


class CocoFile:
    """A COCO annotation file or results list.

    Takes about 24 bytes of memory per record, plus ids and names of images. Records are validated only when they are
    read, so that a bad one does not affect others, see :meth:`mask_of`.

    Args:
        path: the JSON file; it is read once to the end.

    Attributes:
        path: the JSON file.
        digest: SHA-256 of the file.
        is_results: whether it is a results list and not an annotation file.
        image_ids: ids of the images that have records, in the order of their first records; includes ``NO_IMAGE`` if
            there are records without a usable ``image_id``.
        images: all images by id; empty for results.
        categories: category names by id; empty for results.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not in COCO's format, no image has an id, or no record has an image id.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.images: dict[Any, CocoImage] = {}
        self.categories: dict[Any, str] = {}
        self._starts, self._lengths, images = array('q'), array('i'), array('i')
        numbers: dict[Any, int] = {}
        without_image = ''
        kinds: dict[str | None, bool] = {}  # for each key, whether its value is a list
        digest = hashlib.sha256()
        for item in walk_json(path, digest):
            kinds[item.key] = item.index is not None or item.value == []
            if item.index is None:
                continue
            if item.key in (None, 'annotations'):
                self._starts.append(item.start)
                self._lengths.append(item.length)
                image_id = _image_id_of(item.value)
                images.append(numbers.setdefault(image_id, len(numbers)))
                if image_id is NO_IMAGE and not without_image:
                    without_image = (
                        f'{item.key or "results"}[{item.index}] must have a number or a string as "image_id", got '
                        f'{_short(item.value)}.'
                    )
            elif item.key == 'images':
                _add_image(self.images, item.value)
            elif item.key == 'categories' and isinstance(item.value, dict) and is_id(item.value.get('id')):
                self.categories[item.value['id']] = str(item.value.get('name', ''))
        self.digest = digest.hexdigest()
        self.is_results = None in kinds
        if not kinds.get(None if self.is_results else 'annotations'):
            raise ValueError(
                f'{self.path} is neither a COCO results list nor a COCO file with a list under "annotations".'
            )
        if not self.is_results and not self.images:
            raise ValueError(_NO_IMAGES.format(self.path))
        self.image_ids = list(numbers)
        if self.image_ids == [NO_IMAGE]:
            raise ValueError(f'{self.path}: {without_image}')
        self._numbers = numbers
        numbers_of_records = np.frombuffer(images, np.int32) if images else np.zeros(0, np.int32)
        self._order = np.argsort(numbers_of_records, kind='stable')
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(numbers_of_records, minlength=len(numbers)))])

    @property
    def image_names(self) -> dict[Any, str]:
        """Usable names of images by id."""
        return {image_id: image.name for image_id, image in self.images.items() if not image.problem}

    def __len__(self) -> int:
        return len(self._starts)

    def counts(self) -> np.ndarray:
        """Number of records of each of the ``image_ids``."""
        return np.diff(self._bounds)

    def records_of(self, image_id: Any) -> list[int]:
        """Indices of the records of an image, ascending."""
        number = self._numbers.get(image_id)
        return [] if number is None else self._order[self._bounds[number] : self._bounds[number + 1]].tolist()

    def read(self, indices: Iterable[int]) -> list[dict]:
        """The records at these indices.

        Raises:
            ValueError: the file has changed.
        """
        records = []
        with open(self.path, 'rb') as file:
            for index in indices:
                file.seek(self._starts[index])
                try:
                    records.append(json.loads(file.read(self._lengths[index])))
                except ValueError as error:
                    raise ValueError(_CHANGED.format(self.path)) from error
        return records

    def mask_of(
        self, record: Any, image_hw: tuple[int, int], declared_hw: tuple[int, int] | None = None
    ) -> np.ndarray | None:
        """The (H, W) bool mask of a record of this file; see :func:`decode_record`.

        Args:
            record: an annotation or result.
            image_hw: size of the image that was read.
            declared_hw: size of the image that the record was made for; None: the size of its image in this file.
        """
        if declared_hw is None:
            image = self.images.get(_image_id_of(record))
            declared_hw = None if image is None else image.size_hw
        return decode_record(record, image_hw, declared_hw, self.categories)

    def copy(self, file: TextIO, changes: Callable[[int], dict]) -> None:
        """Write a copy of the file, formatted as by ``json.dump``, with new values for some fields of its records.

        Args:
            file: opened for writing text.
            changes: returns the new values for the record at an index.

        Raises:
            ValueError: the file has changed.
        """
        key, digest = None if self.is_results else 'annotations', hashlib.sha256()

        def changed() -> Iterator[Item]:
            for item in walk_json(self.path, digest):
                is_record = item.key == key and item.index is not None
                new = changes(item.index) if is_record else None
                yield item._replace(value={**item.value, **new}) if new else item

        write_json(file, changed())
        if digest.hexdigest() != self.digest:
            raise ValueError(_CHANGED.format(self.path))


def decode_record(
    record: Any,
    image_hw: tuple[int, int],
    declared_hw: tuple[int, int] | None = None,
    categories: Container = (),
) -> np.ndarray | None:
    """The (H, W) bool mask of an annotation or result; None if it has only a box.

    Args:
        record: the annotation or result.
        image_hw: size of the image that was read.
        declared_hw: size of the image that polygons were made for; None if unknown. (RLE contains its size.)
        categories: known category ids that are not integers.

    Raises:
        ValueError: the record cannot be used; the message tells why.
    """
    problem = record_problem(record, categories)
    if problem:
        raise ValueError(problem)
    segmentation = record.get('segmentation')
    if is_absent(segmentation):
        return None
    if isinstance(segmentation, list) and declared_hw is not None:
        check_same_size('the polygons belong to an image that is declared as', declared_hw, image_hw)
    return decode_segmentation(segmentation, image_hw)


def record_problem(record: Any, categories: Container = ()) -> str:
    """Problem of an annotation or result, without decoding its mask; '' if there is none."""
    if not isinstance(record, dict):
        return f'an annotation must be an object, got {_short(record)}.'
    category = record.get('category_id')
    if category is not None and not _is_whole(category) and not (is_id(category) and category in categories):
        return f'"category_id" must be an integer, got {_short(category)}.'
    return ''


def read_images(path: str | os.PathLike) -> dict[Any, CocoImage]:
    """The images of a COCO file by id; reading stops after the list of images.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or no image has an id.
    """
    images: dict[Any, CocoImage] = {}
    for item in walk_json(path):
        if item.key == 'images' and item.index is not None:
            _add_image(images, item.value)
        elif images:
            break
    if not images:
        raise ValueError(_NO_IMAGES.format(path))
    return images


def image_name(record: dict) -> str:
    """File name of a COCO image; LVIS has only ``coco_url``, whose last two parts are folder and file.

    Raises:
        ValueError: it has no valid file name.
    """
    name = record.get('file_name', url_name(record))
    problem = name_problem(name)
    if problem:
        raise ValueError(f'the "file_name" of image {_short(record.get("id"))} is not a file name: {problem}.')
    return name


def is_crowd(record: dict) -> bool:
    """Whether an annotation is a crowd; such masks are neither refined nor trained on."""
    return bool(record.get('iscrowd'))


def url_name(record: dict) -> str | None:
    """Folder and file from the ``coco_url`` of an image; None if there is none."""
    url = record.get('coco_url')
    return '/'.join(url.split('/')[-2:]) if isinstance(url, str) else None


def is_id(value: Any) -> bool:
    """Whether a value is a valid id of an image, a video, an object or a category."""
    return not isinstance(value, bool) and (
        isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    )


_NO_IMAGES = '{} is not a COCO file with images: expected a list under the key "images", each with an "id".'
_CHANGED = '{} was changed while it was being refined; start again with --overwrite.'


def _image_id_of(record: Any) -> Any:
    """Image id of an annotation or result; ``NO_IMAGE`` if it has none."""
    image_id = record.get('image_id') if isinstance(record, dict) else None
    return image_id if is_id(image_id) else NO_IMAGE


def _add_image(images: dict[Any, CocoImage], record: Any) -> None:
    """Add an image; images without an id are ignored, since no record can refer to them."""
    if not isinstance(record, dict) or not is_id(record.get('id')):
        return
    sides = record.get('height'), record.get('width')
    size_hw = tuple(map(int, sides)) if all(_is_whole(side) and side > 0 for side in sides) else None
    try:
        image = CocoImage(image_name(record), size_hw)
    except ValueError as error:
        image = CocoImage(_short(record.get('file_name')), size_hw, str(error))
    if images.setdefault(record['id'], image) != image:
        problem = f'several images have the id {_short(record["id"])}; ids must be unique.'
        images[record['id']] = image._replace(problem=problem)


def _is_whole(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + '...'
