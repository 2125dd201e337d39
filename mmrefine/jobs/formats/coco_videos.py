"""COCO files whose images belong to videos, in the form of YouTube-VIS."""

from __future__ import annotations

import math
import reprlib
from collections import defaultdict
from typing import Any

from mmrefine.files.coco_file import is_id, url_name


def with_frames(videos: dict[Any, dict], images: list) -> tuple[dict[Any, dict], dict[Any, tuple[Any, int]]]:
    """The videos with names of their frames, and for each usable image its video and position."""
    members: dict[Any, list[dict]] = defaultdict(list)
    for image in images:
        known = image if isinstance(image, dict) else {}
        frame = known.get('frame_id')
        is_placed = isinstance(frame, (int, float)) and math.isfinite(frame) and is_id(known.get('id'))
        if is_placed and is_id(known.get('video_id')) and known['video_id'] in videos:
            members[known['video_id']].append(known)
    named, positions = {}, {}
    for video_id, video in videos.items():
        frames = sorted(members[video_id], key=lambda image: image['frame_id'])
        names = [image.get('file_name', url_name(image)) for image in frames]
        named[video_id] = {**video, 'file_names': names}
        positions |= {image['id']: (video_id, position) for position, image in enumerate(frames)}
    return named, positions


def join_objects(
    annotations: list, videos: dict[Any, dict], positions: dict[Any, tuple[Any, int]]
) -> tuple[list[dict], list[str]]:
    """One record per object in the format of YouTube-VIS, and problems of annotations that belong to no object."""
    objects: dict[tuple, dict] = {}
    problems, taken = [], set()
    for number, record in enumerate(annotations):
        known = record if isinstance(record, dict) else {}
        track, image_id = known.get('instance_id', known.get('track_id')), known.get('image_id')
        if not is_id(track) or not is_id(image_id) or image_id not in positions:
            problems.append(
                f'annotation {number} must have the "image_id" of an image of a video, and "instance_id" or '
                f'"track_id", got {reprlib.repr(record)}.'
            )
            continue
        video_id, position = positions[image_id]
        if (video_id, track, position) in taken:
            where = f'object {reprlib.repr(track)} on image {reprlib.repr(image_id)}'
            problems.append(f'annotation {number} is the second of {where}.')
            continue
        taken.add((video_id, track, position))
        made = {'id': len(objects) + 1, 'video_id': video_id, 'category_id': record.get('category_id')}
        empty = [None] * len(videos[video_id]['file_names'])
        known = objects.setdefault((video_id, track), {**made, 'segmentations': empty})
        known['segmentations'][position] = record.get('segmentation')
    return list(objects.values()), problems
