"""Transform that refines masks, for pipelines of this package, MMDetection or MMSegmentation."""

from __future__ import annotations

import os

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmrefine.core.checks import check_masks
from mmrefine.core.crops import mask_boxes
from mmrefine.core.regions import VOID, paint_regions, split_label_map
from mmrefine.files.images import read_image
from mmrefine.files.result_cache import ResultCache, refiner_fingerprint
from mmrefine.models.model_zoo import build_refiner, find_checkpoint, load_config
from mmrefine.models.refiners import BaseRefiner
from mmrefine.registry import TRANSFORMS
from mmrefine.structures import RefineResult
from mmrefine.utils import counted, require

_FIELDS = ('coarse_masks', 'gt_masks', 'gt_seg_map')
# Image decoders differ by one or two grey levels on average, different or flipped images by tens.
_SAME_IMAGE_LEVELS = 3
_FIRST_REPORT = 100  # masks


@TRANSFORMS.register_module()
class RefineMasks(BaseTransform):
    """Refine the masks of a sample, optionally with a cache on disk.

    The image is read again from ``img_path``, so that channel order and loader do not matter. This transform must come
    before transforms that resize, crop, flip or change colours.

    ========================= ==========================================================================================
    ``field``                 effect
    ========================= ==========================================================================================
    ``'coarse_masks'``        (N, H, W) masks of this package; adds ``refined_masks``, ``scores`` and ``accepted``.
    ``'gt_masks'``            (N, H, W), or MMDetection's ``BitmapMasks`` and ``PolygonMasks``, which become
                              ``BitmapMasks``; replaces them and updates ``gt_bboxes``. Instances with
                              ``gt_ignore_flags`` and boxes of empty masks are not changed.
    ``'gt_seg_map'``          (H, W) label map of MMSegmentation; replaced by the label map with refined regions.
    ========================= ==========================================================================================

    In all cases ``accepted`` (N,) bool is set, the gate's decisions by mask, or by region of the label map. Their sum
    is logged after 100 masks and whenever the number of masks has doubled.

    Args:
        model: name of a bundled model, or the config of a refiner, see
            :func:`~mmrefine.models.model_zoo.build_refiner`.
        checkpoint: weights of the refiner.
        field: the field to refine, see above.
        cache_dir: folder of the cache, which epochs, workers, processes and trainings can share; None: no cache. Its
            key consists of the image, the coarse masks, and the refiner's config, weights and seed.
        ignore_label: void label of label maps, which is not changed; None if there is none.
        background_label: background label of label maps, which is not refined; None if every label is an object.
        ignore_band: set pixels whose label has changed to ``ignore_label``.
        device: device of the refiner; workers of a DataLoader cannot use a GPU.
        seed: random seed of the refiner.

    Raises:
        ValueError: an unknown field, masks that do not have the size of the image, or a changed image.
    """

    def __init__(
        self,
        model: str | os.PathLike | dict = 'segrefiner_tiny',
        checkpoint: str | os.PathLike | None = None,
        field: str = 'coarse_masks',
        cache_dir: str | os.PathLike | None = None,
        ignore_label: int | None = VOID,
        background_label: int | None = 0,
        ignore_band: bool = False,
        device: str = 'cpu',
        seed: int = 0,
    ):
        if field not in _FIELDS:
            raise ValueError(f'field must be one of {_FIELDS}, got {field!r}.')
        if ignore_band and (field != 'gt_seg_map' or ignore_label is None):
            raise ValueError('ignore_band needs gt_seg_map and an ignore_label.')
        self.model, self.checkpoint, self.field = model, checkpoint, field
        self.ignore_label, self.background_label, self.ignore_band = ignore_label, background_label, ignore_band
        self.device, self.seed = device, seed
        self.cache = None if cache_dir is None else ResultCache(cache_dir, self._fingerprint())
        self._refiner: BaseRefiner | None = None
        self._num_masks = self._num_accepted = 0
        self._next_report = _FIRST_REPORT

    def transform(self, results: dict) -> dict:
        for key in (self.field, 'img_path'):
            if key not in results:
                raise ValueError(f'RefineMasks: expected {key} in the sample, got {sorted(results)}.')
        if results.get('flip'):
            raise ValueError('RefineMasks: the sample was flipped; put RefineMasks before RandomFlip.')
        if self.field == 'gt_seg_map':
            self._refine_label_map(results)
        elif self.field == 'gt_masks':
            self._refine_gt_masks(results)
        else:
            result = self._refine(results, results['coarse_masks'])
            results.update(refined_masks=result.masks, scores=result.scores, accepted=result.accepted)
        return results

    def _refine_label_map(self, results: dict) -> None:
        before = results['gt_seg_map']
        coarse, labels = split_label_map(before, background=self.background_label, void=self.ignore_label)
        result = self._refine(results, coarse)
        options = {'background': self.background_label, 'void': self.ignore_label}
        after = paint_regions(before, coarse, result.masks, labels, result.scores, **options)
        if self.ignore_band:
            after[after != before] = self.ignore_label
        results.update(gt_seg_map=after, accepted=result.accepted)

    def _refine_gt_masks(self, results: dict) -> None:
        given = results['gt_masks']
        masks = check_masks(given.to_ndarray() if hasattr(given, 'to_ndarray') else given, _size_of(given))
        chosen = ~np.asarray(results.get('gt_ignore_flags', np.zeros(len(masks), bool)), bool)
        refined = masks.copy()
        result = self._refine(results, masks[chosen])
        refined[chosen] = result.masks
        results['accepted'] = np.zeros(len(masks), bool)
        results['accepted'][chosen] = result.accepted
        chosen &= refined.any(axis=(1, 2))
        if 'gt_bboxes' in results:
            results['gt_bboxes'] = _replace_boxes(results['gt_bboxes'], mask_boxes(refined), chosen)
        if hasattr(given, 'to_ndarray'):
            structures = require('mmdet.structures.mask', 'pip install mmdet', 'RefineMasks on BitmapMasks')
            results['gt_masks'] = structures.BitmapMasks(refined.astype(np.uint8), *refined.shape[1:])
        else:
            results['gt_masks'] = refined

    def _refine(self, results: dict, masks: np.ndarray) -> RefineResult:
        """Refine the masks of a sample, or read the result from the cache."""
        masks = check_masks(masks, masks.shape[-2:])
        key = None if self.cache is None else self.cache.key(results['img_path'], masks)
        result = None if key is None else self.cache.get(key, masks)
        if result is None:
            result = self._compute(results, masks)
            if key is not None:
                self.cache.put(key, result)
        self._report(result)
        return result

    def _report(self, result: RefineResult) -> None:
        """Log the number of accepted masks at increasing intervals."""
        self._num_masks += len(result.accepted)
        self._num_accepted += int(result.accepted.sum())
        if self._num_masks >= self._next_report:
            print_log(
                f'RefineMasks: replaced {self._num_accepted} of {counted(self._num_masks, "mask")}, kept the others.',
                logger='current',
            )
            self._next_report = 2 * self._num_masks

    def _compute(self, results: dict, masks: np.ndarray) -> RefineResult:
        image = read_image(results['img_path'])
        if 'img' in results:
            _check_unchanged(results['img'], image, results['img_path'])
        if self._refiner is None:  # built lazily in each worker that needs it
            self._refiner = build_refiner(self.model, self.checkpoint, self.device)
        return self._refiner.refine(image, masks, generator=torch.Generator().manual_seed(self.seed))

    def _fingerprint(self) -> str:
        config, checkpoint = load_config(self.model)
        checkpoint = checkpoint if self.checkpoint is None else find_checkpoint(self.checkpoint)
        return refiner_fingerprint(config['model'].to_dict(), checkpoint, self.seed)


