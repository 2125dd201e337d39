"""Base classes of formats of clips: reading frames and masks of objects, and writing refined masks.

To add a format, add one module to this folder, as for images (:mod:`mmrefine.jobs.formats.base`), with a subclass of
:class:`ClipFormat` for reading, under ``@register_clip_format``, and one of :class:`ClipWriter` for writing. Clips can
be written in any format. Legend: N objects, H and W in pixels.
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmrefine.core.rle import decode_segmentation
from mmrefine.files.clip_masks import ClipMasks
from mmrefine.files.video_frames import VideoFrames
from mmrefine.jobs.fingerprints import Fingerprint
from mmrefine.jobs.outputs import OutputFolder

_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class ClipTask:
    """A clip of a job.

    Attributes:
        index: index among the clips.
        key: identifies the clip in every run on these files.
        name: name in reports and results; a relative path without ``..``.
        source: identifies the clip within the format.
        problem: why it cannot be opened; '' if no problem is known.
    """

    index: int
    key: str
    name: str
    source: Any = None
    problem: str = ''


@dataclass(frozen=True)
class RefinedClip:
    """Refined masks of a clip as RLE.

    Attributes:
        size_hw: size of the frames.
        object_ids: ids of the N objects.
        categories: category ids of the N objects, None where unknown.
        frame_names: names of the frames without suffix.
        frame_suffix: suffix of the frame files.
        rles: for each frame N compressed RLE, None where the object is not there.
        scores: for each frame N estimates of the masks' quality, in [0, 1].
        unusable: of coarse masks that could not be used, see :class:`~mmrefine.files.clip_masks.ClipMasks`; in files
            that keep what they do not refine, they are not changed.
    """

    size_hw: tuple[int, int]
    object_ids: list[int]
    categories: list[Any]
    frame_names: list[str]
    frame_suffix: str
    rles: list[list[dict | None]]
    scores: list[list[float]]
    unusable: list[list] = field(default_factory=list)

    def masks(self, frame: int) -> np.ndarray:
        """The masks of a frame, (N, H, W) bool; of another size than the clip's only if the frame was not usable."""
        rles = self.rles[frame]
        size_hw = next((tuple(rle['size']) for rle in rles if rle is not None), self.size_hw)
        masks = np.zeros((len(self.object_ids), *size_hw), bool)
        for mask, rle in zip(masks, rles, strict=True):
            if rle is not None:
                mask[:] = decode_segmentation(rle, size_hw)
        return masks


class ClipFormat(ABC):
    """Base class of formats of clips.

    Attributes:
        name: set by :func:`register_clip_format`.
        path: file or folder of the masks.
        tasks: the clips.
        writes: name of the default output format.
    """

    name: ClassVar[str] = ''

    def __init__(self, path: Path, allow_gaps: bool):
        self.path, self.allow_gaps = path, allow_gaps
        self.tasks: Sequence[ClipTask] = []

    @classmethod
    @abstractmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether masks at this path have this format."""

    @abstractmethod
    def frame_names(self, task: ClipTask) -> list[str]:
        """Names of the frames without suffix, in order.

        Raises:
            OSError, ValueError: they cannot be found.
        """

    @abstractmethod
    def frames_fingerprint(self, task: ClipTask) -> Fingerprint:
        """Fingerprint of the frames of a clip."""

    @abstractmethod
    def masks_fingerprint(self, task: ClipTask) -> Fingerprint:
        """Fingerprint of the masks of a clip."""

    def final_digest(self) -> str:
        """Digest of everything except masks that a file of all clips copies from the file of masks."""
        return ''

    @abstractmethod
    def frame_paths(self, task: ClipTask) -> list[Path]:
        """The files of the frames."""

    @abstractmethod
    def open(self, task: ClipTask) -> tuple[VideoFrames, ClipMasks]:
        """Open the frames and masks of a clip.

        Raises:
            OSError, ValueError: they cannot be read, or do not match each other.
        """


class ClipWriter:
    """Base class of writers of refined clips.

    Args:
        source: the format from which the clips were read.
    """

    def __init__(self, source: ClipFormat):
        self.source = source

    def outputs(self, task: ClipTask) -> list[str]:
        """Names of the files that :meth:`write` writes for a clip."""
        return []

    def write(self, task: ClipTask, clip: RefinedClip, out: OutputFolder) -> None:
        """Write the files of a clip."""

    def final_outputs(self) -> list[str]:
        """Names of the files that :meth:`finish` writes."""
        return []

    def finish(self, done: Iterable[tuple[ClipTask, RefinedClip]], out: OutputFolder) -> None:
        """Write files with all clips; clips that are not done keep their coarse masks."""


CLIP_FORMATS: dict[str, type[ClipFormat]] = {}
CLIP_WRITERS: dict[str, type[ClipWriter]] = {}


def register_clip_format(name: str, writer_name: str, writer: type[ClipWriter]) -> Callable:
    """Register a format of clips under a name, and its writer under a name for ``--write``."""

    def register(kind: type[ClipFormat]) -> type[ClipFormat]:
        kind.name, kind.writes = name, writer_name
        CLIP_FORMATS[name], CLIP_WRITERS[writer_name] = kind, writer
        return kind

    return register


def unplaced_task(index: int, path: Path, problems: Sequence[str]) -> list[ClipTask]:
    """A task that fails, for the records of a file that belong to no clip; empty if there are none."""
    if not problems:
        return []
    more = f' (and {len(problems) - 1} more)' if len(problems) > 1 else ''
    return [ClipTask(index, 'null', f'records of {path.name}', problem=f'{problems[0]}{more}')]


def clip_names(names: Sequence[Any]) -> list[str]:
    """Unique names of clips for results, see :func:`safe_name`."""
    safe = [safe_name(name, f'clip_{index}') for index, name in enumerate(names)]
    counts = Counter(name.lower() for name in safe)
    taken = {name for name in counts if counts[name] == 1}
    for index, name in enumerate(safe):
        if counts[name.lower()] > 1:
            numbered = (f'{name}_{number}' for number in itertools.count(index))
            safe[index] = next(name for name in numbered if name.lower() not in taken)
            taken.add(safe[index].lower())
    return safe


def safe_name(name: Any, fallback: str) -> str:
    """Sanitize a name to a relative path; the fallback if nothing is left of it or it is too long."""
    parts = str(name).replace('\\', '/').split('/')
    parts = [re.sub(r'[\x00-\x1f\x7f:]', '_', part) for part in parts if part.strip() not in ('', '.', '..')]
    parts = [part for part in parts if not re.fullmatch(r'[A-Za-z]_', part)]  # drive letters
    if not parts or any(len(part.encode('utf-8', 'surrogatepass')) > _MAX_NAME_BYTES for part in parts):
        return fallback
    return '/'.join(parts)
