"""PNG masks, one per image; bit depth, levels and palette of each file are kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import MaskFile, mask_paths, read_mask_file
from mmrefine.files.names import real_path
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files
from mmrefine.jobs.formats.base import (
    CoarseMasks,
    FormatOptions,
    GroundTruth,
    GroundTruthMasks,
    MaskFormat,
    MaskPair,
    MaskTask,
    pairs,
    register_format,
)
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks


@register_format('png')
class PngMasks(MaskFormat):
    """PNG masks; refined files have the same names in ``masks/``.

    Attributes:
        files: input files by the name of the output file.
    """

    is_fallback, ground_truth_format = True, 'png'

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        if options.ignore_band and type(self) is PngMasks:
            raise ValueError(f'an ignore band needs label maps or activation maps, got masks of {path}.')
        self.files = self.list_files(path)
        if images.is_single and len(self.files) == 1:
            matched = dict(zip(self.files, images.names, strict=True))
        else:
            matched = images.match(self.files, suffix_counts=False)
        self.tasks = [
            MaskTask(index, name, image or name, image and images.path(image), (name,), self._masks_per_file)
            for index, (name, image) in enumerate(matched.items())
        ]

    _masks_per_file: int | None = 1

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        return not options.semantic and options.cam_threshold is None and path.suffix.lower() != '.json'

    @staticmethod
    def list_files(path: Path) -> dict[str, Path]:
        """Input files by the name of the output file.

        Raises:
            ValueError: there is none.
        """
        return mask_paths(path)

    @classmethod
    def files_at(cls, path: Path) -> frozenset[Path]:
        return frozenset(real_path(file) for file in cls.list_files(path).values())

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        return fingerprint_files([self.files[task.key]])

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        file = self.read_file(task, size_hw)
        return _OneMask(size_hw, task.key, file)

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        return read_mask_file(self.files[task.key]).values.shape

    def read_file(self, task: MaskTask, size_hw: tuple[int, int]) -> MaskFile:
        """Read the file of a task and check its size."""
        return read_mask_file(self.files[task.key]).check_size(size_hw)

    def outputs(self, task: MaskTask) -> list[str]:
        return [f'masks/{task.key}']

    def write(
        self, task: MaskTask, coarse: CoarseMasks, refined: RefinedMasks, out: OutputFolder
    ) -> Iterable[MaskPair]:
        [pair] = pairs(coarse, refined)
        with out.open(self.outputs(task)[0], 'wb') as file:
            coarse.file.save(file, coarse.file.from_binary(pair.refined))
        return [pair]

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return PngGroundTruth(path, self)


class _OneMask(CoarseMasks):
    """The mask of a PNG file."""

    def __init__(self, size_hw: tuple[int, int], name: str, file: MaskFile):
        super().__init__(size_hw, [name])
        self.file, self._mask = file, file.binary()

    def mask(self, index: int) -> np.ndarray:
        return self._mask


class PngGroundTruth(GroundTruth):
    """PNG files with the names of the coarse masks."""

    def __init__(self, path: Path, source: PngMasks):
        self.source, self.paths = source, [path]
        if path.suffix.lower() == '.json':
            raise ValueError(f'ground truth of {source.path} must be PNG files, got {path}.')
        table = ImageTable(path)
        if table.is_single and len(source.files) == 1:
            found = dict(zip(source.files, table.names, strict=True))
        else:
            found = table.match(source.files)
        self.ambiguous = table.ambiguous
        self.files = {name: table.path(gt) for name, gt in found.items() if gt is not None}
        if not self.files:
            raise ValueError(f'no file under {path} has the name of a mask under {source.path}; names must match.')

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        return fingerprint_files([self.files[task.key]] if task.key in self.files else [])

    def read(self, task: MaskTask, coarse: CoarseMasks) -> GroundTruthMasks:
        file = self.read_file(task, coarse.size_hw)
        return GroundTruthMasks(lambda position, mask: None if file is None else file.binary())

    def read_file(self, task: MaskTask, size_hw: tuple[int, int]) -> MaskFile | None:
        """Read the ground truth of a task and check its size; None if there is none."""
        if task.key in self.ambiguous:
            raise ValueError(self.ambiguous[task.key])
        path = self.files.get(task.key)
        return None if path is None else read_mask_file(path).check_size(size_hw)
