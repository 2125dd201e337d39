"""Lookup of a job's images by name or by id."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mmrefine.files.coco_file import read_images
from mmrefine.files.images import list_images
from mmrefine.files.names import locate, name_key, real_path, without_suffix


class ImageTable:
    """Images of a job: one file, a folder (searched recursively), or the images of a COCO file.

    Args:
        images: an image file, a folder, or a COCO JSON file.
        root: folder to which names in the COCO file are relative; None: the folder of the COCO file.
        exclude: files that are not images of the job, such as masks in the same folder.

    Attributes:
        folder: the folder to which names are relative.
        names: names of the images, as keys of a dict: relative to the folder, or as in the COCO file. Files that a COCO
            file names may be missing.
        ids: names by id in the COCO file; empty without a COCO file.
        problems: for images of the COCO file without a usable name, by id, why it is not usable.
        ambiguous: for names that were looked up and match several images, by name, an error message.
        sizes: (H, W) by name as in the COCO file, None where it does not state it; empty without a COCO file.

    Raises:
        FileNotFoundError: ``images`` or ``root`` does not exist.
        ValueError: there is no image, or the JSON file is not in COCO's format.
    """

    def __init__(
        self, images: str | os.PathLike, root: str | os.PathLike | None = None, exclude: frozenset[Path] = frozenset()
    ):
        self.source = Path(images)
        self.ids: dict[Any, str] = {}
        self.problems: dict[Any, str] = {}
        self.ambiguous: dict[str, str] = {}
        self.sizes: dict[str, tuple[int, int] | None] = {}
        is_coco = self.source.suffix.lower() == '.json'
        if root is not None and not is_coco:
            raise ValueError(f'image_root needs images from a COCO file, got {images}.')
        if not self.source.exists():
            raise FileNotFoundError(f'images {images} do not exist: expected an image, a folder or a COCO file.')
        self.folder = self.source if self.source.is_dir() else self.source.parent
        if is_coco:
            self.folder = Path(root) if root is not None else self.folder
            if not self.folder.is_dir():
                raise FileNotFoundError(f'image_root {self.folder} is not a folder.')
            images_by_id = read_images(images)
            self.problems = {image_id: image.problem for image_id, image in images_by_id.items() if image.problem}
            usable = {image_id: image for image_id, image in images_by_id.items() if not image.problem}
            self.ids = {image_id: image.name for image_id, image in usable.items()}
            self.sizes = {image.name: image.size_hw for image in usable.values()}
            self.names = dict.fromkeys(self.ids.values())
        elif self.source.is_dir():
            paths = [path for path in list_images(images) if real_path(path) not in exclude]
            self.names = dict.fromkeys(path.relative_to(self.source).as_posix() for path in paths)
        else:
            self.names = {self.source.name: None}

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        """Names by lookup key."""
        found = defaultdict(list)
        for name in self.names:
            for key in _keys(name):
                found[key].append(name)
        return dict(found)

    @cached_property
    def _by_number(self) -> dict[str, str]:
        """Names that are numbers, without leading zeros; files of COCO are named by their id with leading zeros."""
        stems = {PurePosixPath(name_key(name)).stem: name for name in self.names}
        return {str(int(stem)): name for stem, name in stems.items() if stem.isascii() and stem.isdigit()}

    @property
    def is_single(self) -> bool:
        """Whether one image file was given, which is found without its name."""
        return self.source.suffix.lower() != '.json' and not self.source.is_dir()

    def path(self, name: str) -> Path:
        """Path of an image by name."""
        return locate(self.folder, name)

    def find(self, name: str, suffix_counts: bool = True) -> str | None:
        """The image that matches ``name``, a path with or without folders and suffix; None if there is none.

        Args:
            name: name of an image or a mask.
            suffix_counts: whether the suffix must match; False for masks, whose suffix is independent of the image's.

        Raises:
            ValueError: several images match.
        """
        if suffix_counts and name in self.names:
            return name
        for key in _keys(name)[0 if suffix_counts else 1 :]:
            names = self._by_key.get(key, [])
            if len(names) > 1:
                raise ValueError(
                    f'{name} could belong to {" or ".join(names[:3])}; give it the folders and suffix of its image.'
                )
            if names:
                return names[0]
        return None

    def find_id(self, image_id: Any) -> str | None:
        """The image with this id in the COCO file, or whose file name is the id; None if there is none."""
        if image_id in self.ids:
            return self.ids[image_id]
        return self._find_one(str(image_id)) or self._by_number.get(str(image_id))

    def _find_one(self, name: str, suffix_counts: bool = True) -> str | None:
        try:
            return self.find(name, suffix_counts)
        except ValueError as error:
            self.ambiguous[name] = str(error)
            return None

    def match(self, names: Iterable[str], suffix_counts: bool = True) -> dict[str, str | None]:
        """Match names with images, such as those of all masks of a job; see :meth:`find`.

        A name that matches several images gets None and is added to ``ambiguous``. Folders may differ, unless another
        name matches the image exactly: of ``x/a.png`` and ``y/a.png`` only the first belongs to ``x/a.jpg``.

        Args:
            names: names to match.
            suffix_counts: see :meth:`find`.
        """
        found = {name: self._find_one(name, suffix_counts) for name in names}
        exact = {image for name, image in found.items() if image is not None and _is_exact(name, image)}
        return {name: None if image in exact and not _is_exact(name, image) else image for name, image in found.items()}


def _keys(name: str) -> list[str]:
    """Lookup keys of a name, the most specific first: complete, without suffix, without folders, without both."""
    path = PurePosixPath(name_key(name))
    return list(dict.fromkeys([str(path), without_suffix(name), path.name, path.stem]))


def _is_exact(name: str, image: str) -> bool:
    """Whether two names differ at most in the suffix."""
    return without_suffix(name) == without_suffix(image)
