"""Evaluation of class activation maps at several thresholds, and of the label maps of a job."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mmrefine.core.activation_maps import activation_label_map, resize_scores
from mmrefine.core.regions import VOID
from mmrefine.evaluation import LabelMapScore
from mmrefine.files.activation_map_source import activation_map_paths, check_unambiguous, read_activation_labels
from mmrefine.files.activation_maps import DEFAULT_NAMES, MapNames, load_activation_maps
from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import read_mask_file
from mmrefine.jobs.engine import LABEL_QUALITY
from mmrefine.jobs.outputs import OutputFolder

_INPUT_ERRORS = (OSError, ValueError)


@dataclass(frozen=True)
class ThresholdScore:
    """Results of one threshold over all readable files.

    Attributes:
        threshold: pixels with lower scores are background.
        foreground: fraction of foreground pixels.
        mean_iou: mIoU of the coarse label maps; None without ground truth.
    """

    threshold: float
    foreground: float
    mean_iou: float | None


def sweep_thresholds(
    maps: str | os.PathLike,
    thresholds: Sequence[float],
    gt: str | os.PathLike | None = None,
    names: MapNames = DEFAULT_NAMES,
) -> list[ThresholdScore]:
    """Evaluate label maps from activation maps at several thresholds, without refinement.

    Args:
        maps: folder of activation maps, see :class:`~mmrefine.jobs.formats.activation_maps.ActivationMaps`.
        thresholds: thresholds in [0, 1].
        gt: folder of ground-truth label maps with the names of the activation maps; 255 is ignored. Maps without
            ground truth and files that cannot be read are skipped.
        names: keys and class numbering of the tool that wrote the maps.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: no file could be used, or a threshold is out of range.
    """
    outside = [threshold for threshold in thresholds if not 0 <= threshold <= 1]
    if outside or not thresholds:
        raise ValueError(f'thresholds must lie in [0, 1], got {outside or "none"}.')
    if not Path(maps).exists():
        raise FileNotFoundError(f'activation maps {maps} do not exist: expected a folder of .npy and .npz files.')
    read_gt = None if gt is None else _label_map_reader(gt)
    quality = [LabelMapScore() for _ in thresholds]
    foreground_px, num_px = np.zeros(len(thresholds)), 0
    for classes, scores, gt_labels in _maps_with_gt(maps, read_gt, names):
        for index, threshold in enumerate(thresholds):
            labels, _ = activation_label_map(classes, scores, threshold=threshold)
            foreground_px[index] += np.count_nonzero(labels)
            if gt_labels is not None:
                quality[index].add(labels, gt_labels)
        num_px += labels.size
    if not num_px:
        raise ValueError(f'none of the activation maps under {maps} could be used to compare thresholds.')
    return [
        ThresholdScore(threshold, float(px / num_px), None if gt is None else score.mean_iou)
        for threshold, px, score in zip(thresholds, foreground_px, quality, strict=True)
    ]


def best_threshold(scores: Sequence[ThresholdScore]) -> float | None:
    """The first threshold with the highest mIoU; None without ground truth."""
    if any(score.mean_iou is None for score in scores):
        return None
    return max(scores, key=lambda score: score.mean_iou).threshold


def format_sweep(scores: Sequence[ThresholdScore]) -> str:
    """Markdown table of thresholds; with ground truth the best one is marked."""
    best = best_threshold(scores)
    rows = [
        [
            f'{score.threshold:g}' + (' (best)' if score.threshold == best else ''),
            f'{100 * score.foreground:.1f}',
            '' if score.mean_iou is None else f'{100 * score.mean_iou:.1f}',
        ]
        for score in scores
    ]
    return _table(['threshold', 'foreground %', 'coarse mIoU %'], rows)


def compare_label_maps(
    coarse: str | os.PathLike,
    out: str | os.PathLike,
    gt: str | os.PathLike,
    threshold: float | None = None,
    void: int | None = VOID,
    names: MapNames = DEFAULT_NAMES,
) -> dict[str, LabelMapScore]:
    """mIoU of the coarse and refined label maps, and pseudo labels if written, of a finished job.

    Writes the numbers to ``label_quality.json`` in the output folder.

    Args:
        coarse: the job's input: activation maps or label maps.
        out: output folder of the job.
        gt: folder of ground-truth label maps. Label maps without ground truth of the same size are skipped.
        threshold: threshold of the activation maps; None: the coarse masks are label maps.
        void: label of ignored pixels.
        names: keys and class numbering of the tool that wrote the activation maps.

    Returns:
        scores by ``'coarse'``, ``'refined'`` and, if written, ``'pseudo labels'``.

    Raises:
        ValueError: no label map has ground truth.
    """
    folders = {'refined': Path(out) / 'masks', 'pseudo labels': Path(out) / 'pseudo_labels'}
    folders = {side: folder for side, folder in folders.items() if folder.is_dir()}
    read_coarse = _label_map_reader(coarse) if threshold is None else None
    map_paths = {} if threshold is None else activation_map_paths(coarse)
    read_gt = _label_map_reader(gt)
    scores = {side: LabelMapScore(void) for side in ('coarse', *folders)}
    written = OutputFolder(out)
    for name in sorted(name.removeprefix('masks/') for name in written.owned if name.startswith('masks/')):
        try:
            gt_labels = read_gt(name)
            if threshold is not None and gt_labels is not None and name in map_paths:
                before = read_activation_labels(map_paths[name], gt_labels.shape, threshold, names).labels()
            else:
                before = None if read_coarse is None else read_coarse(name)
            if gt_labels is None or before is None:
                continue  # its input was deleted
            maps = {side: read_mask_file(folder / name).labels() for side, folder in folders.items()}
            if any(labels.shape != gt_labels.shape for labels in (before, *maps.values())):
                continue
        except _INPUT_ERRORS:
            continue  # the job itself reports it
        scores['coarse'].add(before, gt_labels)
        for side, labels in maps.items():
            scores[side].add(labels, gt_labels)
    if not scores['coarse'].iou:
        raise ValueError(
            f'no label map under {folders.get("refined", out)} has ground truth of the same name under {gt}.'
        )
    written.plan([LABEL_QUALITY])
    with written.open(LABEL_QUALITY) as file:
        json.dump({side: _as_json(score) for side, score in scores.items()}, file, indent=1)
    return scores


def format_label_quality(scores: dict[str, LabelMapScore]) -> str:
    """Markdown table with a row per side and a column per label."""
    labels = sorted({label for score in scores.values() for label in score.iou})
    rows = [
        [
            side,
            f'{100 * score.mean_iou:.1f}',
            f'{100 * score.labelled_share:.1f}',
            *(f'{100 * score.iou[label]:.1f}' if label in score.iou else '' for label in labels),
        ]
        for side, score in scores.items()
    ]
    return _table(['labels', 'mIoU %', 'labelled %', *(f'IoU of {label}' for label in labels)], rows)


def _maps_with_gt(
    maps: str | os.PathLike, read_gt: Callable[[str], np.ndarray | None] | None, names: MapNames
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Classes, scores and ground truth of every readable file; scores are resized to the ground truth."""
    for name, path in activation_map_paths(maps).items():
        try:
            check_unambiguous(path)
            classes, scores = load_activation_maps(path, names)
            gt_labels = None if read_gt is None else read_gt(name)
            if gt_labels is not None:
                scores = (
                    resize_scores(scores, gt_labels.shape)
                    if len(classes)
                    else np.zeros((0, *gt_labels.shape), np.float32)
                )
            activation_label_map(classes, scores, threshold=0.5)  # validates the scores
        except _INPUT_ERRORS:
            continue  # the job itself reports it
        if read_gt is None or gt_labels is not None:
            yield classes, scores, gt_labels


def _label_map_reader(path: str | os.PathLike) -> Callable[[str], np.ndarray | None]:
    """A function that reads the label map with a name, None if there is none; a single file matches any name."""
    table = ImageTable(path)
    folder = table.source.parent if table.is_single else table.source

    def read(name: str) -> np.ndarray | None:
        found = table.source.name if table.is_single else table.find(name)
        return None if found is None else read_mask_file(folder / found).labels()

    return read


def _as_json(score: LabelMapScore) -> dict:
    return {'mean_iou': score.mean_iou, 'labelled_share': score.labelled_share, 'iou': score.iou}


def _table(titles: list[str], rows: list[list[str]]) -> str:
    table = Table(box=box.MARKDOWN)
    for index, title in enumerate(titles):
        table.add_column(title, justify='right' if index else 'left')
    for row in rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=1000, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(table)
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())
