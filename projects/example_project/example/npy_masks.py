"""Mask format: a folder of files ``NAME.npy``, each the (H, W) mask of the image with that name."""

import numpy as np

from mmrefine.files.names import find_files
from mmrefine.jobs.fingerprints import fingerprint_files
from mmrefine.jobs.formats import MaskFormat, register_format
from mmrefine.jobs.formats.base import CoarseMasks, MaskTask, pairs


@register_format('npy')
class NpyMasks(MaskFormat):
    def __init__(self, path, images, options):
        super().__init__(path, images, options)
        self.files = find_files(path, {'.npy'})
        matched = images.match(self.files, suffix_counts=False)
        self.tasks = [
            MaskTask(index, name, image or name, image and images.path(image), (name,), num_masks=1)
            for index, (name, image) in enumerate(matched.items())
        ]

    @classmethod
    def recognizes(cls, path, options):
        return path.is_dir() and any(path.glob('*.npy'))

    def fingerprint(self, task):
        return fingerprint_files([self.files[task.key]])

    def read(self, task, size_hw):
        mask = np.load(self.files[task.key], allow_pickle=False)
        if mask.shape != size_hw:
            raise ValueError(f'{task.key} must have the size of its image, {size_hw}, got {mask.shape}.')
        return OneArray(size_hw, task.key, mask > 0)

    def outputs(self, task):
        return [f'masks/{task.key}']

    def write(self, task, coarse, refined, out):
        [pair] = pairs(coarse, refined)
        with out.open(self.outputs(task)[0], 'wb') as file:
            np.save(file, pair.refined)
        return [pair]


class OneArray(CoarseMasks):
    def __init__(self, size_hw, name, mask):
        super().__init__(size_hw, [name])
        self._mask = mask

    def mask(self, index):
        return self._mask
