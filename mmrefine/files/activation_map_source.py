"""Label maps read from files of class activation maps."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import numpy as np

from mmrefine.core.activation_maps import activation_label_map, resize_scores
from mmrefine.core.palette import voc_palette
from mmrefine.core.regions import VOID
from mmrefine.files.activation_maps import DEFAULT_NAMES, MapNames, load_activation_maps
from mmrefine.files.mask_files import MaskFile
from mmrefine.files.names import find_files

SUFFIXES = ('.npy', '.npz')


def read_activation_labels(
    path: str | os.PathLike,
    size_hw: tuple[int, int],
    threshold: float,
    names: MapNames = DEFAULT_NAMES,
) -> MaskFile:
    """Read activation maps as a label map with the palette of VOC.

    Args:
        path: see :func:`~mmrefine.files.activation_maps.load_activation_maps`.
        size_hw: size of the image; smaller maps of its aspect ratio are upsampled.
        threshold: pixels with lower scores in every class are background.
        names: keys and class numbering of the tool that wrote the maps.

    Raises:
        OSError, ValueError: the file cannot be read, or does not match the image.
    """
    check_unambiguous(path)
    classes, scores = load_activation_maps(path, names)
    try:
        # Maps of a file without classes have no size.
        scores = resize_scores(scores, size_hw) if len(classes) else np.zeros((0, *size_hw), np.float32)
        labels, _ = activation_label_map(classes, scores, threshold=threshold)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    if classes.max(initial=0) + 1 >= VOID:
        raise ValueError(f'{path}: class {classes.max()} does not fit into an 8-bit label map.')
    return MaskFile(str(path), labels.astype(np.uint8), voc_palette())


def map_variants(path: str | os.PathLike) -> list[Path]:
    """This file of activation maps, and existing ones that differ from it only in the suffix."""
    path = Path(path)
    others = [path.with_suffix(suffix) for suffix in SUFFIXES]
    return [path, *(other for other in others if other != path and other.exists())]


def check_unambiguous(path: str | os.PathLike) -> None:
    """Check that an image has only one file of activation maps.

    Raises:
        ValueError: there are files that differ only in the suffix.
    """
    variants = map_variants(path)
    if len(variants) > 1:
        raise ValueError(f'{" and ".join(map(str, variants))} are activation maps of the same image; keep one of them.')


def activation_map_paths(path: str | os.PathLike) -> dict[str, Path]:
    """Files of activation maps by the name of their label map: relative to the folder, with the suffix ``.png``.

    Raises:
        ValueError: there is none.
    """
    found: dict[str, Path] = {}
    for name, file in find_files(path, SUFFIXES).items():
        found.setdefault(PurePosixPath(name).with_suffix('.png').as_posix(), file)
    if not found:
        raise ValueError(f'{path} contains no activation maps: expected files that end in {" or ".join(SUFFIXES)}.')
    return found
