"""COCO files that stay on the disk: in memory is only where each record starts and which image it belongs to."""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mmrefine.files.json_stream import Item, walk_json, write_json


class CocoFile:
    """A COCO annotation file or results list; takes about 24 bytes of memory per record, and an image's id and name.

    Args:
        path: the JSON file; it is read once to the end.

    Attributes:
        path: of the file.
        digest: SHA-256 of the file.
        is_results: it is a list of results, not an object with ``annotations``.
        image_ids: ids of the images that have records, in the order of their first ones.
        image_names: names of all images by id; empty for results.
        categories: their names by id; empty for results.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not of COCO's form, a record lacks its image or its segmentation, or an image id is
            there twice.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.image_names: dict[Any, str] = {}
        self.categories: dict[Any, str] = {}
        self._starts, self._lengths, images = array('q'), array('i'), array('i')
        numbers: dict[Any, int] = {}
        kinds: dict[str | None, bool] = {}  # of each key, whether there is a list
        digest = hashlib.sha256()
        for item in walk_json(path, digest):
            kinds[item.key] = item.index is not None or item.value == []
            if item.index is None:
                continue
            if item.key in (None, 'annotations'):
                self._starts.append(item.start)
                self._lengths.append(item.length)
                image_id = _image_id_of(item, self.path)
                images.append(numbers.setdefault(image_id, len(numbers)))
            elif item.key == 'images':
                _add_image(self.image_names, item, self.path)
            elif item.key == 'categories' and isinstance(item.value, dict):
                self.categories[item.value.get('id')] = item.value.get('name', '')
        self.digest = digest.hexdigest()
        self.is_results = None in kinds
        if not kinds.get(None if self.is_results else 'annotations'):
            raise ValueError(
                f'{self.path} is neither a COCO results list nor a COCO file with a list under "annotations".'
            )
        if not self.is_results and not self.image_names:
            raise ValueError(_NO_IMAGES.format(self.path))
        self.image_ids = list(numbers)
        self._numbers = numbers
        numbers_of_records = np.frombuffer(images, np.int32) if images else np.zeros(0, np.int32)
        self._order = np.argsort(numbers_of_records, kind='stable')
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(numbers_of_records, minlength=len(numbers)))])

    def __len__(self) -> int:
        return len(self._starts)

    def counts(self) -> np.ndarray:
        """How many records each of the ``image_ids`` has."""
        return np.diff(self._bounds)

    def records_of(self, image_id: Any) -> list[int]:
        """Indices of the records of an image, rising; none for an image that has none."""
        number = self._numbers.get(image_id)
        return [] if number is None else self._order[self._bounds[number] : self._bounds[number + 1]].tolist()

    def read(self, indices: Iterable[int]) -> list[dict]:
        """The records at these places.

        Raises:
            ValueError: the file is no longer what it was.
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

    def copy(self, file: TextIO, changes: Callable[[int], dict]) -> None:
        """Write the file again, as ``json.dump`` would, with other values for some fields of its records.

        Args:
            file: opened for writing text.
            changes: gives the new values for the record at an index.

        Raises:
            ValueError: the file is no longer what it was.
        """
        key, digest = None if self.is_results else 'annotations', hashlib.sha256()

        def changed() -> Iterator[Item]:
            for item in walk_json(self.path, digest):
                is_record = item.key == key and item.index is not None
                yield item._replace(value={**item.value, **changes(item.index)}) if is_record else item

        write_json(file, changed())
        if digest.hexdigest() != self.digest:
            raise ValueError(_CHANGED.format(self.path))


def read_image_names(path: str | os.PathLike) -> dict[Any, str]:
    """Names of the images of a COCO file by id, read no further than to the last of them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, there are no images, or one lacks its ``id`` or ``file_name``.
    """
    names: dict[Any, str] = {}
    for item in walk_json(path):
        if item.key == 'images' and item.index is not None:
            _add_image(names, item, path)
        elif names:
            break
    if not names:
        raise ValueError(_NO_IMAGES.format(path))
    return names


def image_name(record: dict) -> str:
    """Name of a COCO image. LVIS gives ``coco_url`` only, whose last two parts are folder and file."""
    return record['file_name'] if 'file_name' in record else '/'.join(record['coco_url'].split('/')[-2:])


_NO_IMAGES = '{} is no COCO file with images: expected a list under the key "images".'
_CHANGED = '{} was changed while it was being refined; start anew with --overwrite.'


def _image_id_of(item: Item, path: Path) -> Any:
    """The image of a result or annotation, which is checked to have one, and a segmentation."""
    place, record = f'{path}: {item.key or "results"}[{item.index}]', item.value
    if not isinstance(record, dict) or not {'image_id', 'segmentation'} <= record.keys():
        raise ValueError(
            f'{place} must have "image_id" and "segmentation", got '
            f'{sorted(record) if isinstance(record, dict) else type(record).__name__}.'
        )
    if not isinstance(record['image_id'], (int, float, str)):
        raise ValueError(f'{place} must have a number or a text as "image_id", got {str(record["image_id"])[:80]}.')
    return record['image_id']


def _add_image(names: dict[Any, str], item: Item, path: str | os.PathLike) -> None:
    """Keep the id and name of an image, which is checked to have them."""
    record, place = item.value, f'{path}: images[{item.index}]'
    if not isinstance(record, dict) or 'id' not in record or not {'file_name', 'coco_url'} & record.keys():
        raise ValueError(f'{place} must have "id" and "file_name", got {str(record)[:80]}.')
    if not isinstance(record['id'], (int, float, str)):
        raise ValueError(f'{place} must have a number or a text as "id", got {str(record["id"])[:80]}.')
    if record['id'] in names:
        raise ValueError(f'{place} has the id {record["id"]} of another image; ids must be unique.')
    names[record['id']] = image_name(record)
