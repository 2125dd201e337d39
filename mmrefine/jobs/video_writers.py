"""Refined masks of clips as files: PNG label maps, JSON as of YouTube-VIS, overlay videos. Legend: N objects."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import resolve_overlaps
from mmrefine.core.rle import box_of, encode_rle
from mmrefine.files.atomic import remove_results, whole_file
from mmrefine.files.video_masks import Clip, ClipMasks, JsonVideos, VideoSource
from mmrefine.models.video import FrameResult

MAX_LABEL = 254


class PngFolder:
    """Label maps of one clip with DAVIS's palette, one per frame; a context, whose end makes the folder appear.

    Where masks overlap the one of the higher score wins, of equal ones the smaller.

    Args:
        folder: where they go.
        object_ids: labels, 1 to 254.

    Raises:
        ValueError: a label that a palette file cannot hold.
    """

    def __init__(self, folder: Path, object_ids: list[int]):
        if object_ids and not 1 <= min(object_ids) <= max(object_ids) <= MAX_LABEL:
            raise ValueError(
                f'PNG label maps hold objects 1 to {MAX_LABEL}, got {max(object_ids)}; write JSON instead.'
            )
        self.folder = folder
        self._unfinished = folder.with_name(f'.{folder.name}.unfinished')
        self._labels = np.array([0, *object_ids], np.uint8)

    def add(self, name: str, result: FrameResult) -> None:
        """The masks of a frame."""
        owner = resolve_overlaps(result.masks, result.scores) if len(result.masks) else None
        labels = np.zeros(result.masks.shape[1:], np.uint8) if owner is None else self._labels[owner + 1]
        image = Image.fromarray(labels)
        image.putpalette(voc_palette())
        with whole_file(self._unfinished / f'{name}.png', 'wb') as file:
            image.save(file, format='PNG')

    def __enter__(self) -> PngFolder:
        remove_results(self._unfinished)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        remove_results(self._unfinished if kind else self.folder)
        if kind is None:
            os.replace(self._unfinished, self.folder)


def object_records(clip: Clip, masks: ClipMasks, segmentations: list[list[dict | None]], image_hw: tuple) -> list[dict]:
    """The records of a clip's objects with refined segmentations, and areas and boxes where they have any.

    Args:
        segmentations: for each object one of :func:`encode_frame` per frame.
    """
    records = []
    for place, row in enumerate(segmentations):
        if masks.records:
            record = dict(masks.records[place])
        else:
            known = {'category_id': masks.categories[place], 'object_id': masks.object_ids[place], 'iscrowd': 0}
            record = {'video_id': clip.index + 1, **known, 'areas': [], 'bboxes': [], 'height': image_hw[0]}
            record |= {'width': image_hw[1]}
        record['segmentations'] = [None if item is None else item['rle'] for item in row]
        if 'areas' in record:
            record['areas'] = [None if item is None else item['area'] for item in row]
        if 'bboxes' in record:
            record['bboxes'] = [None if item is None else item['bbox'] for item in row]
        records.append(record)
    return records


def encode_frame(masks: np.ndarray) -> list[dict | None]:
    """For each of (N, H, W) masks RLE, area and box; None where it is empty, as in YouTube-VIS."""
    return [
        {'rle': encode_rle(mask), 'area': int(np.count_nonzero(mask)), 'bbox': box_of(mask)} if mask.any() else None
        for mask in masks
    ]


def write_json_videos(path: Path, source: VideoSource, done: Iterable[tuple[Clip, dict]]) -> None:
    """Write the masks of all clips in the form of YouTube-VIS: a file like the one that came in, or a new one.

    Records of clips that failed stay as they came.

    Args:
        path: of the file.
        source: of the job.
        done: for each clip that succeeded its part, with ``records``, ``names`` and ``size_hw``.
    """
    parts = {clip.index: (clip, part) for clip, part in done}
    records: list[dict] = []
    for clip in source.clips:
        if clip.index in parts:
            records += parts[clip.index][1]['records']
        elif isinstance(source, JsonVideos):
            records += source.records[clip.video_id]
    if isinstance(source, JsonVideos):
        content: Any = records
        if isinstance(source.content, dict):
            kept = {key: value for key, value in source.content.items() if key != 'images'}
            content = {**kept, 'videos': list(source.videos.values()), 'annotations': records}
    else:
        for number, record in enumerate(records, 1):
            record['id'] = number
        videos = [
            {
                'id': clip.index + 1,
                'name': clip.name,
                'file_names': part['file_names'],
                'length': len(part['file_names']),
                'height': part['size_hw'][0],
                'width': part['size_hw'][1],
            }
            for clip, part in parts.values()
        ]
        content = {'videos': videos, 'categories': [], 'annotations': records}
    with whole_file(path) as file:
        json.dump(content, file)
