"""Photo, coarse masks and refined masks side by side. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmrefine.core.checks import check_image, check_masks

ADDED_RGB = (60, 220, 90)
REMOVED_RGB = (255, 70, 60)
_GOLDEN_RATIO = 0.618
_GAP, _LINE, _FONT_SIZE = 8, 22, 15


def draw_refinement(
    image: np.ndarray, coarse_masks: np.ndarray, refined_masks: np.ndarray, heading: str = '', panel_side: int = 640
) -> np.ndarray:
    """Draw photo | coarse | refined, every mask with its contour in a colour of its own.

    On the refined side pixels that a mask gained are green and pixels that it lost are red.

    Args:
        image: (H, W, 3) uint8 RGB.
        coarse_masks, refined_masks: (N, H, W) bool.
        heading: a line above.
        panel_side: the longer side of each of the three, in pixels.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        TypeError, ValueError: image or masks do not fit, as :mod:`mmrefine.core.checks` says.
    """
    size_hw = check_image(image).shape[:2]
    coarse_masks, refined_masks = check_masks(coarse_masks, size_hw), check_masks(refined_masks, size_hw)
    if len(coarse_masks) != len(refined_masks):
        raise ValueError(f'expected as many refined as coarse masks, got {len(refined_masks)} and {len(coarse_masks)}.')
    size_wh = tuple(max(1, round(side * panel_side / max(size_hw))) for side in size_hw[::-1])
    photo = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if max(size_wh) < max(size_hw) else cv2.INTER_CUBIC)
    coarse, refined = photo.copy(), photo.copy()
    # Masks are enlarged one by one: hundreds of them at the picture's size would not fit into memory.
    for index, masks in enumerate(zip(coarse_masks, refined_masks, strict=True)):
        before, after = (_resize(mask, size_wh) for mask in masks)
        _tint(coarse, before, _colour(index))
        _tint(refined, after & ~before, ADDED_RGB)
        _tint(refined, before & ~after, REMOVED_RGB)
        _outline(coarse, before, _colour(index))
        _outline(refined, after, _colour(index))
    added, removed = (
        np.count_nonzero(a & ~b) for a, b in ((refined_masks, coarse_masks), (coarse_masks, refined_masks))
    )
    captions = ('photo', 'coarse', f'refined: {added} px more (green), {removed} px less (red)')
    return _assemble(heading, captions, (photo, coarse, refined))


def _assemble(heading: str, captions: tuple[str, ...], panels: tuple[np.ndarray, ...]) -> np.ndarray:
    """Panels in a row on white, each under its caption, all under the heading."""
    height, width = panels[0].shape[:2]
    top = _GAP + 2 * _LINE
    canvas = Image.new('RGB', (len(panels) * (width + _GAP) + _GAP, top + height + _GAP), 'white')
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_SIZE)
    pen.text((_GAP, _GAP // 2), heading, fill='black', font=font)
    for index, (caption, panel) in enumerate(zip(captions, panels, strict=True)):
        left = _GAP + index * (width + _GAP)
        pen.text((left, _GAP // 2 + _LINE), caption, fill='dimgray', font=font)
        canvas.paste(Image.fromarray(panel), (left, top))
    return np.array(canvas)


def _colour(index: int) -> tuple[int, int, int]:
    """Hues that stay apart however many there are: steps of the golden ratio, starting at blue."""
    channels = colorsys.hsv_to_rgb((0.58 + index * _GOLDEN_RATIO) % 1, 0.75, 1.0)
    return tuple(round(255 * channel) for channel in channels)


def _resize(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR) >= 0.5


def _tint(panel: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int]) -> None:
    panel[mask] = (0.6 * panel[mask] + 0.4 * np.array(rgb)).astype(np.uint8)


def _outline(panel: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, rgb, 1, lineType=cv2.LINE_AA)