def _size_of(masks: object) -> tuple[int, int]:
    """(H, W) of masks of any type."""
    return (masks.height, masks.width) if hasattr(masks, 'height') else masks.shape[-2:]


def _replace_boxes(boxes: object, boxes_xyxy: np.ndarray, chosen: np.ndarray) -> object:
    """Replace boxes, (N, 4) xyxy or MMDetection's HorizontalBoxes, by those of the chosen masks."""
    if isinstance(boxes, np.ndarray):
        return np.where(chosen[:, None], boxes_xyxy, boxes).astype(boxes.dtype)
    if type(boxes).__name__ != 'HorizontalBoxes':
        got = type(boxes).__name__
        raise ValueError(f"RefineMasks needs horizontal boxes, got {got}; load them with box_type='hbox'.")
    replaced = boxes.clone()
    replaced.tensor[torch.from_numpy(chosen)] = torch.from_numpy(boxes_xyxy[chosen]).to(replaced.tensor)
    return replaced


def _check_unchanged(image: np.ndarray, file_image: np.ndarray, path: str) -> None:
    """Check that an image equals its file, in any channel order.

    Raises:
        ValueError: it differs.
    """
    is_same = image.shape == file_image.shape
    if is_same:
        difference = image.mean(axis=2, dtype=np.float32) - file_image.mean(axis=2, dtype=np.float32)
        is_same = np.abs(difference).mean() < _SAME_IMAGE_LEVELS
    if not is_same:
        raise ValueError(
            f'RefineMasks: the image of the sample, {image.shape}, differs from {path}, {file_image.shape}; put '
            'RefineMasks before transforms that resize, crop, flip or change colours.'
        )
