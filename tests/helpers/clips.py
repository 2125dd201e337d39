"""Small clips with bright squares, and their coarse masks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmrefine.core.palette import voc_palette
from mmrefine.core.rle import encode_rle
from mmrefine.jobs import refine_video
from tests.helpers.bright_refiner import BrightRefiner

SIZE_HW = (48, 64)
COUNT = 4


def scene(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame with two bright squares that move, and their label map."""
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[10:25, 5 + frame : 20 + frame] = 1
    labels[20:40, 40 - frame : 55 - frame] = 3
    image = np.random.default_rng(0).integers(0, 40, (*SIZE_HW, 3), dtype=np.uint8)
    image[labels > 0] = 220
    return image, labels


def coarse(labels: np.ndarray) -> np.ndarray:
    kernel = np.ones((5, 5), np.uint8)
    return sum(label * cv2.erode((labels == label).astype(np.uint8), kernel) for label in (1, 3)).astype(np.uint8)


class Clips:
    """``frames/<clip>/``, ``masks/<clip>/`` and ``masks.json`` for some clips."""

    def __init__(self, folder: Path, names: list[str]):
        self.folder = folder
        videos, annotations = [], []
        for number, name in enumerate(names, 1):
            for kind in ('frames', 'masks'):
                (folder / kind / name).mkdir(parents=True)
            maps = []
            for frame in range(COUNT):
                image, labels = scene(frame)
                maps.append(coarse(labels))
                Image.fromarray(image).save(folder / 'frames' / name / f'{frame:05d}.png')
                picture = Image.fromarray(maps[-1])
                picture.putpalette(voc_palette())
                picture.save(folder / 'masks' / name / f'{frame:05d}.png')
            names_of_files = [f'{name}/{frame:05d}.png' for frame in range(COUNT)]
            videos.append({'id': number, 'file_names': names_of_files, 'height': SIZE_HW[0], 'width': SIZE_HW[1]})
            for label in (1, 3):
                rows = [encode_rle(values == label) for values in maps]
                known = {'id': 10 * number + label, 'video_id': number, 'category_id': label, 'note': 'kept'}
                annotations.append({**known, 'segmentations': rows, 'areas': [1] * COUNT})
        content = {'videos': videos, 'categories': [{'id': 1}], 'annotations': annotations}
        (folder / 'masks.json').write_text(json.dumps(content), encoding='utf-8')

    def refine(self, masks: str = 'masks', out: str = 'out', **kwargs):
        kwargs = {'model': BrightRefiner(), 'progress': False, **kwargs}
        return refine_video(self.folder / 'frames', self.folder / masks, self.folder / out, **kwargs)

    def read(self, clip: str, frame: int, out: str = 'out') -> Image.Image:
        return Image.open(self.folder / out / 'masks' / clip / f'{frame:05d}.png')


def write_maps(folder: Path, maps: dict[str, np.ndarray], palette: bool = True) -> Path:
    """Label maps as PNG files, by name without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in maps.items():
        image = Image.fromarray(values)
        if palette:
            image.putpalette(voc_palette())
        image.save(folder / f'{name}.png')
    return folder
