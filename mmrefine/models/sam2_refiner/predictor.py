"""Image predictor of SAM2Refiner: encodes an image once, then predicts masks for any number of prompts.

Legend: K objects, P points each, H and W size of the image in pixels, m size of mask prompts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor
from torch.nn import functional as F

from mmrefine.core.checks import check_image
from mmrefine.models.model_zoo import pick_device, read_weights
from mmrefine.models.sam2_refiner.base import SAM2Features
from mmrefine.models.sam2_refiner.sam2_refiner import ObjectLogits, SAM2Refiner
from mmrefine.registry import MODELS
from mmrefine.structures import ObjectPrompt
from mmrefine.utils import find_config

_MAX_LOGIT = 32.0  # limit of returned logits, which may be used as mask prompts; as in the package
_OBJECT_CHUNK = 4  # number of objects refined together, to limit memory
_PRECISIONS = ('float32', 'bfloat16', 'float16')


@dataclass(frozen=True)
class PredictedMasks:
    """Predictions for K prompts.

    Attributes:
        masks: (K, H, W) bool; float32 logits with ``return_logits``.
        iou: (K,) float32 in [0, 1], IoU of its own mask as predicted by SAM 2.
        low_res_logits: (K, 1, m, m) float32, the mask of SAM 2, which may be the next mask prompt.
    """

    masks: np.ndarray
    iou: np.ndarray
    low_res_logits: np.ndarray


class SAM2RefinerPredictor:
    """Image predictor with the interface of SAM 2's.

    Args:
        model: the model; it is switched to evaluation mode.
        precision: 'float32'; or 'bfloat16' or 'float16' for autocast, the latter only on GPUs.

    Raises:
        ValueError: the precision is unknown, or 'float16' on a CPU.
    """

    def __init__(self, model: SAM2Refiner, precision: str = 'float32'):
        if precision not in _PRECISIONS:
            raise ValueError(f'precision must be one of {_PRECISIONS}, got {precision!r}.')
        self.model = model.eval()
        self.device = next(model.parameters()).device
        if precision == 'float16' and self.device.type == 'cpu':
            raise ValueError("precision 'float16' needs a GPU; use 'bfloat16' or 'float32' on a CPU.")
        self.precision = getattr(torch, precision)
        self.reset_image()

    @classmethod
    def from_config(
        cls, config: str | os.PathLike, checkpoint: str | os.PathLike, device: str | None = None, **kwargs: Any
    ) -> SAM2RefinerPredictor:
        """Build the predictor of a trained model.

        Args:
            config: path of a config, or its name under ``configs/``, whose ``model`` is a :class:`SAM2Refiner`.
            checkpoint: a checkpoint of its training, or exported weights.
            device: default: a GPU if there is one, else the CPU.
            kwargs: keyword arguments of the class.

        Raises:
            FileNotFoundError, ValueError: a file does not exist, or belongs to another model.
        """
        model = MODELS.build(Config.fromfile(find_config(config)).model)
        model.load_state_dict(read_weights(checkpoint))
        return cls(model.to(pick_device(device)), **kwargs)

    def reset_image(self) -> None:
        """Discard the image and its features."""
        self._plain: SAM2Features | None = None
        self._features: SAM2Features | None = None
        self._size_hw: tuple[int, int] | None = None

    @torch.no_grad()
    def set_image(self, image: np.ndarray) -> None:
        """Encode an image, (H, W, 3) uint8 RGB, and its quadrants.

        Raises:
            TypeError, ValueError: it is not such an array.
        """
        pixels = to_input(self.model, check_image(image))
        self.reset_image()
        with self._autocast():
            plain = self.model.encode_frozen(pixels)
            self._features = self.model.localize(plain)
        self._plain, self._size_hw = plain, image.shape[:2]

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = False,
        return_logits: bool = False,
        refine: bool = True,
    ) -> PredictedMasks:
        """Masks of one object, or of K objects with equal numbers of points if the arguments have one more axis.

        Args:
            point_coords: (P, 2) or (K, P, 2), (x, y) pixels of the image.
            point_labels: (P,) or (K, P), 1 for the object, 0 for the background.
            box: (4,) or (K, 4), (x1, y1, x2, y2) pixels of the image.
            mask_input: (1, m, m) or (K, 1, m, m) logits.
            multimask_output: SAM 2 selects the best of three masks, useful for a single click.
            return_logits: return logits instead of masks.
            refine: False returns the masks of SAM 2.

        Raises:
            RuntimeError: no image was set.
            ValueError: there is no prompt, or :meth:`predict_objects` refuses it.
        """
        given = {
            'points': (point_coords, 2),
            'labels': (point_labels, 1),
            'box': (box, 1),
            'mask_input': (mask_input, 3),
        }
        columns = {
            name: list(np.asarray(value)[None] if np.ndim(value) == single else np.asarray(value))
            for name, (value, single) in given.items()
            if value is not None
        }
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f'all prompts must have the same number of objects, got {counts}.')
        rows = zip(*columns.values(), strict=True) if columns else [()]
        prompts = [ObjectPrompt.of(**dict(zip(columns, row, strict=True))) for row in rows]
        return self.predict_objects(prompts, multimask_output, return_logits, refine)

    @torch.no_grad()
    def predict_objects(
        self,
        prompts: Sequence[ObjectPrompt],
        multimask_output: bool = False,
        return_logits: bool = False,
        refine: bool = True,
    ) -> PredictedMasks:
        """Masks of K objects with prompts of any type, in pixels of the image; see :meth:`predict`.

        Raises:
            RuntimeError: no image was set.
            ValueError: points or boxes lie outside the image, or a mask prompt has the wrong size.
        """
        if self._features is None:
            raise RuntimeError('no image is set; call set_image first.')
        for prompt in prompts:
            _check_inside(prompt, self._size_hw)
        height, width = self._size_hw
        side = self.model.input_size
        moved = [prompt.scaled(side / width, side / height) for prompt in prompts]
        features = self._features if refine else self._plain
        parts = []
        for start in range(0, len(moved), _OBJECT_CHUNK):
            chunk = moved[start : start + _OBJECT_CHUNK]
            with self._autocast():
                predictions = self.model.decode(features, chunk, [0] * len(chunk), multimask_output, refine)
            parts.append(self._to_image(predictions, return_logits))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        if not columns:
            m = side // 4
            columns = [np.zeros((0, height, width), bool), np.zeros(0, np.float32), np.zeros((0, 1, m, m), np.float32)]
        return PredictedMasks(*columns)

    def _to_image(self, predictions: ObjectLogits, return_logits: bool) -> tuple[np.ndarray, ...]:
        logits = F.interpolate(predictions.logits.float(), self._size_hw, mode='bilinear', align_corners=False)[:, 0]
        masks = logits if return_logits else logits > 0
        others = predictions.iou.float().clamp(0, 1), predictions.coarse.float().clamp(-_MAX_LOGIT, _MAX_LOGIT)
        return tuple(tensor.cpu().numpy() for tensor in (masks, *others))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def to_input(model: SAM2Refiner, image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 RGB as the model's input (1, 3, S, S), resized without its aspect ratio, as in SAM 2."""
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(device).float()
    pixels = F.interpolate(pixels, (model.input_size,) * 2, mode='bilinear', antialias=True)
    return model.data_preprocessor.normalize(pixels)


def _check_inside(prompt: ObjectPrompt, size_hw: tuple[int, int]) -> None:
    limits = prompt.point_coords.new_tensor(size_hw[::-1])
    outside = ((prompt.point_coords < 0) | (prompt.point_coords > limits)).any(dim=1) & (prompt.point_labels != -1)
    if outside.any():
        raise ValueError(
            f'point or corner {prompt.point_coords[outside][0].tolist()} (x, y) lies outside of the image of '
            f'{size_hw[0]}x{size_hw[1]} (HxW); prompts are in pixels of the image that was set.'
        )
    first, last = (prompt.point_coords[prompt.point_labels == corner] for corner in (2, 3))
    if first.shape != last.shape or (first > last).any():
        raise ValueError(f'box must be (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, got {[*first, *last]}.')
