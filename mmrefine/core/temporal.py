"""Temporal consistency of masks: optical flow, propagation along it, flicker. Legend: T frames, H and W in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmrefine.core.iou import binary_iou

_MIN_FLOW_SIDE_PX = 64


def estimate_flow(current: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Optical flow from one frame to another, by dense inverse search (Kroeger et al., ECCV 2016).

    Args:
        current, other: (H, W, 3) uint8 RGB of the same size.

    Returns:
        (H, W, 2) float32, displacements (x, y) in pixels from ``current`` to ``other``.

    Raises:
        ValueError: frames of different sizes.
    """
    if current.shape != other.shape:
        raise ValueError(f'frames must have the same size, got {current.shape} and {other.shape}.')
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (current, other)]
    # The search needs patches of 8 pixels at a quarter of the resolution: smaller frames are upsampled.
    height, width = grey[0].shape
    scale = max(1.0, _MIN_FLOW_SIDE_PX / min(height, width))
    if scale > 1:
        grey = [cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for frame in grey]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return cv2.resize(flow, (width, height)) / np.float32(scale) if scale > 1 else flow


def warp_mask(mask: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Warp a mask of another frame to the current one.

    Args:
        mask: (H, W) bool, of the other frame.
        flow: (H, W, 2) float32, from the current to the other frame (:func:`estimate_flow`).

    Returns:
        (H, W) bool, of the current frame; beyond the other frame there is background.

    Raises:
        ValueError: mask and flow differ in size.
    """
    if mask.shape != flow.shape[:2]:
        raise ValueError(f'mask and flow must have the same size, got {mask.shape} and {flow.shape[:2]}.')
    height, width = mask.shape
    xs = np.arange(width, dtype=np.float32) + flow[..., 0]
    ys = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return cv2.remap(mask.astype(np.float32), xs, ys, cv2.INTER_LINEAR) >= 0.5


def forward_backward_iou(mask: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> float:
    """Forward-backward consistency: IoU of a mask with itself warped to another frame and back; 1 if it is empty.

    It is low where the flow is wrong, or where parts of the object are visible in one of the frames only.

    Args:
        mask: (H, W) bool, of one frame.
        forward, backward: (H, W, 2), flows with which :func:`warp_mask` warps a mask to the other frame and back.
    """
    return binary_iou(warp_mask(warp_mask(mask, forward), backward), mask)


def consensus(masks: Sequence[np.ndarray], own: np.ndarray | None = None) -> np.ndarray:
    """Pixelwise majority of (H, W) bool masks; ties are as in ``own``, or background without it.

    Example:
        >>> import numpy as np
        >>> consensus([np.array([[1, 1, 0]], bool), np.array([[1, 0, 0]], bool), np.array([[1, 1, 1]], bool)]).tolist()
        [[True, True, False]]
    """
    votes = 2 * np.sum(masks, axis=0, dtype=np.int32) - len(masks)
    return votes > 0 if own is None else (votes > 0) | ((votes == 0) & own)


def flicker(masks: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> float:
    """Flicker: mean of 1 - IoU of each mask with the previous one, warped along the flow.

    The flow is estimated from the images alone and is the same for coarse, refined and ground-truth masks. Because of
    its errors and of disocclusions even the ground truth flickers: compare values only within the same clip, with the
    ground truth's as the lower limit. Pairs of frames without the object are skipped.

    Args:
        masks: T masks, (H, W) bool.
        flows: T - 1 flows, (H, W, 2), from each frame (from the second on) to the previous one.

    Returns:
        in [0, 1], 0 for masks that follow the flow; NaN if no two consecutive frames show the object.

    Raises:
        ValueError: the number of flows is not T - 1.
    """
    if len(flows) != max(len(masks) - 1, 0):
        raise ValueError(f'{len(masks)} masks have {max(len(masks) - 1, 0)} flows between them, got {len(flows)}.')
    steps = [flicker_step(*pair) for pair in zip(masks[:-1], masks[1:], flows, strict=True)]
    steps = [step for step in steps if step is not None]
    return float(np.mean(steps)) if steps else float('nan')


def flicker_step(before: np.ndarray, mask: np.ndarray, flow: np.ndarray) -> float | None:
    """1 - IoU of a mask with the previous one, as averaged by :func:`flicker`; None if both are empty."""
    if not (before.any() or mask.any()):
        return None
    return 1 - binary_iou(warp_mask(before, flow), mask)


def must_restart(
    refined: np.ndarray, propagated: np.ndarray, coarse: np.ndarray, min_agreement: float, min_support: float
) -> bool:
    """Whether a refined mask contradicts the mask propagated from its neighbours, so that refinement should restart.

    This requires that the propagated mask is not empty and that the coarse mask of the frame supports it: after a cut,
    and where the object appears or disappears, neighbours tell nothing about a frame. A frame whose coarse mask was
    kept does not restart either, since there refinement had nothing better.

    Args:
        refined, propagated, coarse: (H, W) bool, of one frame.
        min_agreement: a refined mask contradicts if its IoU with the propagated mask is lower than this.
        min_support: minimum IoU of the propagated mask with the coarse mask.
    """
    if not propagated.any() or np.array_equal(refined, coarse) or binary_iou(refined, propagated) >= min_agreement:
        return False
    return binary_iou(propagated, coarse) >= min_support
