"""YOLO-seg text files, one per image, with a line per object: a class number and a ring x y x y ... in [0, 1].

A line has a single ring, so zero-width cuts connect parts and holes, as in Ultralytics' converter. A score at the end
of a line stays; boxes (four numbers) are not refined. Class names come from ``classes.txt``, ``data.yaml`` or
``dataset.yaml`` in the folder or up to two above, as ``data.yaml`` is above ``labels/train``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from mmrefine.core.outlines import to_ring
from mmrefine.files.names import check_readable
from mmrefine.jobs.formats.base import FormatOptions, MaskPair, MaskTask, pairs, register_format
from mmrefine.jobs.formats.exchange import FilePerImage, LazyMasks, NewImage, polygon_mask
from mmrefine.jobs.outputs import OutputFolder
from mmrefine.jobs.refined_masks import RefinedMasks

_NAMES = ('classes.txt', 'data.yaml', 'dataset.yaml')


@register_format('yolo')
class YoloMasks(FilePerImage):
    """A folder of YOLO-seg text files."""

    suffixes = ('.txt',)

    @classmethod
    def recognizes(cls, path: Path, options: FormatOptions) -> bool:
        if options.semantic or options.cam_threshold is not None:
            return False
        for file in cls.list_files(path).values():
            with open(file, encoding='utf-8', errors='replace') as stream:
                words = stream.readline(100_000).split()
            if words:
                return len(words) >= 5 and all(map(_is_number, words))
        return False

    @classmethod
    def list_files(cls, path: Path) -> dict[str, Path]:
        files = super().list_files(path)
        return {name: file for name, file in files.items() if PurePosixPath(name).name not in _NAMES}

    @property
    def classes(self) -> dict[str, str]:
        """Class names by number."""
        return read_classes(self.path)

    def final_digest(self) -> str:
        return str(sorted(self.classes.items()))

    def final_outputs(self) -> list[str]:
        return ['classes.txt'] if find_classes(self.path) is not None else []

    def finish(self, done: Iterable[tuple[MaskTask, RefinedMasks]], out: OutputFolder) -> None:
        # Only the names of data.yaml are written, because its paths do not apply to refined files.
        if self.final_outputs():
            last = max((int(number) for number in self.classes if number.isdigit()), default=-1)
            with out.open('classes.txt') as file:
                file.writelines(f'{self.classes.get(str(position), "")}\n' for position in range(last + 1))

    def names_digest(self) -> str:
        return str(sorted(self.classes.items()))

    def read(self, task: MaskTask, size_hw: tuple[int, int]) -> LazyMasks:
        path = check_readable(self.files[task.key])
        try:
            text = path.read_bytes().decode('utf-8')
        except UnicodeDecodeError as error:
            raise ValueError(f'{path} is not UTF-8 text.') from error
        lines = text.splitlines(keepends=True)
        positions = [position for position, line in enumerate(lines) if line.strip()]
        shapes, classes = [lines[position] for position in positions], self.classes
        left_alone = {index: 'box' for index, line in enumerate(shapes) if len(line.split()) in (5, 6)}
        categories = [classes.get(line.split()[0], line.split()[0]) for line in shapes]
        names = [position + 1 for position in positions]
        scores = [
            float(score[0]) if (score := _score(line.split())) and _is_number(score[0]) else None for line in shapes
        ]
        return LazyMasks(
            size_hw,
            names,
            categories,
            left_alone,
            shapes,
            lambda line: _decode(line, size_hw),
            content=(lines, positions),
            scores=scores,
        )

    def write(self, task: MaskTask, coarse: LazyMasks, refined: RefinedMasks, out: OutputFolder) -> Iterable[MaskPair]:
        lines, positions = coarse.content
        lines, pairs_of_task = list(lines), list(pairs(coarse, refined))
        for position, pair in zip(positions, pairs_of_task, strict=True):
            if pair.accepted:
                words = lines[position].split()
                end = lines[position][len(lines[position].rstrip('\r\n')) :]
                lines[position] = ' '.join([words[0], *_relative_ring(pair.refined), *_score(words)]) + end
        with out.open(self.outputs(task)[0], 'wb') as file:
            file.write(''.join(lines).encode('utf-8'))
        return pairs_of_task


def new_yolo(image: NewImage, classes: dict[str, int]) -> tuple[str, bytes]:
    """Name and content of a new file; new classes are added to ``classes``. Labels for training have no scores."""
    lines = []
    for item in image.masks:
        number = classes.setdefault(item.category or 'object', len(classes))
        lines.append(' '.join([str(number), *_relative_ring(item.mask)]) + '\n')
    return f'{image.stem}.txt', ''.join(lines).encode()


def find_classes(path: Path) -> Path | None:
    """The file with class names, in the folder of the masks or up to two above; None if there is none."""
    folder = (path if path.is_dir() else path.parent).absolute()
    paths = [parent / name for parent in (folder, *folder.parents[:2]) for name in _NAMES]
    return next((path for path in paths if path.is_file()), None)


def read_classes(path: Path) -> dict[str, str]:
    """Class names by number; empty if there are none.

    Raises:
        ValueError: they cannot be read.
    """
    names_path = find_classes(path)
    if names_path is None:
        return {}
    try:
        text = names_path.read_text(encoding='utf-8')
        names = text.splitlines() if names_path.suffix == '.txt' else yaml.safe_load(text)['names']
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {str(number): str(label) for number, label in pairs}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(
            f'{names_path} holds no names of classes: expected one per line, or a list or mapping "names" in YAML.'
        ) from error


def _score(words: list[str]) -> list[str]:
    """The score at the end of a line of words; [] if there is none."""
    return words[-1:] if len(words) % 2 == 0 else []


def _is_number(word: str) -> bool:
    try:
        return np.isfinite(float(word))
    except ValueError:
        return False


def _decode(line: str, size_hw: tuple[int, int]) -> np.ndarray:
    words = line.split()[1:]
    if len(words) < 6 or not all(map(_is_number, words)):
        raise ValueError(f'a line must contain a class and at least three points x y in [0, 1], got {line[:60]!r}.')
    numbers = np.array(words[: len(words) // 2 * 2], np.float64).reshape(-1, 2)
    return polygon_mask((numbers * size_hw[::-1]).tolist(), size_hw)


def _relative_ring(mask: np.ndarray) -> list[str]:
    return [f'{value:.7g}' for value in (to_ring(mask) / mask.shape[::-1]).ravel()]
