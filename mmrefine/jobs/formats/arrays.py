"""NumPy files, one per image: masks or probabilities, (N, H, W) or (H, W), in .npy or under "masks" in .npz files.

Without "masks", a .npz file contains one array, or a mask (H, W) under each name. Refined files have the same shape,
dtype and further arrays. Values may be bool, 0/1, 0/255 or probabilities in [0, 1]; refined probabilities become 0 and
1. Nothing is unpickled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from mmrefine.core.checks import binarize, check_same_size
from mmrefine.files.names import check_readable, find_files
from mmrefine.jobs.formats.base import FormatOptions, MaskPair, MaskTask, pairs, register_format
from mmrefine.jobs.formats.exchange import FilePerImage, LazyMasks, NewImage
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

KEY = 'masks'


@register_format('arrays')
class ArrayMasks(FilePerImage):
    """A folder of .npy and .npz files."""

    suffixes = ('.npy', '.npz')

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        if options.semantic or options.cam_threshold is not None or find_files(path, ('.png',)):
            return False
        return cls.first_file(path) is not None

    def declared_size(self, task: MaskTask) -> tuple[int, int] | None:
        return _stack(self._load(task)[KEY], self.files[task.key]).shape[1:]

    def _load(self, task: MaskTask) -> dict[str, np.ndarray]:
        path = check_readable(self.files[task.key])
        try:
            loaded = np.load(path, allow_pickle=False)
            arrays = {KEY: loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f'{path} is not a numeric NumPy file without pickled objects ({error}).') from error
        if KEY not in arrays:
            kinds = {f'{array.dtype} {array.shape}' for array in arrays.values()}
            if len(kinds) != 1 or (len(arrays) > 1 and next(iter(arrays.values())).ndim != 2):
                raise ValueError(
                    f'{path} must contain masks under "{KEY}", or a mask (H, W) under each name, of one size and '
                    f'dtype, got {", ".join(arrays) or "nothing"}: {" and ".join(sorted(kinds)) or "no array"}.'
                )
            stack = np.stack(list(arrays.values())) if len(arrays) > 1 else next(iter(arrays.values()))
            arrays = {KEY: stack, '': list(arrays)}
        return arrays

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> LazyMasks:
        arrays = self._load(task)
        stack = _stack(arrays[KEY], self.files[task.key])
        check_same_size(f'masks of {self.files[task.key]} are', stack.shape[1:], size_hw)
        labels = arrays.get('labels', arrays.get('', []))
        categories = [str(label) for label in labels] if np.shape(labels) == (len(stack),) else None
        scores = arrays.get('scores', np.zeros(0))
        scores = scores.tolist() if np.shape(scores) == (len(stack),) else None
        return LazyMasks(size_hw, range(len(stack)), categories, {}, stack, binarize, content=arrays, scores=scores)

    def write(self, task: MaskTask, coarse: LazyMasks, refined: RefinedMasks, out: OutputFolder) -> Iterable[MaskPair]:
        arrays = dict(coarse.content)
        pairs_of_task, stack = list(pairs(coarse, refined)), _stack(arrays[KEY], Path(task.key)).copy()
        level = 1
        if stack.dtype.kind in 'iu' and stack.max(initial=0) > 1:
            full = np.iinfo(stack.dtype).max
            level = min(255, full) if stack.max() <= 255 else full
        for index, pair in enumerate(pairs_of_task):
            if pair.accepted:
                stack[index] = pair.refined * level
        arrays[KEY] = stack.reshape(arrays[KEY].shape)
        names = arrays.pop('', [KEY])
        with out.open(self.outputs(task)[0], 'wb') as file:
            if PurePosixPath(task.key).suffix.lower() == '.npy':
                np.save(file, arrays[KEY], allow_pickle=False)
            else:
                masks = arrays.pop(KEY)
                named = zip(names, masks if len(names) > 1 else [masks], strict=True)
                np.savez_compressed(file, **dict(named), **arrays)
        return pairs_of_task


def new_arrays(image: NewImage) -> tuple[str, bytes]:
    """Name and content of a new .npz file: masks (N, H, W) bool, labels (N,) with categories and, if any, scores."""
    stack = np.array([item.mask for item in image.masks], bool).reshape(-1, *image.size_hw)
    buffer = io.BytesIO()
    arrays = {'masks': stack, 'labels': np.array([item.category for item in image.masks], str)}
    if any(item.score is not None for item in image.masks):
        arrays['scores'] = np.array([item.score for item in image.masks], float)  # None becomes NaN
    np.savez_compressed(buffer, **arrays)
    return f'{image.stem}.npz', buffer.getvalue()


def _stack(masks: np.ndarray, path: Path) -> np.ndarray:
    """Masks of a file as (N, H, W)."""
    if masks.ndim not in (2, 3) or masks.dtype.kind not in 'biuf':
        raise ValueError(f'masks of {path} must be numbers (N, H, W) or (H, W), got {masks.dtype} {masks.shape}.')
    return masks[None] if masks.ndim == 2 else masks
