"""COCO annotation files that are held in memory, for tools that convert them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mmrefine.core.rle import is_absent
from mmrefine.files.json_stream import read_json


def read_annotations(path: str | os.PathLike) -> dict:
    """Read an annotation file with the lists ``images``, ``annotations`` and ``categories``; the last two may be empty.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or not in COCO's format.
    """
    content = read_json(path)
    lists = ('images', 'annotations', 'categories')
    content = {**{name: [] for name in lists}, **content} if isinstance(content, dict) else {}
    if not all(_has_ids(content.get(name), name != 'annotations') for name in lists) or not content['images']:
        raise ValueError(
            f'{path} is not a COCO annotation file: expected {", ".join(lists)}, lists of objects with ids.'
        )
    return content


def read_results(path: str | os.PathLike) -> list:
    """Read a COCO results list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or not a list.
    """
    content = read_json(path)
    if not isinstance(content, list):
        if content:
            raise ValueError(
                f'{path} is not a COCO results file: expected a list, got an object with {sorted(content)[:4]}.'
            )
        return []
    return content


def usable_records(records: Iterable[Any], content: dict) -> tuple[list[dict], list[str]]:
    """Annotations or results that have a mask and belong to an image and a category of ``content``.

    Returns:
        the usable records, and a sentence for each reason why others are skipped.
    """
    image_ids = {image['id'] for image in content['images']}
    category_ids = {category['id'] for category in content['categories']}
    usable, left_out = [], defaultdict(list)
    for index, record in enumerate(records):
        reason, which = _why_not(record, index, image_ids, category_ids)
        if reason:
            left_out[reason].append(which)
        else:
            usable.append(record)
    count = len(usable) + sum(map(len, left_out.values()))
    return usable, [f'{len(found)} of {count} masks {reason}, such as {found[0]}' for reason, found in left_out.items()]


def _why_not(record: Any, index: int, image_ids: set, category_ids: set) -> tuple[str, Any]:
    """Why a record cannot be used, or '' if it can; and a value that identifies it."""
    if not isinstance(record, dict):
        return 'are not JSON objects', f'the one at index {index}'
    image_id, category_id = record.get('image_id'), record.get('category_id')
    if not _is_one_of(image_id, image_ids):
        return 'belong to images that do not exist', image_id
    if category_ids and not _is_one_of(category_id, category_ids):
        return 'belong to categories that do not exist', category_id
    absent = is_absent(record.get('segmentation'))
    return 'have no segmentation' if absent else '', record.get('id', f'the one at index {index}')


def _is_one_of(value: Any, ids: set) -> bool:
    return isinstance(value, (int, str)) and value in ids


def _has_ids(items: Any, needed: bool) -> bool:
    return isinstance(items, list) and all(
        not needed or (isinstance(item, dict) and isinstance(item.get('id'), (int, str))) for item in items
    )
