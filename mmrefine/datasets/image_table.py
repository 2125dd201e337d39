"""The images of a job, found by name or by id."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from mmrefine.datasets.images import list_images


class ImageTable:
    """Images of a file, a folder (searched recursively) or a COCO file.

    Args:
        images: an image file, a folder, or a COCO JSON file whose ``images`` are meant.
        root: folder from which the names in a COCO file start; None: the folder that the COCO file is in.
        exclude: files that are no images of the job, such as masks in the same folder.

    Attributes:
        paths: path of each image by its name: relative to the folder, or as in the COCO file. Files that a COCO file
            names need not exist.
        ids: name of the image by its id in the COCO file; empty if the images do not come from one.

    Raises:
        FileNotFoundError: ``images`` or ``root`` does not exist.
        ValueError: there is no image, or the JSON file is not of COCO's form.
    """

    def __init__(
        self, images: str | os.PathLike, root: str | os.PathLike | None = None, exclude: frozenset[Path] = frozenset()
    ):
        self.source = Path(images)
        self.ids: dict[Any, str] = {}
        is_coco = self.source.suffix.lower() == '.json'
        if root is not None and not is_coco:
            raise ValueError(f'image_root goes with images from a COCO file, got {images}.')
        if not self.source.exists():
            raise FileNotFoundError(f'images {images} do not exist: expected an image, a folder or a COCO file.')
        if is_coco:
            folder = Path(root) if root is not None else self.source.parent
            if not folder.is_dir():
                raise FileNotFoundError(f'image_root {folder} is no folder.')
            records = coco_images(read_json(images), images)
            self.ids = {record['id']: image_name(record) for record in records}
            self.paths = {name: folder / name for name in self.ids.values()}
        elif self.source.is_dir():
            paths = [path for path in list_images(images) if path.resolve() not in exclude]
            self.paths = {path.relative_to(self.source).as_posix(): path for path in paths}
        else:
            self.paths = {self.source.name: self.source}
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for name in self.paths:
            for key in _keys(name):
                self._by_key[key].append(name)
        # COCO's own images are called by their id with leading zeros.
        stems = {PurePosixPath(name).stem: name for name in self.paths}
        self._by_number = {str(int(stem)): name for stem, name in stems.items() if stem.isdecimal()}

    @property
    def is_single(self) -> bool:
        """One image file was given, which needs no name to be found."""
        return self.source.suffix.lower() != '.json' and not self.source.is_dir()

    def find(self, name: str) -> str | None:
        """The image called ``name``, a path with or without folders and suffix; None if there is none.

        Raises:
            ValueError: there are several.
        """
        for key in _keys(name):
            names = self._by_key.get(key, [])
            if len(names) > 1:
                raise ValueError(
                    f'{name} could belong to {" or ".join(names[:3])}; give it the folders and suffix of its image.'
                )
            if names:
                return names[0]
        return None

    def find_id(self, image_id: Any) -> str | None:
        """The image with this id in the COCO file, or else the one whose file name is the id; None if there is none."""
        if image_id in self.ids:
            return self.ids[image_id]
        return self.find(str(image_id)) or self._by_number.get(str(image_id))

    def match(self, names: Iterable[str]) -> dict[str, str | None]:
        """The image of each of the ``names`` that belong together.

        Other folders do not matter (see :meth:`find`), unless another name is exactly the image's: of ``x/a.png`` and
        ``y/a.png`` only the first belongs to ``x/a.jpg``.
        """
        found = {name: self.find(name) for name in names}
        exact = {image for name, image in found.items() if image is not None and _is_exact(name, image)}
        return {name: None if image in exact and not _is_exact(name, image) else image for name, image in found.items()}


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'file {path} does not exist.')
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not valid JSON ({error}); is it cut short?') from error


def coco_images(content: Any, path: str | os.PathLike) -> list[dict]:
    """The image records of a COCO file, checked to have ids and names.

    Raises:
        ValueError: there are none, or one lacks its ``id`` or ``file_name``.
    """
    records = content.get('images') if isinstance(content, dict) else None
    if not isinstance(records, list) or not records:
        raise ValueError(f'{path} is no COCO file with images: expected a list under the key "images".')
    for index, record in enumerate(records):
        if not isinstance(record, dict) or 'id' not in record or not {'file_name', 'coco_url'} & record.keys():
            raise ValueError(f'{path}: images[{index}] must have "id" and "file_name", got {str(record)[:80]}.')
    return records


def image_name(record: dict) -> str:
    """Name of a COCO image. LVIS gives ``coco_url`` only, whose last two parts are folder and file."""
    return record['file_name'] if 'file_name' in record else '/'.join(record['coco_url'].split('/')[-2:])


def _keys(name: str) -> list[str]:
    """Under what a name is looked up, the most exact first: as it is, without suffix, without folders, without both."""
    path = PurePosixPath(name.replace('\\', '/'))
    return list(dict.fromkeys([str(path), _without_suffix(name), path.name, path.stem]))


def _is_exact(name: str, image: str) -> bool:
    """Whether two names differ in nothing but the suffix."""
    return _without_suffix(name) == _without_suffix(image)


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name.replace('\\', '/')).with_suffix(''))
