"""Directory layouts of published datasets: patterns that find image and coarse mask of each ground-truth mask."""

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
    """Directory layout of a dataset.

    Attributes:
        gt: regular expression of the paths of ground-truth masks relative to the root, with named groups.
        image, coarse: format strings with these groups: path of the image relative to the root, and of the coarse mask
            relative to the folder of coarse masks.
        example: path of a ground-truth mask, for error messages.
        labels: whether files are label maps, in which every label except background and void is a mask.
        background: label of the background; None if there is none.
    """

    gt: str
    image: str
    coarse: str
    example: str
    labels: bool = False
    background: int | None = 0

    def find(self, root: Path, coarse_root: Path) -> Iterator[MaskTriple]:
        """The files of all ground-truth masks under the root, sorted by path; image and coarse mask may be missing."""
        for path in sorted(root.rglob('*.png')):
            match = re.fullmatch(self.gt, path.relative_to(root).as_posix())
            if match:
                groups = match.groupdict()
                yield MaskTriple(root / self.image.format(**groups), path, coarse_root / self.coarse.format(**groups))

    def read(self, path: Path) -> dict[int, np.ndarray]:
        """The masks of a file by label, (H, W) bool each; a binary mask has label 1, grey levels are cut at 0.5.

        Raises:
            OSError, ValueError: the file cannot be read.
        """
        file = read_mask_file(path)
        if not self.labels:
            return {1: file.probabilities() >= MASK_THRESHOLD}
        values = file.labels()
        labels = [label for label in np.unique(values).tolist() if label not in (self.background, VOID)]
        return {label: values == label for label in labels}


@dataclass(frozen=True)
class MaskTriple:
    """Paths of a ground-truth mask, its image and its coarse mask; the latter two may not exist."""

    image: Path
    gt: Path
    coarse: Path


_DAVIS585 = r'(?P<clip>[^/]+)/(?!init_)(?P<name>(?:[^/]*_)?(?P<frame>[^/_]+))\.png'
LAYOUTS: dict[str, MaskLayout] = {
    # CascadePSP: images and masks in one folder, coarse masks in the same folder or one folder per model.
    'big': MaskLayout(r'(?P<name>.+)_gt\.png', '{name}_im.jpg', '{name}_seg.png', '2007_000256_gt.png'),
    'dis5k': MaskLayout(r'gt/(?P<name>.+)\.png', 'im/{name}.jpg', '{name}.png', 'gt/1#Accessories#1#Bag.png'),
    # Coarse masks of a video network (stm) and of superpixels (sp), in the folder of frames and ground-truth masks.
    'davis585-stm': MaskLayout(_DAVIS585, '{clip}/{frame}.jpg', '{clip}/init_stm_{name}.png', 'bear/object1_00009.png'),
    'davis585-sp': MaskLayout(_DAVIS585, '{clip}/{frame}.jpg', '{clip}/init_sp_{name}.png', 'bear/object1_00009.png'),
    'ecssd': MaskLayout(
        r'ground_truth_mask/(?P<name>.+)\.png', 'images/{name}.jpg', '{name}.png', 'ground_truth_mask/0001.png'
    ),
    'msra-b': MaskLayout(r'(?P<name>.+)\.png', '{name}.jpg', '{name}.png', '0_0_272.png'),
    # ThinObject5K, COIFT and HRSOD as distributed with HQ-SAM and CascadePSP.
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
