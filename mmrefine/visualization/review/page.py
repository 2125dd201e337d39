"""The review page: its data, thumbnails and HTML. Legend: H, W in pixels.

Outlines are SVG paths over a thumbnail, which are sharp at any size. The page shows differences of masks without
further data: under the even-odd rule, the joined paths of two masks fill the area where they differ.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from mmrefine.core.crops import mask_boxes
from mmrefine.core.iou import binary_iou
from mmrefine.core.outlines import trace

_CROP_SIDE, _IMAGE_SIDE = 360, 960
_MARGIN = 0.25  # around a mask, as a fraction of its longer side
_MIN_CROP_PX = 48
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class ReviewMask:
    """A mask on the review page.

    Attributes:
        name, category: name and category of the mask.
        coarse: (H, W) bool.
        proposed: (H, W) bool; None if there is no proposal.
        gt: (H, W) bool; None without ground truth.
        accepted: whether the proposal was accepted.
        reason: why it was not; '' if it was.
        decided: whether a reviewer decided.
        score, gain: estimated IoU of the proposal, and expected gain; None if unknown.
    """

    name: Any
    category: str
    coarse: np.ndarray
    proposed: np.ndarray | None
    gt: np.ndarray | None = None
    accepted: bool = False
    reason: str = ''
    decided: bool = False
    score: float | None = None
    gain: float | None = None


@dataclass(frozen=True)
class ReviewImage:
    """An image on the review page, with its masks.

    Attributes:
        key: key of the image in the file of decisions.
        name: name that is shown.
        proposals: digest of the proposals, for which decisions are valid.
        image: (H, W, 3) uint8 RGB.
        masks: iterates over indices and masks; None for one that is not shown.
    """

    key: str
    name: str
    proposals: str
    image: np.ndarray
    masks: Iterable[tuple[int, ReviewMask | None]]


class ReviewPage:
    """Builder of a review page, image by image; memory grows with outlines, not with pixels.

    Args:
        title: what is reviewed.
        identity: key of this review, under which decisions are kept in the browser.
        folder: of the thumbnails, as seen from the page.
    """

    def __init__(self, title: str, identity: str, folder: str = 'thumbnails'):
        self._head = {'title': title, 'identity': identity}
        self._folder = folder
        self._images: list[dict] = []
        self._masks: list[dict] = []
        self._num_left_out = 0

    def add(self, item: ReviewImage) -> dict[str, bytes]:
        """Add an image; returns its thumbnails by file name."""
        number, size_hw = len(self._images), item.image.shape[:2]
        scale = min(1.0, _IMAGE_SIDE / max(size_hw))
        name = f'{self._folder}/{number:06d}.jpg'
        thumbnails = {name: _jpeg(item.image, scale)}
        self._images.append(
            {
                'key': item.key,
                'name': item.name,
                'proposals': item.proposals,
                'file': name,
                'width': size_hw[1],
                'height': size_hw[0],
            }
        )
        for index, mask in item.masks:
            if mask is None:
                self._num_left_out += 1
                continue
            box = _crop_box([mask.coarse, mask.proposed, mask.gt], size_hw)
            x1, y1, x2, y2 = box
            zoom = min(_CROP_SIDE / max(x2 - x1, y2 - y1), 4.0)
            name = f'{self._folder}/{number:06d}_{index:05d}.jpg'
            thumbnails[name] = _jpeg(item.image[y1:y2, x1:x2], zoom)
            self._masks.append(self._entry(number, index, mask, box, zoom, name))
        return thumbnails

    def _entry(self, image: int, index: int, mask: ReviewMask, box: tuple, zoom: float, file: str) -> dict:
        tolerance_px = 0.4 / min(zoom, 1.0)  # of what is seen
        x1, y1, x2, y2 = box
        paths = {
            name: '' if side is None else _path(side[y1:y2, x1:x2], (x1, y1), tolerance_px)
            for name, side in (('coarse', mask.coarse), ('proposed', mask.proposed), ('truth', mask.gt))
        }
        area_px = int(np.count_nonzero(mask.coarse))
        changed_px = 0 if mask.proposed is None else int(np.count_nonzero(mask.coarse != mask.proposed))
        union_px = area_px if mask.proposed is None else int(np.count_nonzero(mask.coarse | mask.proposed))
        return {
            'image': image,
            'index': index,
            'name': str(mask.name),
            'category': mask.category,
            'file': file,
            'box': [x1, y1, x2 - x1, y2 - y1],
            **paths,
            'accepted': mask.accepted,
            'possible': mask.proposed is not None,
            'decided': mask.decided,
            'reason': mask.reason,
            'score': _number(mask.score),
            'gain': _number(mask.gain),
            'area': area_px,
            'change': _number(changed_px / max(area_px, 1)),
            'disagreement': _number(changed_px / max(union_px, 1)),
            'iou': None if mask.gt is None else [_iou(side, mask.gt) for side in (mask.coarse, mask.proposed)],
        }

    def html(self) -> str:
        """The page as HTML, which loads nothing but the thumbnails beside it."""
        data = json.dumps({**self._head, 'images': self._images, 'masks': self._masks, 'leftOut': self._num_left_out})
        page = _part('template.html')
        for name, content in (
            ('STYLE', _part('review.css')),
            ('SCRIPT', _part('review.js')),
            # In a script element only '<' could end the text, or begin a comment.
            ('DATA', data.replace('<', '\\u003c')),
        ):
            before, mark, after = page.partition(f'/*{name}*/')
            if not mark:
                raise ValueError(f'the template has no place for {name}.')
            page = before + content + after
        return page


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding='utf-8')


def _number(value: float | None) -> float | None:
    return round(float(value), 6) if value is not None and np.isfinite(value) else None


def _iou(mask: np.ndarray | None, gt: np.ndarray) -> float | None:
    return None if mask is None else _number(binary_iou(mask, gt))


def _jpeg(image: np.ndarray, scale: float) -> bytes:
    height, width = image.shape[:2]
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    buffer = io.BytesIO()
    Image.fromarray(image).resize(size_wh, Image.Resampling.LANCZOS).save(buffer, 'JPEG', quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _crop_box(masks: list[np.ndarray | None], size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Square box around masks with a margin, clipped to the image; the whole image if they are empty."""
    present = [mask for mask in masks if mask is not None and mask.any()]
    if not present:
        return 0, 0, size_hw[1], size_hw[0]
    boxes = mask_boxes(present)
    first, last = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = max(_MIN_CROP_PX, round((last - first).max() * (1 + 2 * _MARGIN)))
    spans = []
    for low, high, limit in zip(first, last, size_hw[::-1], strict=True):
        start = int(np.clip((low + high - side) // 2, 0, max(limit - side, 0)))
        spans.append((start, min(start + side, limit)))
    (x1, x2), (y1, y2) = spans
    return x1, y1, x2, y2


def _path(mask: np.ndarray, offset_xy: tuple[int, int], tolerance_px: float) -> str:
    """SVG path data of a mask's outlines."""
    rings = [ring + offset_xy for part in trace(mask, tolerance_px) for ring in part]
    return ''.join('M' + 'L'.join(f'{x:g} {y:g}' for x, y in ring) + 'Z' for ring in rings)
