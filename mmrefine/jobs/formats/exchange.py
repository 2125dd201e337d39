"""Base classes of the formats of labelling tools, whose files contain shapes. Legend: H, W in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmrefine.core.crops import mask_boxes
from mmrefine.core.iou import binary_iou
from mmrefine.core.polygons import rasterize
from mmrefine.files.image_table import ImageTable
from mmrefine.files.names import find_files
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files
from mmrefine.jobs.formats.base import CoarseMasks, FormatOptions, GroundTruth, GroundTruthMasks, MaskFormat, MaskTask

_SHAPE_ERRORS = (AttributeError, LookupError, OverflowError, TypeError)  # of what a stranger's file may hold


@dataclass(frozen=True)
class NewMask:
    """A mask for a new file: (H, W) bool, its category and, optionally, a score."""

    mask: np.ndarray
    category: str = ''
    score: float | None = None


@dataclass(frozen=True)
class NewImage:
    """The masks of an image for a new file.

    Attributes:
        name: name of the image file, relative to the folder of images.
        size_hw: (H, W) of the image.
        masks: the masks, in order.
        number: index among the images.
        stem: relative path, without suffix, of files for this image.
        path: path of the image; None if unknown.
    """

    name: str
    size_hw: tuple[int, int]
    masks: list[NewMask] = field(default_factory=list)
    number: int = 0
    stem: str = ''
    path: Path | None = None


class LazyMasks(CoarseMasks):
    """Masks that are decoded from shapes one by one.

    Args:
        size_hw, names, categories, left_alone, scores: see :class:`~mmrefine.jobs.formats.base.CoarseMasks`.
        shapes: N objects in the words of the format.
        decode: the (H, W) bool mask of one; ``ValueError`` where it has no mask and says why.
        expected: what a shape must be like, for those that are not.
        content: of the file, whole, for whoever writes it again.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        names: Sequence[Any],
        categories: Sequence[str],
        left_alone: dict[int, str],
        shapes: Sequence[Any],
        decode: Callable[[Any], np.ndarray],
        expected: str = '',
        content: Any = None,
        scores: Sequence[Any] | None = None,
    ):
        super().__init__(size_hw, names, categories, left_alone, scores)
        self.shapes, self.content, self._decode, self._expected = list(shapes), content, decode, expected

    def mask(self, index: int) -> np.ndarray:
        if index in self.left_alone:
            return np.zeros(self.size_hw, bool)
        try:
            return self._decode(self.shapes[index])
        except _SHAPE_ERRORS as error:
            raise ValueError(f'the shape cannot be read: expected {self._expected}.') from error


class FilePerImage(MaskFormat):
    """Base class of formats with one file per image, which has the image's name; refined files are in ``masks/``.

    Attributes:
        suffixes: suffixes of its files, in lower case.
        files: files by name.
    """

    suffixes: tuple[str, ...] = ()

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        if options.semantic or options.ignore_band or options.cam_threshold is not None:
            raise ValueError(f'--semantic, --cam and --ignore-band are for label maps and activation maps, not {path}.')
        self.files = self.list_files(path)
        if not self.files:
            raise ValueError(f'{path} contains no {self.name} files: expected {" or ".join(self.suffixes)}.')
        if images.is_single and len(self.files) == 1:
            matched = dict(zip(self.files, images.names, strict=True))
        else:
            matched = images.match(self.files, suffix_counts=False)
        self.tasks = [
            MaskTask(index, name, image or name, image and images.path(image), (name,))
            for index, (name, image) in enumerate(matched.items())
        ]

    @classmethod
    def list_files(cls, path: Path) -> dict[str, Path]:
        """Files by name."""
        return find_files(path, cls.suffixes)

    @classmethod
    def first_file(cls, path: Path) -> Path | None:
        """The first file, to detect the format; None if there is none."""
        return next(iter(cls.list_files(path).values()), None)

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        return fingerprint_files([self.files[task.key]])

    def outputs(self, task: MaskTask) -> list[str]:
        return [f'masks/{task.key}']

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return SameFormatGroundTruth(path, self)


class SameFormatGroundTruth(GroundTruth):
    """Ground truth in a file or folder of the same format: the mask of the same category with the highest IoU.

    Ids of labelling tools do not identify objects in another file, so masks are paired as
    :class:`~mmrefine.jobs.formats.coco.CocoGroundTruth` pairs results, with an IoU of at least 0.25.
    """

    def __init__(self, path: Path, source: MaskFormat):
        self.other, self.paths = type(source)(path, source.images, source.options), [path]
        self._tasks = {task.image: task for task in self.other.tasks}
        if not any(task.image in self._tasks for task in source.tasks):
            raise ValueError(f'no file under {path} has the name of a mask under {source.path}; names must match.')

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        own = self._tasks.get(task.image)
        return fingerprint_files([]) if own is None else self.other.fingerprint(own)

    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        own = self._tasks.get(task.image)
        gt = None if own is None else self.other.read(own, coarse.size_hw)

        def find(position: int, mask: np.ndarray) -> np.ndarray | None:
            best, best_iou = None, 0.25
            for index in range(0 if gt is None else len(gt)):
                if gt.categories[index] != coarse.categories[position] or index in gt.left_alone:
                    continue
                other = gt.mask(index)
                iou = binary_iou(mask, other)
                if iou >= best_iou:
                    best, best_iou = other, iou
            return best

        return GroundTruthMasks(find)


def polygon_mask(points_xy: Sequence, size_hw: tuple[int, int]) -> np.ndarray:
    """Rasterize one ring, given as pairs, to an (H, W) bool mask.

    Raises:
        ValueError: fewer than three points, or anything but finite numbers.
    """
    points = point_pairs(points_xy)
    if len(points) < 3:
        raise ValueError(f'a polygon must have at least three points, got {len(points)}.')
    return rasterize([points.ravel().tolist()], size_hw)


def point_pairs(points_xy: Any) -> np.ndarray:
    """Points as (P, 2) float64.

    Raises:
        ValueError: it is something else.
    """
    try:
        points = np.array([[float(number) for number in point] for point in points_xy], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'points must be pairs of numbers [x, y], got {str(points_xy)[:60]}.') from error
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise ValueError(f'points must be pairs of numbers [x, y], got {str(points_xy)[:60]}.')
    return points.reshape(-1, 2)


def paste(crop: np.ndarray, left: int, top: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Paste a crop of a mask into an image; parts outside the image are cut off."""
    mask = np.zeros(size_hw, bool)
    height, width = crop.shape
    y1, x1, y2, x2 = max(top, 0), max(left, 0), min(top + height, size_hw[0]), min(left + width, size_hw[1])
    if y1 < y2 and x1 < x2:
        mask[y1:y2, x1:x2] = crop[y1 - top : y2 - top, x1 - left : x2 - left]
    return mask


def box_crop(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Crop a mask to its box; also returns left and top of the box."""
    left, top, right, bottom = mask_boxes(mask[None])[0].tolist()
    return mask[top : max(bottom, 1), left : max(right, 1)], left, top
