"""Refinement of batches of predictions."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmrefine.core.gate import describe_reason
from mmrefine.core.selection import MaskSelection, class_indices
from mmrefine.engine.prediction_fields import MaskField, find_fields
from mmrefine.engine.prediction_images import image_of
from mmrefine.models.refiners import BaseRefiner, RefineInput
from mmrefine.structures import RefineResult, det_with_masks, with_field

_PROMPT_SWITCHES = ('use_point', 'use_box', 'use_mask')


class _Work(NamedTuple):
    """A field of the prediction at ``index`` in the batch, and its selected masks, (N,) bool."""

    index: int
    field: MaskField
    chosen: np.ndarray


@dataclass
class PredictionRefiner:
    """Refines predictions of MMDetection and MMSegmentation on the original images.

    Args:
        refiner: the refiner; it runs without autocast.
        selection: selection of the masks that are refined.
        classes: class names of the dataset in order; None if unknown.
        rescore: whether scores of refined instances are multiplied by the refiner's quality estimates.
        fallback: see :func:`~mmrefine.engine.prediction_images.image_of`.
        skipped: names of fields that are skipped if there is a semantic or panoptic map, such as ``'pred_instances'``.
        keep_coarse: whether refined samples have a field ``coarse`` with the fields before refinement, and
            ``accepted``, the gate's decisions on the selected masks.

    Attributes:
        decisions: for every prediction so far, why each mask that was refined kept its coarse one, '' where it did not.
    """

    refiner: BaseRefiner
    selection: MaskSelection = MaskSelection()
    classes: tuple[str, ...] | None = None
    rescore: bool = False
    fallback: str | None = None
    skipped: frozenset[str] = frozenset()
    keep_coarse: bool = False
    decisions: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    @classmethod
    def from_options(
        cls,
        refiner: BaseRefiner,
        class_names: Sequence[str] | None,
        *,
        classes: Sequence[int | str] | None = None,
        score_thr: float = 0.0,
        area_range: tuple[float, float | None] = (0, None),
        top_k: int | None = None,
        **options: Any,
    ) -> PredictionRefiner:
        """Build from options of :class:`~mmrefine.engine.RefineHook` and the class names of the dataset.

        Raises:
            TypeError, ValueError: the dataset does not have a class, or the selection is invalid.
        """
        names = None if class_names is None else tuple(class_names)
        selection = MaskSelection(class_indices(classes, names), score_thr, tuple(area_range), top_k)
        return cls(refiner, selection, names, **options)

    def __call__(
        self,
        predictions: Sequence[BaseDataElement],
        data: Any = None,
        images: Sequence[np.ndarray | None] | None = None,
    ) -> list[BaseDataElement]:
        """Refine a batch.

        Args:
            predictions: ``DetDataSample`` or ``SegDataSample``, one per image; or ``TrackDataSample``, one per clip,
                whose frames are refined one by one. They are not changed.
            data: the batch from which they were predicted, for ``fallback``.
            images: the original images, (H, W, 3) uint8 RGB, one per prediction; for a clip None or a list. None: read
                from ``img_path``.

        Raises:
            FileNotFoundError: an image does not exist.
            ValueError: there is nothing to refine, sizes differ, or there are only boxes and the refiner needs masks.
        """
        if any(hasattr(prediction, 'video_data_samples') for prediction in predictions):
            images = images or [None] * len(predictions)
            return [self._refine_clip(*pair) for pair in zip(predictions, images, strict=True)]
        work = [
            self._choose(index, field)
            for index, prediction in enumerate(predictions)
            if prediction.keys() != ['loss']  # validation losses follow the predictions
            for field in find_fields(prediction, self.classes, self.rescore, self.skipped)
        ]
        results = iter(self._refine([item for item in work if item.chosen.any()], predictions, data, images))
        refined = list(predictions)
        for index, items in groupby(work, key=attrgetter('index')):
            refinements = [(item, next(results) if item.chosen.any() else None) for item in items]
            refined[index] = self._write(predictions[index], refinements)
        return refined

    def _refine_clip(self, clip: BaseDataElement, images: Sequence[np.ndarray | None] | None) -> BaseDataElement:
        """Refine the frames of a ``TrackDataSample``."""
        if not hasattr(clip, 'video_data_samples'):
            return self([clip], images=[images])[0]
        frames = clip.video_data_samples
        images = [None] * len(frames) if images is None else images
        start = len(self.decisions)
        frames = [self([frame], images=[image])[0] for frame, image in zip(frames, images, strict=True)]
        self.decisions[start:] = [sum(self.decisions[start:], ())]
        refined = with_field(clip, 'video_data_samples', frames)
        if not self.keep_coarse:
            return refined
        accepted = np.concatenate([frame.coarse.accepted for frame in frames])
        before = [_frame_before(frame) for frame in frames]
        return with_field(refined, 'coarse', BaseDataElement(video_data_samples=before, accepted=accepted))

    def _choose(self, index: int, field: MaskField) -> _Work:
        areas_px = np.array([np.count_nonzero(mask) for mask in field.masks], np.int64)
        return _Work(index, field, self.selection.select(areas_px, field.labels, field.scores))

    def _write(
        self, prediction: BaseDataElement, refinements: Sequence[tuple[_Work, RefineResult | None]]
    ) -> BaseDataElement:
        """Write refined fields to the prediction of one image; results of fields without selected masks are None."""
        refined, before = prediction, BaseDataElement(accepted=np.zeros(0, bool))
        reasons: list[str] = []
        for (_, field, chosen), result in refinements:
            masks, scores = field.masks[:0], np.zeros(0, np.float32)
            if result is not None:
                masks, scores = result.masks, result.scores
                before.accepted = np.concatenate([before.accepted, result.accepted])
                reasons += [describe_reason(reason) if reason else '' for reason in result.reasons]
            if self.keep_coarse:
                before.set_data({field.name: _coarse_field(prediction, field)})
            refined = field.write(refined, chosen, masks, scores)
        self.decisions.append(tuple(reasons))
        return with_field(refined, 'coarse', _keep_first_coarse(prediction, before)) if self.keep_coarse else refined

    def _refine(
        self,
        work: Sequence[_Work],
        predictions: Sequence[BaseDataElement],
        data: Any,
        given: Sequence[np.ndarray | None] | None,
    ) -> list[RefineResult]:
        """Results in the order of ``work``; all masks of the batch are refined together, and so are all boxes."""
        images = {}
        for index in {item.index for item in work}:
            image = None if given is None else given[index]
            images[index] = image_of(predictions[index], data, index, self.fallback) if image is None else image
        inputs = []
        for item in work:
            _check_size(predictions[item.index], item.field, images[item.index])
            scores = None if item.field.scores is None else item.field.scores[item.chosen]
            masks, labels = item.field.masks[item.chosen], item.field.labels[item.chosen]
            inputs.append(RefineInput(images[item.index], masks, labels, scores))
        results: list[RefineResult | None] = [None] * len(work)
        for from_boxes in (False, True):
            positions = [position for position, item in enumerate(work) if item.field.from_boxes == from_boxes]
            if positions:
                refiner = prompted_by_box(self.refiner) if from_boxes else self.refiner
                with torch.autocast(refiner.device.type, enabled=False):
                    batch = refiner.refine_batch([inputs[position] for position in positions])
                for position, result in zip(positions, batch, strict=True):
                    results[position] = result
        return results


def prompted_by_box(refiner: BaseRefiner) -> BaseRefiner:
    """A shallow copy of a prompting refiner that uses only box prompts, runs one iteration and has no gate.

    Without a gate, because filled boxes must not be kept as masks.

    Raises:
        ValueError: the refiner does not use prompts, unlike :class:`~mmrefine.models.refiners.SAMRefiner`.
    """
    if not all(hasattr(refiner, switch) for switch in _PROMPT_SWITCHES):
        raise ValueError(
            f'the model predicts boxes without masks, but {type(refiner).__name__} needs masks; use SAMRefiner, which '
            'predicts masks from boxes, or a model that predicts masks.'
        )
    view = copy.copy(refiner)
    view.use_point, view.use_box, view.use_mask = False, True, False
    view.iters = 1
    view.gate = None
    return view


def _coarse_field(prediction: BaseDataElement, field: MaskField) -> BaseDataElement:
    """A field as predicted by the model; boxes as filled masks."""
    if field.scores is not None:
        return det_with_masks(prediction, field.masks, field=field.name).get(field.name)
    return prediction.get(field.name)


def _frame_before(frame: BaseDataElement) -> BaseDataElement:
    """A frame of a clip as predicted by the model."""
    before = frame.new()
    coarse = before.pop('coarse')
    for name, value in coarse.items():
        if name != 'accepted':
            setattr(before, name, value)
    return before


def _keep_first_coarse(prediction: BaseDataElement, before: BaseDataElement) -> BaseDataElement:
    """``before``; if the prediction had been refined already, its first coarse fields and the decisions of both."""
    if 'coarse' not in prediction:
        return before
    accepted = np.concatenate([prediction.coarse.accepted, before.accepted])
    return with_field(prediction.coarse, 'accepted', accepted)


def _check_size(prediction: BaseDataElement, field: MaskField, image: np.ndarray) -> None:
    if field.masks.shape[1:] != image.shape[:2]:
        path = prediction.metainfo.get('img_path') or 'that was given'
        raise ValueError(
            f'{field.name} is {field.masks.shape[1]}x{field.masks.shape[2]} (HxW), but the image '
            f'{path} is {image.shape[0]}x{image.shape[1]}; predictions must have the '
            'size of the original image: predict with rescale=True, and check the EXIF orientation of the image.'
        )
