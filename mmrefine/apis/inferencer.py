"""The function :func:`refine` for one image and the class :class:`RefineInferencer` for many."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from mmrefine.apis.inputs import as_image, as_masks
from mmrefine.models.model_zoo import build_refiner, pick_device
from mmrefine.models.refiners import BaseRefiner, RefineInput
from mmrefine.structures import RefineResult
from mmrefine.utils import counted

ImageLike = np.ndarray | str | os.PathLike
DEFAULT_MODEL = 'segrefiner_tiny'


def refine(
    image: ImageLike,
    masks: np.ndarray,
    model: str | os.PathLike | dict | BaseRefiner = DEFAULT_MODEL,
    device: str | torch.device | None = None,
    gate: bool | Mapping = True,
) -> RefineResult:
    """Refine the masks of one image.

    Args:
        image: (H, W, 3) uint8 RGB, or the path of an image file.
        masks: (N, H, W) or (H, W); bool, binary integers (0/1 or 0/255), or float probabilities in [0, 1].
        model: see :class:`RefineInferencer`. A model given by name is kept for the next call.
        device: such as ``'cpu'`` or ``'cuda:1'``; None: a GPU if there is one.
        gate: True: the model's gate, which keeps coarse masks where it expects no improvement; False: every proposal
            that is not empty is accepted; a dict such as ``dict(min_gain=0.02)`` changes settings of
            :class:`~mmrefine.core.gate.QualityGate`.

    Returns:
        the result with ``masks`` (N, H, W) bool in the order of the inputs, scores, the gate's decisions and reasons,
        and the proposals.

    Raises:
        TypeError, ValueError, FileNotFoundError: an input is invalid.

    Example:
        >>> import numpy as np
        >>> import mmrefine
        >>> image = np.full((96, 128, 3), 30, np.uint8)
        >>> image[24:72, 32:96] = 220
        >>> coarse = np.zeros((96, 128), bool)
        >>> coarse[28:76, 28:92] = True
        >>> result = mmrefine.refine(image, coarse, device='cpu')
        >>> result.masks.shape, result.masks.dtype, len(result.scores)
        ((1, 96, 128), dtype('bool'), 1)
    """
    return RefineInferencer(get_refiner(model, device, gate))(image, masks)


class RefineInferencer:
    """Inferencer: a refiner with its weights, for one or more images.

    Args:
        model: name of a bundled model, a config (file, :class:`mmengine.config.Config` or dict), or a refiner, which
            is not copied and only moved to ``device``.
        checkpoint: weights for a config, or other weights for a bundled model, see
            :func:`~mmrefine.models.model_zoo.build_refiner`.
        device: such as ``'cpu'`` or ``'cuda:1'``; None: the device of a given refiner, else a GPU if there is one.
        gate: see :func:`refine`.
        seed: random seed, with which every image starts.
        batch_masks: maximum number of masks that are refined together, unless one image has more. Except for rounding,
            results do not depend on it.

    Raises:
        TypeError, ValueError, FileNotFoundError: an argument is invalid.

    Example:
        >>> import numpy as np
        >>> inferencer = RefineInferencer('segrefiner_tiny', device='cpu', gate=False)
        >>> images = [np.full((64, 64, 3), 200, np.uint8), np.full((48, 80, 3), 200, np.uint8)]
        >>> masks = [np.zeros((0, 64, 64), bool), np.zeros((2, 48, 80), bool)]
        >>> [result.masks.shape for result in inferencer(images, masks)]
        [(0, 64, 64), (2, 48, 80)]
    """

    def __init__(
        self,
        model: str | os.PathLike | dict | BaseRefiner = DEFAULT_MODEL,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        gate: bool | Mapping = True,
        seed: int = 0,
        batch_masks: int = 8,
    ):
        if not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ValueError(f'seed must be an integer from 0 to 2**63 - 1, got {seed}.')
        if batch_masks < 1:
            raise ValueError(f'batch_masks must be at least 1, got {batch_masks}.')
        if not isinstance(model, BaseRefiner):
            model = build_refiner(model, checkpoint, device)
        elif checkpoint is not None:
            raise ValueError('checkpoint needs a config or a model name, got a refiner, which already has weights.')
        elif device is not None:
            model = model.to(pick_device(device))
        self.refiner = model.with_gate(gate)
        self.seed = seed
        self.batch_masks = batch_masks

    def __call__(
        self, images: ImageLike | Sequence[ImageLike], masks: np.ndarray | Sequence[np.ndarray]
    ) -> RefineResult | list[RefineResult]:
        """Refine the masks of one image, or of several images given as lists.

        Args:
            images: (H, W, 3) uint8 RGB or a path; or a list of these.
            masks: as for :func:`refine`; or a list with one element per image.

        Raises:
            TypeError, ValueError, FileNotFoundError: an input is invalid, or the lists differ in length.
        """
        if not isinstance(images, (list, tuple)):
            return next(self.stream([self.make_input(images, masks)]))
        if isinstance(masks, np.ndarray) or len(images) != len(masks):
            got = type(masks).__name__ if isinstance(masks, np.ndarray) else len(masks)
            raise ValueError(
                f'several images need a list with the masks of each: {counted(len(images), "image")}, masks: {got}.'
            )
        return list(self.stream(self.make_input(*pair) for pair in zip(images, masks, strict=True)))

    def stream(self, inputs: Iterable[RefineInput]) -> Iterator[RefineResult]:
        """Refine a stream of images in order, with at most one batch of them in memory."""
        group: list[RefineInput] = []
        num_masks = 0
        for item in inputs:
            count = len(item.masks) if item.masks.ndim == 3 else 1
            if group and num_masks + count > self.batch_masks:
                yield from self.refiner.refine_batch(group)
                group, num_masks = [], 0
            group.append(item)
            num_masks += count
        if group:
            yield from self.refiner.refine_batch(group)

    def make_input(self, image: ImageLike, masks: np.ndarray) -> RefineInput:
        """Input of :meth:`stream` for one image, with this inferencer's seed."""
        return RefineInput(as_image(image), as_masks(masks), generator=torch.Generator().manual_seed(self.seed))


def get_refiner(
    model: str | os.PathLike | dict | BaseRefiner, device: str | torch.device | None, gate: bool | Mapping
) -> BaseRefiner:
    """Refiner of :func:`refine`; refiners given by name are cached."""
    refiner = _named_refiner(model, device) if isinstance(model, str) else model
    return RefineInferencer(refiner, device=None if refiner is not model else device, gate=gate).refiner


@lru_cache(maxsize=2)
def _named_refiner(model: str, device: str | torch.device | None) -> BaseRefiner:
    return build_refiner(model, device=device)
