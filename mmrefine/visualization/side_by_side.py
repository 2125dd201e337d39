"""Image, coarse masks and refined masks side by side. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmrefine.core.checks import check_image, check_masks

ADDED_RGB = (60, 220, 90)
REMOVED_RGB = (255, 70, 60)
REJECTED_RGB = (255, 255, 255)
_HUES = ((0.48, 0.90), (0.08, 0.17))
_LARGE, _MARGIN, _MIN_MARGIN_PX = 0.5, 0.25, 16  # masks longer than half the image are not cropped
_GOLDEN_RATIO = 0.618
_GAP, _LINE, _FONT_SIZE = 8, 22, 15


def draw_refinement(
    image: np.ndarray,
    coarse_masks: np.ndarray,
    refined_masks: np.ndarray,
    heading: str = '',
    panel_side: int = 640,
    *,
    rejected_masks: np.ndarray | None = None,
    gt_masks: np.ndarray | None = None,
    notes: Sequence[str] = (),
    crop: bool = False,
) -> np.ndarray:
    """Draw image, coarse masks, refined masks and optionally ground truth side by side, with a colour for each mask.

    In the refined panel, pixels that a mask gained are green and pixels that it lost are red.

    Args:
        image: (H, W, 3) uint8 RGB.
        coarse_masks, refined_masks: (N, H, W) bool.
        heading: text above the panels.
        panel_side: the longer side of each panel in pixels.
        rejected_masks: (M, H, W) bool, rejected proposals, drawn as white contours in the refined panel.
        gt_masks: (K, H, W) bool.
        notes: further lines of text, such as why proposals were rejected.
        crop: crop the image around the masks if they are small.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        TypeError, ValueError: image or masks are invalid, see :mod:`mmrefine.core.checks`.

    Example:
        >>> import numpy as np
        >>> coarse = np.zeros((1, 6, 8), bool)
        >>> coarse[0, 1:5, 2:7] = True
        >>> picture = draw_refinement(np.zeros((6, 8, 3), np.uint8), coarse, coarse, 'unchanged', panel_side=80)
        >>> picture.dtype, picture.shape
        (dtype('uint8'), (120, 272, 3))
    """
    size_hw = check_image(image).shape[:2]
    nothing = np.zeros((0, *size_hw), bool)
    sides = [
        nothing if masks is None else check_masks(masks, size_hw)
        for masks in (coarse_masks, refined_masks, rejected_masks, gt_masks)
    ]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f'expected as many refined as coarse masks, got {len(sides[1])} and {len(sides[0])}.')
    if crop:
        rows, columns = _surroundings(sides, size_hw)
        image, sides = image[rows, columns], [masks[:, rows, columns] for masks in sides]
        size_hw = image.shape[:2]
    size_wh = tuple(max(1, round(side * panel_side / max(size_hw))) for side in size_hw[::-1])
    panel = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if max(size_wh) < max(size_hw) else cv2.INTER_CUBIC)
    coarse, refined = panel.copy(), panel.copy()
    coarse_masks, refined_masks, rejected_masks, _ = sides
    # Masks are resized one by one, because hundreds of them would not fit into memory.
    for index, masks in enumerate(zip(coarse_masks, refined_masks, strict=True)):
        before, after = (_resize(mask, size_wh) for mask in masks)
        _tint(coarse, before, _colour(index))
        _tint(refined, after & ~before, ADDED_RGB)
        _tint(refined, before & ~after, REMOVED_RGB)
        _outline(coarse, before, _colour(index))
        _outline(refined, after, _colour(index))
    for mask in rejected_masks:
        _outline(refined, _resize(mask, size_wh), REJECTED_RGB)
    added, removed = (
        np.count_nonzero(a & ~b) for a, b in ((refined_masks, coarse_masks), (coarse_masks, refined_masks))
    )
    change = f'refined: {added} px more (green), {removed} px less (red)'
    captions = ['image', 'coarse', change + (', white: rejected' if len(rejected_masks) else '')]
    panels = [panel, coarse, refined]
    if gt_masks is not None:
        captions.append('ground truth')
        panels.append(panel.copy())
        for index, mask in enumerate(sides[3]):
            true = _resize(mask, size_wh)
            _tint(panels[-1], true, _colour(index))
            _outline(panels[-1], true, _colour(index))
    return _assemble([heading, *notes], captions, panels)


def _surroundings(sides: Sequence[np.ndarray], size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the masks with a margin; all if they cover most of the image or are empty."""
    spans = []
    for axis, side in enumerate(size_hw):
        covered = [masks.any(axis=(0, 2 - axis)) for masks in sides if masks.any()]
        if not covered:
            return slice(None), slice(None)
        covered_indices = np.flatnonzero(np.any(covered, axis=0))
        spans.append((int(covered_indices[0]), int(covered_indices[-1]) + 1, side))
    longest = max(stop - start for start, stop, _ in spans)
    if longest > _LARGE * max(size_hw):
        return slice(None), slice(None)
    margin = max(_MIN_MARGIN_PX, round(_MARGIN * longest))
    rows, columns = (slice(max(0, start - margin), min(side, stop + margin)) for start, stop, side in spans)
    return rows, columns


def _assemble(lines: Sequence[str], captions: Sequence[str], panels: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange panels in a row, with captions, under lines of text."""
    height, width = panels[0].shape[:2]
    top = _GAP + (1 + len(lines)) * _LINE
    canvas = Image.new('RGB', (len(panels) * (width + _GAP) + _GAP, top + height + _GAP), 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_SIZE)
    for index, line in enumerate(lines):
        pen.text((_GAP, _GAP // 2 + index * _LINE), line, fill='dimgray' if index else 'black', font=font)
    for index, (caption, panel) in enumerate(zip(captions, panels, strict=True)):
        left = _GAP + index * (width + _GAP)
        pen.text((left, _GAP // 2 + len(lines) * _LINE), caption, fill='dimgray', font=font)
        canvas.paste(Image.fromarray(panel), (left, top))
    return np.array(canvas)


def _colour(index: int) -> tuple[int, int, int]:
    """Colour of a mask: hues in steps of the golden ratio, except green and red, which mark changes."""
    position = (0.25 + index * _GOLDEN_RATIO) % 1 * sum(stop - start for start, stop in _HUES)
    for start, stop in _HUES:
        if position < stop - start:
            break
        position -= stop - start
    channels = colorsys.hsv_to_rgb(start + position, 0.75, 1.0)
    return tuple(round(255 * channel) for channel in channels)


def _resize(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR) >= 0.5


def _tint(panel: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int]) -> None:
    panel[mask] = (0.6 * panel[mask] + 0.4 * np.array(rgb)).astype(np.uint8)


def _outline(panel: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, rgb, 1, lineType=cv2.LINE_AA)
