"""Label maps in PNG files, whose regions are refined and painted back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mmrefine.core.regions import SPLITS, Region, label_regions, paint_in_order, painting_order
from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import MaskFile
from mmrefine.jobs.formats.base import (
    CoarseMasks,
    FormatOptions,
    GroundTruth,
    GroundTruthMasks,
    MaskPair,
    MaskTask,
    register_format,
)
from mmrefine.jobs.formats.png_masks import PngGroundTruth, PngMasks
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks


@register_format('label-maps')
class LabelMaps(PngMasks):
    """Label maps; refined files have the same names in ``masks/``.

    Reports have one mask per label: its score is the mean over its regions weighted by area, and it counts as accepted
    if at least one region was. With an ignore band, ``pseudo_labels/`` is written too: the refined label maps with void
    where coarse and refined label differ.
    """

    is_fallback = False
    _masks_per_file = None

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        for name in ('ignore_label', 'background_label'):
            label = getattr(options, name)
            if label is not None and not 0 <= label <= 65535:
                raise ValueError(f'{name} must be a label from 0 to 65535, or none, got {label}.')
        if options.ignore_band and options.ignore_label is None:
            raise ValueError('an ignore band needs an ignore_label.')
        super().__init__(path, images, options)
        self.void, self.background = options.ignore_label, options.background_label
        self.choices = {'semantic': {'ignore_label': self.void, 'background_label': self.background}}
        if options.split != SPLITS[0]:
            self.choices['split'] = options.split

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        if options.semantic and path.suffix.lower() == '.json':
            raise ValueError(f'semantic needs label maps in PNG files, got the COCO file {path}.')
        return options.semantic and options.cam_threshold is None

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        file = self.read_file(task, size_hw)
        regions = label_regions(file.labels(), background=self.background, void=self.void, split=self.options.split)
        return _Regions(file, regions)

    def read_file(self, task: MaskTask, size_hw: tuple[int, int]) -> MaskFile:
        file = super().read_file(task, size_hw)
        largest = np.iinfo(file.labels().dtype).max
        for name, label in (('ignore_label', self.void), ('background_label', self.background)):
            if label is not None and label > largest:
                raise ValueError(f'label map {file.path} cannot contain labels above {largest}, got {name} {label}.')
        return file

    def outputs(self, task: MaskTask) -> list[str]:
        names = super().outputs(task)
        return [*names, f'pseudo_labels/{task.key}'] if self.options.ignore_band else names

    def write(
        self, task: MaskTask, coarse: CoarseMasks, refined: RefinedMasks, out: OutputFolder
    ) -> Iterable[MaskPair]:
        before = coarse.file.labels()
        after = self._paint(before, coarse, refined)
        maps = [after]
        if self.options.ignore_band:
            maps.append(np.where(before == after, after, self.void))
        for name, values in zip(self.outputs(task), maps, strict=True):
            with out.open(name, 'wb') as file:
                coarse.file.save(file, values)
        return _by_label(before, after, coarse, refined)

    def _paint(self, before: np.ndarray, coarse: CoarseMasks, refined: RefinedMasks) -> np.ndarray:
        regions = coarse.regions
        in_regions = np.zeros(before.shape, bool)
        for region in regions:
            in_regions[region.slices] |= region.crop
        areas_px = [
            item.area_px if item.accepted else np.count_nonzero(region.crop)
            for item, region in zip(refined, regions, strict=True)
        ]
        order = painting_order(np.array([item.score for item in refined]), np.array(areas_px, np.int64))
        masks = (
            (regions[i].label, refined[i].decode() if refined[i].accepted else coarse.mask(i)) for i in order.tolist()
        )
        return paint_in_order(before, in_regions, masks, background=self.background, void=self.void)

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return LabelMapGroundTruth(path, self)


class _Regions(CoarseMasks):
    """The regions of a label map, named by their labels."""

    def __init__(self, file: MaskFile, regions: list[Region]):
        super().__init__(file.values.shape, [region.label for region in regions])
        self.file, self.regions = file, regions

    def mask(self, index: int) -> np.ndarray:
        return self.regions[index].mask(self.size_hw)


def _by_label(before: np.ndarray, after: np.ndarray, coarse: CoarseMasks, refined: RefinedMasks) -> Iterator[MaskPair]:
    """Join regions to one mask per label."""
    for label in sorted(set(coarse.names)):
        members = [index for index, name in enumerate(coarse.names) if name == label]
        areas_px = [np.count_nonzero(coarse.regions[index].crop) for index in members]
        kept = [refined[index].reason for index in members if not refined[index].accepted]
        some = f' ({len(kept)} of {len(members)} regions)' if len(members) > 1 else ''
        yield MaskPair(
            name=label,
            category='',
            coarse=before == label,
            refined=after == label,
            score=float(np.average([refined[index].score for index in members], weights=areas_px)),
            accepted=len(kept) < len(members),
            reason=kept[0] + some if kept else '',
        )


class LabelMapGroundTruth(PngGroundTruth):
    """Label maps with the names of the coarse label maps; pixels with the ignore label are not evaluated."""

    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        file = self.read_file(task, coarse.size_hw)
        if file is None:
            return GroundTruthMasks(lambda position, mask: None)
        labels, void = sorted(set(coarse.names)), self.source.void
        return GroundTruthMasks(
            lambda position, mask: file.values == labels[position], None if void is None else file.values != void
        )
