"""PNG masks with one file per object: ``name_0.png``, ``name_1.png``, ..., or ``name/0.png``, ....

They cannot be told from masks with one file per image, so this format needs ``--format instances``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mmrefine.files.image_table import ImageTable
from mmrefine.files.mask_files import mask_paths, read_mask_file
from mmrefine.files.names import real_path
from mmrefine.jobs.fingerprints import Fingerprint, fingerprint_files
from mmrefine.jobs.formats.base import (
    CoarseMasks,
    FormatOptions,
    GroundTruth,
    MaskFormat,
    MaskPair,
    MaskTask,
    pairs,
    register_format,
)
from mmrefine.jobs.formats.exchange import NewImage, SameFormatGroundTruth
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

_NAME = re.compile(r'(?P<image>.+)[_/](?P<number>\d+)')


@register_format('instances')
class InstanceMasks(MaskFormat):
    """A folder of PNG files; refined files have the same names in ``masks/``.

    Attributes:
        files: files by name.
    """

    ground_truth_format = 'png'

    def __init__(self, path: Path, images: ImageTable, options: FormatOptions):
        super().__init__(path, images, options)
        self.files = mask_paths(path)
        groups: dict[str, list[str]] = {}
        for name in self.files:
            found = _NAME.fullmatch(str(PurePosixPath(name).with_suffix('')))
            if found is None:
                raise ValueError(f'{name} in {path} must be named name_0.png or name/0.png.')
            groups.setdefault(found['image'], []).append(name)
        matched = images.match(groups)
        if images.is_single and len(groups) == 1:
            matched = dict(zip(groups, images.names, strict=True))
        self.tasks = []
        for index, (key, names) in enumerate(groups.items()):
            names.sort(key=lambda name: int(_NAME.fullmatch(str(PurePosixPath(name).with_suffix('')))['number']))
            image = matched[key]
            image_path = None if image is None else images.path(image)
            self.tasks.append(MaskTask(index, key, image or key, image_path, tuple(names), len(names)))

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        return False

    @classmethod
    def files_at(cls, path: Path) -> frozenset[Path]:
        return frozenset(real_path(file) for file in mask_paths(path).values())

    def fingerprint(self, task: MaskTask) -> Fingerprint:
        return fingerprint_files([self.files[name] for name in task.refs])

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        return read_mask_file(self.files[task.refs[0]]).values.shape

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> CoarseMasks:
        return _Instances(size_hw, [self.files[name] for name in task.refs], list(task.refs))

    def outputs(self, task: MaskTask) -> list[str]:
        return [f'masks/{name}' for name in task.refs]

    def write(
        self, task: MaskTask, coarse: CoarseMasks, refined: RefinedMasks, out: OutputFolder
    ) -> Iterable[MaskPair]:
        for name, pair in zip(task.refs, pairs(coarse, refined), strict=True):
            with out.open(f'masks/{name}', 'wb') as file:
                if pair.accepted:
                    source = read_mask_file(self.files[name])
                    source.save(file, source.from_binary(pair.refined))
                else:
                    file.write(self.files[name].read_bytes())
            yield pair

    def open_ground_truth(self, path: Path) -> GroundTruth:
        return SameFormatGroundTruth(path, self)


class _Instances(CoarseMasks):
    """The masks of an image, one file each."""

    def __init__(self, size_hw: tuple[int, int], paths: list[Path], names: list[str]):
        super().__init__(size_hw, names)
        self._paths = paths

    def mask(self, index: int) -> np.ndarray:
        try:
            return read_mask_file(self._paths[index]).check_size(self.size_hw).binary()
        except OSError as error:
            raise ValueError(str(error)) from error


def new_instances(image: NewImage) -> list[tuple[str, bytes]]:
    """Names and contents of new files, ``name_0.png`` etc.; categories cannot be stored."""
    files = []
    for index, item in enumerate(image.masks):
        buffer = io.BytesIO()
        Image.fromarray(item.mask.astype(np.uint8) * 255).save(buffer, 'PNG')
        files.append((f'{image.stem}_{index}.png', buffer.getvalue()))
    return files
