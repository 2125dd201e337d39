"""Augmentation of object crops. All randomness comes from ``results['rng']``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmrefine.files.images import read_image
from mmrefine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomMaskFlip(BaseTransform):
    """Flip image and masks horizontally.

    Args:
        prob: probability of a flip.
    """

    def __init__(self, prob: float = 0.5):
        self.prob = prob

    def transform(self, results: dict) -> dict:
        if results['rng'].random() < self.prob:
            results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
            for key in ('gt_masks', 'coarse_masks'):
                if key in results:
                    results[key] = np.ascontiguousarray(results[key][:, :, ::-1])
        return results


@TRANSFORMS.register_module()
class PhotometricJitter(BaseTransform):
    """Photometric augmentation: gain, gamma and offset per channel, saturation, blur, noise and JPEG artefacts.

    Args:
        strength: strength of the changes of colours; 0 for none, 1 for strong ones.
        prob: probability of each of blur, noise and JPEG artefacts.
    """

    def __init__(self, strength: float = 0.5, prob: float = 0.15):
        self.strength, self.prob = strength, prob

    def transform(self, results: dict) -> dict:
        rng, strength = results['rng'], self.strength
        gamma = np.exp(rng.normal(0, 0.3 * strength) + rng.normal(0, 0.1 * strength, 3))
        gain = 1 + rng.normal(0, 0.2 * strength) + rng.normal(0, 0.08 * strength, 3)
        levels = np.linspace(0, 1, 256)[:, None] ** gamma * gain + rng.normal(0, 0.06 * strength)
        table = np.clip(levels * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(results['img'], table[None])
        saturation = 0.0 if rng.random() < 0.1 * strength else 1 + rng.normal(0, 0.4 * strength)
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)
        if rng.random() < self.prob:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
        if rng.random() < self.prob:
            noise = rng.standard_normal(image.shape, np.float32) * rng.uniform(2, 12)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        if rng.random() < self.prob:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
            image = cv2.imdecode(cv2.imencode('.jpg', image, quality)[1], cv2.IMREAD_COLOR)
        results['img'] = image
        return results


@TRANSFORMS.register_module()
class PasteOnBackground(BaseTransform):
    """Copy-paste augmentation: the object on another image.

    Args:
        background_dir: folder of images, searched recursively for JPEG and PNG files.
        prob: probability of a new background.

    Raises:
        FileNotFoundError: the folder has no images.
    """

    def __init__(self, background_dir: str, prob: float = 0.25):
        self.paths = sorted(str(path) for path in Path(background_dir).rglob('*') if path.suffix in ('.jpg', '.png'))
        if not self.paths:
            raise FileNotFoundError(f'background_dir must contain .jpg or .png images, but {background_dir} has none.')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        rng = results['rng']
        if rng.random() >= self.prob:
            return results
        background = read_image(self.paths[rng.integers(len(self.paths))])
        height, width = results['img'].shape[:2]
        scale = max(height / background.shape[0], width / background.shape[1]) * rng.uniform(1.0, 1.8)
        size_wh = tuple(int(np.ceil(side * scale)) for side in background.shape[1::-1])
        background = cv2.resize(background, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        y = rng.integers(background.shape[0] - height + 1)
        x = rng.integers(background.shape[1] - width + 1)
        background = background[y : y + height, x : x + width]
        # A thin rim of the old background would reveal the contour: erode the mask by a pixel, then feather it.
        mask = cv2.erode(results['gt_masks'][0].astype(np.uint8), np.ones((3, 3), np.uint8))
        if not mask.any():
            return results
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.4, 1.0))[..., None]
        results['img'] = np.rint(alpha * results['img'] + (1 - alpha) * background).astype(np.uint8)
        results['gt_masks'] = mask.astype(bool)[None]
        return results
