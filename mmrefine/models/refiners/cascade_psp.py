"""CascadePSP (Cheng et al., CVPR 2020), by the authors' package segmentation-refinement."""

from __future__ import annotations

import numpy as np
import torch

from mmrefine.core.checks import IMAGENET_MEAN, IMAGENET_STD
from mmrefine.models.refiners.crop_refiner import CropRefiner
from mmrefine.registry import MODELS
from mmrefine.utils.optional import require

_INSTALL = 'pip install "mmrefine[cascade_psp]"'


@MODELS.register_module()
class CascadePSP(CropRefiner):
    """CascadePSP: the authors' network with its global and local steps; needs the released weights as checkpoint.

    Args:
        side: ``L`` of the package, side of the network's input for the crop and its tiles in pixels, above 64.
        fast: only the global step.
        **kwargs: arguments of :class:`CropRefiner`.
    """

    def __init__(self, side: int = 900, fast: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if side <= 65:
            raise ValueError(f'side must be above 65 px, because tiles overlap by side / 2 + 32 px, got {side}.')
        self.side, self.fast = side, fast
        self.network = require('segmentation_refinement.models.psp.pspnet', _INSTALL, 'CascadePSP').RefinementModule()
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.register_load_state_dict_pre_hook(_rename_released)

    def _probabilities(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        steps = require('segmentation_refinement.eval_helper', _INSTALL, 'CascadePSP')
        run = steps.process_im_single_pass if self.fast else steps.process_high_res_im
        pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255
        signed = torch.from_numpy(mask.astype(np.float32)).to(self.device) * 2 - 1
        probabilities = run(self.network, ((pixels - self.mean) / self.std)[None], signed[None, None], self.side)
        return probabilities[0, 0].clamp(0, 1).cpu().numpy()


def _rename_released(module: torch.nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Rename the released keys, which are those of the network, with or without DataParallel's ``module.``."""
    for name in list(state_dict):
        own = name.removeprefix(prefix).removeprefix('module.')
        if not own.startswith('network.'):
            state_dict[f'{prefix}network.{own}'] = state_dict.pop(name)
