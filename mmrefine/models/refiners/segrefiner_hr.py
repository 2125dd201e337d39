"""SegRefiner on whole images: a global pass, then uncertain patches at native resolution (the HR model).

Legend: S side of the network's input in pixels, P patches, H and W the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

from mmrefine.core.expected_iou import boundary_sharpness, expected_iou, mask_stability
from mmrefine.models.refiners.base_refiner import Proposal, RefineInput
from mmrefine.models.refiners.segrefiner import SegRefiner
from mmrefine.registry import MODELS


def uncertain_patches(
    fine_probs: Tensor, size_hw: tuple[int, int], patch: int, fine_prob_thr: float, iou_thr: float
) -> np.ndarray:
    """Patches around uncertain pixels of the global pass, after non-maximum suppression.

    Args:
        fine_probs: (h, w) probabilities of the fine state after the global pass.
        size_hw: size of the image; along a side shorter than ``patch`` patches start at 0.
        patch: side of the patches in pixels.
        fine_prob_thr: pixels below this fraction of the maximum probability are uncertain.
        iou_thr: IoU threshold of the non-maximum suppression.

    Returns:
        (P, 4) int64 xyxy, sorted by increasing probability.
    """
    height, width = size_hw
    uncertain = fine_probs < fine_prob_thr * fine_probs.max().item()
    rows, columns = uncertain.nonzero(as_tuple=True)
    # The centre is the pixel of the image that nearest-neighbour sampling maps to the uncertain pixel.
    centres_xy = torch.stack([columns * width // fine_probs.shape[1], rows * height // fine_probs.shape[0]], dim=1)
    corner = (centres_xy - patch // 2).clamp(min=0)
    limit = torch.tensor([max(width - patch, 0), max(height - patch, 0)], device=corner.device)
    corner = torch.minimum(corner, limit)
    boxes = torch.cat([corner, corner + patch], dim=1)
    return boxes[nms(boxes.float(), 1 - fine_probs[uncertain], iou_thr)].cpu().numpy()


@MODELS.register_module()
class SegRefinerHR(SegRefiner):
    """SegRefiner for large objects and semantic regions at native resolution (section 3.5 and appendix).

    All ``steps`` except the last run on the whole image, resized to S; the last one runs on patches of S pixels at
    native resolution, for which images smaller than a patch are padded.

    Args:
        fine_prob_thr, iou_thr: see :func:`uncertain_patches`.
        global_interpolation: interpolation to S and back: 'nearest', as with the published weights, or 'bilinear'.
        others: see :class:`SegRefiner`; margins are not used.
    """

    def __init__(
        self,
        *args,
        min_area: float = 128,
        fine_prob_thr: float = 0.9,
        iou_thr: float = 0.3,
        global_interpolation: str = 'nearest',
        **kwargs,
    ):
        super().__init__(*args, min_area=min_area, **kwargs)
        if global_interpolation not in ('nearest', 'bilinear'):
            raise ValueError(f"global_interpolation must be 'nearest' or 'bilinear', got {global_interpolation!r}.")
        self.fine_prob_thr, self.iou_thr = fine_prob_thr, iou_thr
        self.global_interpolation = global_interpolation

    def _refine_batch(self, inputs: Sequence[RefineInput]) -> list[Proposal]:
        return [self._refine_image(item) for item in inputs]

    def _refine_image(self, item: RefineInput) -> Proposal:
        image = torch.from_numpy(item.image.copy()).permute(2, 0, 1)[None].float().to(self.device)
        seeds = torch.randint(2**62, (len(item.masks),), generator=item.generator).tolist()
        proposal = self._no_proposal(item.masks)
        for index, seed in enumerate(seeds):
            if np.count_nonzero(item.masks[index]) >= self.min_area:
                coarse = torch.from_numpy(item.masks[index].copy())[None, None].float().to(self.device)
                probabilities, first_probs = self._refine_mask(image, coarse, torch.Generator().manual_seed(seed))
                proposal.masks[index] = (probabilities >= 0.5).cpu().numpy()
                proposal.scores[index] = float(expected_iou(probabilities >= 0.5, first_probs))
                proposal.coarse_scores[index] = float(expected_iou(coarse[0, 0] >= 0.5, first_probs))
                proposal.evidence['sharpness'][index] = float(boundary_sharpness(probabilities[None]))
                proposal.evidence['stability'][index] = float(mask_stability(first_probs[None], probabilities[None]))
        return proposal

    def _refine_mask(self, image: Tensor, coarse: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Probabilities (H, W) of one mask, and those of the first timestep, from (1, 3, H, W) and (1, 1, H, W)."""
        size, size_hw = self.input_size, coarse.shape[-2:]
        small_image = self._resize(image, (size, size))
        small_mask = (self._resize(coarse, (size, size)) >= 0.5).float()
        small, fine_probs, first = self._reverse(small_image, small_mask, self.steps[:-1], [generator])
        # Pad to at least the size of a patch; the padding is removed again.
        padding = (0, max(size - size_hw[1], 0), 0, max(size - size_hw[0], 0))
        probabilities = F.pad(self._resize(small, size_hw), padding)[0, 0]
        image = F.pad(image, padding, mode='replicate')
        known = (probabilities >= 0.5).float()
        boxes = uncertain_patches(fine_probs[0, 0], size_hw, size, self.fine_prob_thr, self.iou_thr)
        mixed = [box for box in boxes if 0 < _cut(known, box).mean() < 1]
        total, count = torch.zeros_like(probabilities), torch.zeros_like(probabilities)
        batch = self.max_batch if self.max_batch > 0 else max(len(mixed), 1)
        for start in range(0, len(mixed), batch):
            chunk = mixed[start : start + batch]
            images = torch.stack([_cut(image[0], box) for box in chunk])
            masks = torch.stack([_cut(known, box)[None] for box in chunk])
            local = self._reverse(images, masks, self.steps[-1:], []).result
            for box, patch in zip(chunk, local[:, 0], strict=True):
                _cut(total, box).add_(patch)
                _cut(count, box).add_(1)
        probabilities = torch.where(count > 0, total / count.clamp(min=1), probabilities)
        return probabilities[: size_hw[0], : size_hw[1]], self._resize(first, size_hw)[0, 0]

    def _resize(self, tensor: Tensor, size_hw: Sequence[int]) -> Tensor:
        align = None if self.global_interpolation == 'nearest' else False
        return F.interpolate(tensor, tuple(size_hw), mode=self.global_interpolation, align_corners=align)


def _cut(tensor: Tensor, box_xyxy: np.ndarray) -> Tensor:
    """View of (..., H, W) inside a box."""
    x1, y1, x2, y2 = box_xyxy
    return tensor[..., y1:y2, x1:x2]
