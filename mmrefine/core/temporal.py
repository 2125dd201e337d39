"""Temporal consistency of masks: optical flow, propagation along it, flicker, and which masks to refine again.

Legend: T frames, H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmrefine.core.iou import binary_iou


def estimate_flow(current: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Optical flow from a frame to another one, by dense inverse search (Kroeger et al., ECCV 2016).

    Args:
        current, other: (H, W, 3) uint8 RGB of one size.

    Returns:
        (H, W, 2) float32, steps (x, y) in pixels from a place in ``current`` to the same thing in ``other``.

    Raises:
        ValueError: frames of different sizes.
    """
    if current.shape != other.shape:
        raise ValueError(f'frames must have one size, got {current.shape} and {other.shape}.')
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (current, other)]
    # The search starts from patches of 8 pixels at a quarter of the size: smaller frames are made larger for it.
    height, width = grey[0].shape
    scale = max(1.0, _LEAST_SIDE / min(height, width))
    if scale > 1:
        grey = [cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for frame in grey]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return cv2.resize(flow, (width, height)) / np.float32(scale) if scale > 1 else flow


_LEAST_SIDE = 64


def warp_mask(mask: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Warp a mask of another frame with the flow from :func:`estimate_flow`.

    Args:
        mask: (H, W) bool, on ``other``.
        flow: (H, W, 2) float32.

    Returns:
        (H, W) bool, on ``current``; what comes from outside the frame is background.

    Raises:
        ValueError: mask and flow differ in size.
    """
    if mask.shape != flow.shape[:2]:
        raise ValueError(f'mask and flow must have one size, got {mask.shape} and {flow.shape[:2]}.')
    height, width = mask.shape
    xs = np.arange(width, dtype=np.float32) + flow[..., 0]
    ys = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return cv2.remap(mask.astype(np.float32), xs, ys, cv2.INTER_LINEAR) >= 0.5


def round_trip(mask: np.ndarray, there: np.ndarray, back: np.ndarray) -> float:
    """Forward-backward consistency: IoU of a mask with itself warped to another frame and back; 1 if it is empty.

    Where it is low the flow is lost, or parts of the object are in one of the frames only.

    Args:
        mask: (H, W) bool, of one frame.
        there, back: (H, W, 2) from :func:`estimate_flow`, with which a mask is carried to the other frame and back.
    """
    return binary_iou(warp_mask(warp_mask(mask, there), back), mask)


def consensus(masks: Sequence[np.ndarray], own: np.ndarray | None = None) -> np.ndarray:
    """Pixelwise majority of (H, W) bool masks; ties follow ``own``, or else are background.

    Example:
        >>> import numpy as np
        >>> consensus([np.array([[1, 1, 0]], bool), np.array([[1, 0, 0]], bool), np.array([[1, 1, 1]], bool)]).tolist()
        [[True, True, False]]
    """
    votes = 2 * np.sum(masks, axis=0, dtype=np.int32) - len(masks)
    return votes > 0 if own is None else (votes > 0) | ((votes == 0) & own)


def flicker(masks: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> float:
    """Flicker: mean of 1 - IoU of each mask with the previous one, warped along the flow.

    The flow is estimated from the images alone, so that coarse, refined and ground-truth masks are judged alike. Its
    errors and disocclusions lower even the score of the ground truth, so a score means nothing by itself: compare it
    with that of other masks of the same clip, or with the ground truth's as the limit. Pairs of frames without the
    object are left out: they would reward its absence.

    Args:
        masks: T of (H, W) bool, or an iterable kind of it.
        flows: T - 1 of (H, W, 2), from each frame from the second on to the one before it.

    Returns:
        In [0, 1], 0 for masks that follow the flow; NaN where no two frames in a row show the object.

    Raises:
        ValueError: numbers that do not fit.
    """
    if len(flows) != max(len(masks) - 1, 0):
        raise ValueError(f'{len(masks)} masks have {max(len(masks) - 1, 0)} flows between them, got {len(flows)}.')
    steps = [change(before, mask, flow) for before, mask, flow in zip(masks[:-1], masks[1:], flows, strict=True)]
    steps = [step for step in steps if step is not None]
    return float(np.mean(steps)) if steps else float('nan')


def change(before: np.ndarray, mask: np.ndarray, flow: np.ndarray) -> float | None:
    """One step of :func:`flicker`: None where neither frame shows the object."""
    if not (before.any() or mask.any()):
        return None
    return 1 - binary_iou(warp_mask(before, flow), mask)


def must_restart(
    refined: np.ndarray, propagated: np.ndarray, coarse: np.ndarray, min_agreement: float, min_support: float
) -> bool:
    """Whether a refined mask contradicts the masks propagated from its neighbours, so that these should be refined.

    Only if the propagated mask is an object at all and the frame's own coarse mask supports it: after a cut, and where
    the object appears or vanishes, neighbours know nothing about a frame. And not where refinement left the coarse mask
    unchanged, since its proposals are then no better on the neighbouring frames either.

    Args:
        refined, propagated, coarse: (H, W) bool, of one frame.
        min_agreement: a refinement whose IoU with the propagated mask is less contradicts it.
        min_support: minimum IoU of the propagated mask with the coarse one.
    """
    if not propagated.any() or np.array_equal(refined, coarse) or binary_iou(refined, propagated) >= min_agreement:
        return False
    return binary_iou(propagated, coarse) >= min_support
