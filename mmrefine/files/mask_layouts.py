"""File layouts of published datasets with images, ground-truth and coarse masks.

A layout is three patterns: what the ground-truth masks are called, and where image and coarse mask are for each of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrefine.core.checks import MASK_THRESHOLD
from mmrefine.core.regions import VOID
from mmrefine.files.mask_files import read_mask_file


@dataclass(frozen=True)
class MaskLayout:
    """Patterns of one dataset.

    Attributes:
        gt: regular expression for the ground-truth masks' paths below the root, with named groups.
        image, coarse: paths below the root and below the folder of coarse masks, with those groups in braces.
        example: a ground-truth mask, for error messages.
        labels: files are label maps, of which every label but background and void is one mask; otherwise binary.
        background: the label of no object; None if there is none.
    """

    gt: str
    image: str
    coarse: str
    example: str
    labels: bool = False
    background: int | None = 0

    def find(self, root: Path, coarse_root: Path) -> Iterator[MaskTriple]:
        """The files of all ground-truth masks under the root, in the order of their names, there or not."""
        for path in sorted(root.rglob('*.png')):
            match = re.fullmatch(self.gt, path.relative_to(root).as_posix())
            if match:
                groups = match.groupdict()
                yield MaskTriple(root / self.image.format(**groups), path, coarse_root / self.coarse.format(**groups))

    def read(self, path: Path) -> dict[int, np.ndarray]:
        """The masks of a file by label, (H, W) bool each; 1 is the label of a binary mask, grey levels are cut at 0.5.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        file = read_mask_file(path)
        if not self.labels:
            return {1: file.probabilities() >= MASK_THRESHOLD}
        values = file.labels()
        labels = [label for label in np.unique(values).tolist() if label not in (self.background, VOID)]
        return {label: values == label for label in labels}


@dataclass(frozen=True)
class MaskTriple:
    """Files that belong together; those of image and coarse mask need not be there."""

    image: Path
    gt: Path
    coarse: Path


_DAVIS585 = r'(?P<clip>[^/]+)/(?!init_)(?P<name>(?:[^/]*_)?(?P<frame>[^/_]+))\.png'
LAYOUTS: dict[str, MaskLayout] = {
    # CascadePSP: images, masks and coarse masks in one folder, or the coarse masks of each model in one of their own.
    'big': MaskLayout(r'(?P<name>.+)_gt\.png', '{name}_im.jpg', '{name}_seg.png', '2007_000256_gt.png'),
    'dis5k': MaskLayout(r'gt/(?P<name>.+)\.png', 'im/{name}.jpg', '{name}.png', 'gt/1#Accessories#1#Bag.png'),
    # Coarse masks by a video network (stm) and by superpixels (sp), beside frames and ground-truth masks.
    'davis585-stm': MaskLayout(_DAVIS585, '{clip}/{frame}.jpg', '{clip}/init_stm_{name}.png', 'bear/object1_00009.png'),
    'davis585-sp': MaskLayout(_DAVIS585, '{clip}/{frame}.jpg', '{clip}/init_sp_{name}.png', 'bear/object1_00009.png'),
    'ecssd': MaskLayout(
        r'ground_truth_mask/(?P<name>.+)\.png', 'images/{name}.jpg', '{name}.png', 'ground_truth_mask/0001.png'
    ),
    'msra-b': MaskLayout(r'(?P<name>.+)\.png', '{name}.jpg', '{name}.png', '0_0_272.png'),
    # ThinObject5K, COIFT and HRSOD as HQ-SAM and CascadePSP hand them on.
    'images-masks': MaskLayout(r'masks/(?P<name>.+)\.png', 'images/{name}.jpg', '{name}.png', 'masks/0001.png'),
    'davis2016': MaskLayout(
        r'Annotations/480p/(?P<name>.+)\.png',
        'JPEGImages/480p/{name}.jpg',
        '{name}.png',
        'Annotations/480p/bear/00000.png',
    ),
    'davis2017': MaskLayout(
        r'Annotations/480p/(?P<name>.+)\.png',
        'JPEGImages/480p/{name}.jpg',
        '{name}.png',
        'Annotations/480p/bear/00000.png',
        labels=True,
    ),
    'voc': MaskLayout(
        r'SegmentationClass(?:Aug)?/(?P<name>.+)\.png',
        'JPEGImages/{name}.jpg',
        '{name}.png',
        'SegmentationClass/2007_000032.png',
        labels=True,
    ),
    'cityscapes': MaskLayout(
        r'gtFine/(?P<name>.+)_gtFine_labelTrainIds\.png',
        'leftImg8bit/{name}_leftImg8bit.png',
        '{name}_leftImg8bit.png',
        'gtFine/val/munster/munster_000000_000019_gtFine_labelTrainIds.png',
        labels=True,
        background=None,
    ),
}
