"""J and F of results in the directory layouts of DAVIS and LVOS: a folder of PNG label maps for each clip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmrefine.core.regions import VOID
from mmrefine.evaluation.video import ObjectScores, contour_accuracy, region_similarity
from mmrefine.files.json_stream import read_json
from mmrefine.files.mask_files import read_mask_file

_LVOS_STEP = 5


def evaluate_davis(results: str | os.PathLike, annotations: str | os.PathLike, clips: list[str]) -> list[ObjectScores]:
    """J and F of DAVIS's semi-supervised task: the first frame, which is given, and the last frame are not evaluated.

    Objects are the labels 1 to the maximum of the first frame; void (255) counts as background, as in the 2017 toolkit.
    In DAVIS 2016, whose masks are 0 and 255, there is one object.

    Args:
        results: folder with ``<clip>/<frame>.png``.
        annotations: folder with ``<clip>/<frame>.png``, such as ``DAVIS/Annotations/480p``.
        clips: names of the clips; empty: all of ``annotations``.

    Raises:
        FileNotFoundError: a folder or a frame is missing.
        ValueError: results do not match the annotations.
    """
    scores = []
    for clip in clips or list_clips(annotations):
        names = _frame_names(Path(annotations) / clip)
        if len(names) < 3:
            raise ValueError(
                f'clip {clip} must have at least 3 annotated frames, got {len(names)}; the first and the last are not '
                'evaluated.'
            )
        first = _read_labels(Path(annotations) / clip / f'{names[0]}.png')
        for object_id in range(1, int(first.max()) + 1):
            scores.append(_score(Path(results), Path(annotations), clip, object_id, names[1:-1]))
    return scores


def evaluate_lvos(
    results: str | os.PathLike, annotations: str | os.PathLike, meta: str | os.PathLike
) -> list[ObjectScores]:
    """J and F of LVOS v1 and v2: every fifth frame of each object from its first to before its last, as in the toolkit.

    Args:
        results: folder with ``<clip>/<frame>.png``.
        annotations: folder with ``<clip>/<frame>.png``.
        meta: JSON file of the split with ``videos``, their ``objects`` and the ``frame_range`` of each.

    Raises:
        FileNotFoundError, ValueError: see :func:`evaluate_davis`.
    """
    scores, content = [], read_json(meta)
    try:
        videos = content['videos']
        ranges = [
            (clip, int(object_id), int(item['frame_range']['start']), int(item['frame_range']['end']))
            for clip, video in sorted(videos.items())
            for object_id, item in video['objects'].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{meta} is not a meta file of LVOS: expected videos -> clip -> objects -> id -> frame_range -> start, end.'
        ) from error
    for clip, object_id, start, end in ranges:
        names = [f'{number:08d}' for number in range(start, end, _LVOS_STEP)]
        scores.append(_score(Path(results), Path(annotations), clip, object_id, names))
    return scores


def list_clips(annotations: str | os.PathLike) -> list[str]:
    """Names of the folders of PNG files in a folder.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it contains none.
    """
    folder = Path(annotations)
    if not folder.is_dir():
        raise FileNotFoundError(f'annotations {annotations} is not a folder.')
    clips = sorted(path.name for path in folder.iterdir() if path.is_dir() and any(path.glob('*.png')))
    if not clips:
        raise ValueError(f'{annotations} contains no clip: expected folders of PNG files.')
    return clips


def _frame_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f'annotations {folder} is not a folder.')
    return sorted(path.stem for path in folder.glob('*.png'))


def _score(results: Path, annotations: Path, clip: str, object_id: int, names: list[str]) -> ObjectScores:
    pairs = [_measure(*pair) for pair in _pairs(results / clip, annotations / clip, object_id, names)]
    values = np.array(pairs, np.float64).reshape(-1, 2)
    if not len(values):
        raise ValueError(f'object {object_id} of clip {clip} has no frame to evaluate.')
    return ObjectScores(clip, object_id, values[:, 0], values[:, 1])


def _measure(pred: np.ndarray, gt: np.ndarray) -> tuple[float, float]:
    return region_similarity(pred, gt), contour_accuracy(pred, gt)


def _pairs(
    results: Path, annotations: Path, object_id: int, names: list[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for name in names:
        pred, gt = (_read_labels(folder / f'{name}.png') == object_id for folder in (results, annotations))
        if pred.shape != gt.shape:
            raise ValueError(f'{results / name}.png must have the size of its annotation {gt.shape}, got {pred.shape}.')
        yield pred, gt


def _read_labels(path: Path) -> np.ndarray:
    """Read a label map, with void as background. A 1-bit file, or one of 0 and 255 without palette, is one object."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; every evaluated frame needs a PNG file.')
    file = read_mask_file(path)
    values = file.values.astype(np.uint8) if file.values.dtype == bool else file.values
    if file.palette is None and np.isin(values, (0, VOID)).all():
        return (values > 0).astype(np.uint8)
    return np.where(values == VOID, 0, values)
