"""Formats of mask files, one module each; :mod:`mmrefine.jobs.formats.base` explains how to add one."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

from mmrefine.files.image_table import ImageTable
from mmrefine.jobs.formats.base import FORMATS, FormatOptions, GroundTruth, MaskFormat, register_format
from mmrefine.jobs.formats.clips import CLIP_FORMATS, CLIP_WRITERS, ClipFormat
from mmrefine.utils import listed

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f'{__name__}.{_module.name}')

__all__ = [
    'CLIP_FORMATS',
    'CLIP_WRITERS',
    'ClipFormat',
    'FORMATS',
    'FormatOptions',
    'MaskFormat',
    'find_format',
    'format_names',
    'open_clips',
    'open_masks',
    'open_ground_truth',
    'register_format',
]


def format_names() -> list[str]:
    """Names of all formats of masks of images.

    Example:
        >>> 'coco' in format_names()
        True
    """
    return sorted(FORMATS)


def open_masks(
    masks: str | os.PathLike,
    images: str | os.PathLike,
    *,
    image_root: str | os.PathLike | None = None,
    format: str | None = None,
    options: FormatOptions | None = None,
) -> MaskFormat:
    """Open the masks of a job and match them with its images.

    Args:
        masks: a file or a folder in any of the formats.
        images: an image, a folder or a COCO file, see :class:`~mmrefine.files.image_table.ImageTable`.
        image_root: folder to which names in a COCO file are relative, if ``images`` is a COCO file.
        format: name of the format; None: detected.
        options: options of the formats.

    Raises:
        FileNotFoundError: masks or images do not exist.
        ValueError: masks or images are invalid, or no mask has an image.

    Example:
        >>> [task.image for task in open_masks('masks/', 'photos/').tasks]
        ['dog.png']
    """
    masks, options = Path(masks), options or FormatOptions()
    if not masks.exists():
        raise FileNotFoundError(f'masks {masks} do not exist: expected a file or a folder of masks.')
    if not (masks.is_file() or masks.is_dir()):
        raise ValueError(f'masks {masks} are neither a file nor a folder.')
    kind = find_format(masks, format, options)
    source = kind(masks, ImageTable(images, image_root, kind.files_at(masks)), options)
    if source.tasks and not any(task.image_path is not None and task.image_path.exists() for task in source.tasks):
        if source.images.ambiguous:
            raise ValueError(next(iter(source.images.ambiguous.values())))
        names = listed(task.image for task in source.tasks)
        raise ValueError(
            f'none of the images named in {masks} is under {images}: looked for {names}. '
            'Names must match, suffixes may differ.'
        )
    return source


def open_ground_truth(source: MaskFormat, path: str | os.PathLike) -> GroundTruth:
    """Open the ground truth for the masks of a job.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it has another format than the masks, or matches none of them.

    Example:
        >>> gt = open_ground_truth(open_masks('masks/', 'photos/'), 'gt/')
        >>> [path.name for path in gt.paths]
        ['gt']
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'ground truth {path} does not exist.')
    try:
        return source.open_ground_truth(path)
    except (OSError, ValueError) as error:
        found = find_format(path, None, FormatOptions()).name
        wanted = source.ground_truth_format or source.name
        if found == wanted:
            raise
        raise ValueError(
            f'ground truth must have the format of the masks, {wanted}, got {path} of the format {found}; '
            'mmrefine convert changes the format.'
        ) from error


def find_format(masks: Path, name: str | None, options: FormatOptions) -> type[MaskFormat]:
    """Find the format of masks.

    Args:
        masks: an existing file or folder.
        name: name of the format; None: detected.
        options: options of the formats.

    Raises:
        ValueError: there is no such format, or no format recognizes the masks.

    Example:
        >>> from pathlib import Path
        >>> find_format(Path('masks.json'), 'coco', FormatOptions()).name
        'coco'
    """
    if name is not None:
        if name not in FORMATS:
            raise ValueError(f'format must be one of {", ".join(format_names())}, got {name!r}.')
        return FORMATS[name]
    for kind in sorted(FORMATS.values(), key=lambda kind: (kind.is_fallback, kind.name)):
        if kind.recognizes(masks, options):
            return kind
    raise ValueError(f'{masks} has no known format of masks; expected one of {", ".join(format_names())}.')


def open_clips(
    masks: str | os.PathLike,
    frames: str | os.PathLike,
    allow_gaps: bool = False,
    videos: str | os.PathLike | None = None,
) -> ClipFormat:
    """Open the clips of a job and their masks.

    Args:
        masks: a PNG file or a folder, see :class:`~mmrefine.jobs.formats.davis.DavisClips`; or a JSON file, see
            :class:`~mmrefine.jobs.formats.youtube_vis.YoutubeVisClips`.
        frames: a folder of frames, a video file, or a folder of these.
        allow_gaps: accept gaps in the numbers of frames.
        videos: for results in a JSON file, the annotation file that describes their videos.

    Raises:
        FileNotFoundError: masks or frames do not exist.
        ValueError: they are invalid, or do not match each other.

    Example:
        >>> source = open_clips('clip_masks/', 'frames/')
        >>> source.name, len(source.tasks)
        ('davis', 1)
    """
    masks = Path(masks)
    if not masks.exists():
        raise FileNotFoundError(f'masks {masks} do not exist: expected a PNG file, a folder of them, or a JSON file.')
    for kind in CLIP_FORMATS.values():
        if kind.recognizes(masks):
            return kind(masks, frames, allow_gaps, videos)
    raise ValueError(f'{masks} has no known format of masks; expected one of {", ".join(sorted(CLIP_FORMATS))}.')
