"""Images with coarse masks and ground truth from any format, for comparing refiners and calibrating gates.

Legend: N masks of an image, H and W its size in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmrefine.core.error_model import MaskErrorModel
from mmrefine.files.images import read_image
from mmrefine.files.names import printable
from mmrefine.jobs.formats import open_ground_truth, open_masks
from mmrefine.registry import DATASETS


@dataclass(frozen=True)
class LabelledImage:
    """An image with coarse masks and ground truth.

    Attributes:
        path: path of the image.
        image: (H, W, 3) uint8 RGB.
        coarse: (N, H, W) bool.
        gt: (N, H, W) bool; None without ground truth.
        kind: kind of coarse masks, such as 'real' or 'simulated'.
    """

    path: str
    image: np.ndarray
    coarse: np.ndarray
    gt: np.ndarray | None = None
    kind: str = 'given'


def open_labelled(
    data: Sequence[str | os.PathLike], limit: int | None = None, seed: int = 0, format: str | None = None
) -> tuple[int, Iterator[LabelledImage]]:
    """Read a sample of masks with their images, one image at a time.

    Args:
        data: paths of images, coarse masks and, optionally, ground truth as for a job, see
            :func:`~mmrefine.jobs.formats.open_masks`; or only a config, whose test dataset is used.
        limit: approximate number of masks; images are sampled at random until it is reached. None: all.
        seed: seed of the sample.
        format: format of the masks; None: detected.

    Returns:
        the number of images from which the sample is drawn, and an iterator over images with usable masks.

    Raises:
        FileNotFoundError, ValueError: the data are invalid; raised by the iterator if there is no usable mask.
    """
    if limit is not None and limit < 1:
        raise ValueError(f'the number of masks to try must be at least 1, got {limit}.')
    count, read = _open_config(data[0]) if len(data) == 1 else _open_files(*data, format=format)
    order = np.random.default_rng(seed).permutation(count)

    def images() -> Iterator[LabelledImage]:
        num_masks = 0
        for index in order:
            if limit is not None and num_masks >= limit:
                break
            try:
                item = read(int(index))
            except (OSError, ValueError) as error:
                print_log(printable(f'skipped: {error}'), logger='current')
                continue
            if len(item.coarse):
                num_masks += len(item.coarse)
                yield item
        if not num_masks:
            raise ValueError(f'none of the {count} images in {", ".join(map(str, data))} has a usable mask.')

    return count, images()


def labelled_images(
    data: Sequence[str | os.PathLike], limit: int | None = None, seed: int = 0, format: str | None = None
) -> list[LabelledImage]:
    """:func:`open_labelled` as a list."""
    return list(open_labelled(data, limit, seed, format)[1])


def degraded(images: Sequence[LabelledImage], errors: MaskErrorModel, seed: int = 0) -> Iterator[LabelledImage]:
    """Replace coarse masks by ground truth with simulated errors."""
    for index, item in enumerate(images):
        rng = np.random.default_rng([seed, index])
        coarse = np.stack([errors.simulate(mask, rng) for mask in item.gt])
        yield replace(item, coarse=coarse, kind='simulated')


def measure_errors(images: Sequence[LabelledImage]) -> MaskErrorModel:
    """Error model of coarse masks."""
    coarse, gt = ([mask for item in images for mask in getattr(item, side)] for side in ('coarse', 'gt'))
    return MaskErrorModel.measure(coarse, gt)


def _open_files(
    images: str | os.PathLike, masks: str | os.PathLike, gt: str | os.PathLike | None = None, format: str | None = None
):
    source = open_masks(masks, images, format=format)
    gt_masks = None if gt is None else open_ground_truth(source, gt)

    def read(index: int) -> LabelledImage:
        task = source.tasks[index]
        if task.image_path is None:
            missing = f'no image named {task.image}.'
            raise FileNotFoundError(task.problem or source.images.ambiguous.get(task.image, missing))
        image = read_image(task.image_path)
        coarse = source.read(task, image.shape[:2])
        true = None if gt_masks is None else gt_masks.read(task, coarse)
        pairs = []
        for position in (position for position in range(len(coarse)) if position not in coarse.left_alone):
            try:
                mask = coarse.mask(position)
                target = mask if true is None else true.mask(position, mask)
            except ValueError as error:
                text = f'skipped, {task.image}, mask {coarse.names[position]}: {error}'
                print_log(printable(text), logger='current')
                continue
            if target is not None and mask.any():
                pairs.append((mask, target))
        stacked = np.array(pairs, bool).reshape(len(pairs), 2, *image.shape[:2])
        return LabelledImage(str(task.image_path), image, stacked[:, 0], None if true is None else stacked[:, 1])

    return len(source.tasks), read


def _open_config(config: str | os.PathLike):
    init_default_scope('mmrefine')
    content = Config.fromfile(config)
    if 'test_dataloader' not in content:
        raise ValueError(f'config {config} has no test_dataloader.')
    dataset = DATASETS.build(content.test_dataloader.dataset)

    def read(index: int) -> LabelledImage:
        item = dataset[index]
        sample = item['data_samples']
        image = item['inputs'].permute(1, 2, 0).numpy()
        masks = np.asarray(sample.coarse_masks, bool), np.asarray(sample.gt_masks, bool)
        return LabelledImage(str(sample.get('img_path', index)), image, *masks, str(sample.get('kind', 'given')))

    return len(dataset), read
