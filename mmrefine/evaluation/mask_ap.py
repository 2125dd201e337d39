"""Mask AP and boundary AP with COCO's or LVIS's annotations.

Boundary AP (Cheng et al., CVPR 2021) matches by the minimum of mask IoU and boundary IoU. Otherwise the protocol is
that of pycocotools, or that of lvis, where a class is evaluated only on images for which it was annotated.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmrefine.compat import restore_numpy_names
from mmrefine.core.boundary import band_width, boundary_band
from mmrefine.utils import require

DILATION_RATIO = 0.02


def mask_ap(
    annotations: str | os.PathLike, results: Sequence[dict], *, federated: bool = False, boundary: bool = True
) -> dict[str, float]:
    """Mask AP and boundary AP of a results list.

    Args:
        annotations: COCO annotation file; with ``federated`` an LVIS annotation file, such as one written by
            ``tools/dataset_converters/lvis_to_coco.py``.
        results: COCO results with ``image_id``, ``category_id``, ``segmentation`` (RLE) and ``score``.
        federated: use the protocol of LVIS with up to 300 results per image, instead of COCO's with up to 100.
        boundary: whether to compute boundary AP.

    Returns:
        ``mask_AP``, ``mask_AP50``, ``mask_AP75``, and the same with ``boundary_``, in [0, 1]; -1 without annotations.

    Raises:
        ImportError: ``federated`` is set and the package lvis is not installed.

    Example:
        >>> import numpy as np
        >>> import json, tempfile
        >>> from pycocotools import mask as coco_mask
        >>> mask = np.zeros((20, 20), np.uint8, order='F')
        >>> mask[5:15, 5:15] = 1
        >>> rle = coco_mask.encode(mask) | {'counts': coco_mask.encode(mask)['counts'].decode()}
        >>> about = {'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'area': 100, 'bbox': [5, 5, 10, 10]}
        >>> dataset = {'info': {}, 'images': [{'id': 1, 'height': 20, 'width': 20}]}
        >>> dataset |= {'categories': [{'id': 1, 'name': 'dog'}], 'annotations': [about | {'segmentation': rle}]}
        >>> with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
        ...     json.dump(dataset, file)
        ...     file.flush()
        ...     result = {'image_id': 1, 'category_id': 1, 'segmentation': rle, 'score': 0.9}
        ...     round(mask_ap(file.name, [result])['boundary_AP'], 3)
        1.0
    """
    evaluate = _evaluate_lvis if federated else _evaluate_coco
    # The packages print to standard output, and modify the results.
    with contextlib.redirect_stdout(io.StringIO()):
        sides = {'mask': evaluate(str(annotations), [dict(result) for result in results], False)}
        if boundary:
            sides['boundary'] = evaluate(str(annotations), [dict(result) for result in results], True)
    return {f'{side}_{name}': value for side, values in sides.items() for name, value in values.items()}


def _evaluate_coco(annotations: str, results: list[dict], boundary: bool) -> dict[str, float]:
    if not results:
        return dict.fromkeys(('AP', 'AP50', 'AP75'), 0.0)
    gt = COCO(annotations)
    evaluator = (_BoundaryCOCOeval if boundary else COCOeval)(gt, gt.loadRes(results), 'segm')
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return dict(zip(('AP', 'AP50', 'AP75'), map(float, evaluator.stats[:3]), strict=True))


def _evaluate_lvis(annotations: str, results: list[dict], boundary: bool) -> dict[str, float]:
    restore_numpy_names()
    if not results:
        return dict.fromkeys(('AP', 'AP50', 'AP75'), 0.0)
    lvis = require('lvis', 'pip install "mmrefine[lvis]"', 'AP by the protocol of LVIS')

    class BoundaryLVISEval(lvis.LVISEval):
        def compute_iou(self, img_id: int, cat_id: int) -> Any:
            return _with_boundaries(super().compute_iou(img_id, cat_id), *self._get_gt_dt(img_id, cat_id))

    gt = lvis.LVIS(annotations)
    found = lvis.LVISResults(gt, results, max_dets=300)
    evaluator = (BoundaryLVISEval if boundary else lvis.LVISEval)(gt, found, 'segm')
    evaluator.run()
    return {name: float(evaluator.results[name]) for name in ('AP', 'AP50', 'AP75')}


class _BoundaryCOCOeval(COCOeval):
    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803  (the package's names)
        gt, dt = ([*found[imgId, catId]] for found in (self._gts, self._dts))
        return _with_boundaries(super().computeIoU(imgId, catId), gt, dt, self.params.maxDets[-1])


def _with_boundaries(ious: Any, gt: list[dict], dt: list[dict], max_dets: int | None = None) -> Any:
    """Minimum of mask IoU (D, G) and boundary IoU, with results sorted by decreasing score as in the packages."""
    if not len(ious):
        return ious
    order = np.argsort([-result['score'] for result in dt], kind='mergesort')[:max_dets]
    results = [_band(dt[index]) for index in order]
    crowd = [int(annotation.get('iscrowd', 0)) for annotation in gt]
    return np.minimum(ious, coco_mask.iou(results, [_band(annotation) for annotation in gt], crowd))


def _band(record: dict) -> dict:
    """RLE of the boundary band of an annotation or result; cached in it."""
    if '_band' not in record:
        mask = coco_mask.decode(record['segmentation']).astype(bool)  # both packages convert polygons to RLE
        band = boundary_band(mask, band_width(mask.shape, DILATION_RATIO))
        record['_band'] = coco_mask.encode(np.asfortranarray(band, dtype=np.uint8))
    return record['_band']
