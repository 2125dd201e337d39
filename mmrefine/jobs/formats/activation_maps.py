"""Class activation maps, which are thresholded to label maps and refined region by region."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from mmrefine.core.regions import VOID
from mmrefine.files.activation_map_source import activation_map_paths, map_variants, read_activation_labels
from mmrefine.files.activation_maps import DEFAULT_NAMES
from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import MaskFile
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files
from mmrefine.jobs.formats.base import FormatOptions, MaskTask, register_format
from mmrefine.jobs.formats.label_maps import LabelMaps


@register_format('activation-maps')
class ActivationMaps(LabelMaps):
    """Activation maps in ``.npy`` and ``.npz`` files; in label maps 0 is background, k + 1 is class k, 255 is void."""

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        if options.semantic:
            raise ValueError(f'activation maps are .npy and .npz files, not label maps, got {path}.')
        threshold = options.cam_threshold
        if threshold is None or not 0 <= threshold <= 1:
            raise ValueError(f'the threshold of activation maps must lie in [0, 1], got {threshold}.')
        super().__init__(path, images, replace(options, ignore_label=VOID, background_label=0))
        self.threshold = threshold
        self.choices = {key: value for key, value in self.choices.items() if key == 'split'}
        self.choices['cam_threshold'] = threshold
        if options.cam_names != DEFAULT_NAMES:
            self.choices['cam_names'] = asdict(options.cam_names)

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        if options.cam_threshold is None:
            return False
        if options.semantic or path.suffix.lower() == '.json':
            raise ValueError(
                f'activation maps are .npy and .npz files, neither a COCO file nor label maps, got {path}.'
            )
        return True

    @staticmethod
    def list_files(path: Path) -> dict[str, Path]:
        return activation_map_paths(path)

    @classmethod
    def files_at(cls, path: Path) -> frozenset[Path]:
        return frozenset()  # images have other suffixes

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        return fingerprint_files(map_variants(self.files[task.key]))

    def read_file(self, task: MaskTask, size_hw: tuple[int, int]) -> MaskFile:
        return read_activation_labels(self.files[task.key], size_hw, self.threshold, self.options.cam_names)
