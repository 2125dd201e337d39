"""Extract the first mask of every object of a clip from its annotations: first_frame_masks.py FRAMES ANNOTATIONS OUT.

For semi-supervised video object segmentation, on LVOS v1 and v2 (LVOS/valid/JPEGImages, LVOS/valid/Annotations) and
DAVIS 2017, whose clips are folders of frames and of label maps with the frames' names. OUT/<clip>/<frame>.png contains
only objects that first appear on that frame; mmrefine video FRAMES OUT --sam2 … tracks them. With
--check nothing is written, and missing files are listed.

exit status: 0 all found; 1 some clips were skipped; 2 there was nothing to do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from mmrefine.core.regions import VOID
from mmrefine.files.atomic import OutputError, whole_file
from mmrefine.files.mask_files import MaskFile, read_mask_file
from mmrefine.utils import counted


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('frames', metavar='FRAMES', type=Path)
    parser.add_argument('annotations', metavar='ANNOTATIONS', type=Path)
    parser.add_argument('out', metavar='OUT', type=Path)
    parser.add_argument('--clips', metavar='FILE', type=Path, help='names of the clips, one per line; default: all')
    parser.add_argument('--check', action='store_true', help='only list missing files')
    return parser.parse_args()


def first_masks(paths: list[Path]) -> dict[str, tuple[MaskFile, np.ndarray]]:
    """File and label map (H, W) of each frame on which an object first appears, by the frame's name.

    Args:
        paths: label maps of a clip in the order of its frames.
    """
    seen: set[int] = {0, VOID}
    found = {}
    for path in paths:
        file = read_mask_file(path)
        labels = file.labels()
        new = [label for label in np.unique(labels).tolist() if label not in seen]
        if new:
            found[path.name] = file, np.where(np.isin(labels, new), labels, 0)
            seen.update(new)
    return found


def main() -> int:
    args = parse_args()
    if args.clips:
        names = [line.strip() for line in args.clips.read_text(encoding='utf-8').splitlines() if line.strip()]
    else:
        names = sorted(path.name for path in args.annotations.glob('*') if path.is_dir())
    if not names:
        print(f'error: {args.annotations} contains no clips: expected folders of PNG label maps.', file=sys.stderr)
        return 2
    problems, objects = [], 0
    for name in track_iter_progress(names):
        paths = sorted((args.annotations / name).glob('*.png'))
        try:
            if not paths:
                raise ValueError(f'{args.annotations / name} contains no PNG label maps.')
            frames = {path.stem for path in (args.frames / name).glob('*') if path.is_file()}
            masks = {frame: mask for frame, mask in first_masks(paths).items() if frame.removesuffix('.png') in frames}
            absent = [path.name for path in paths if path.stem not in frames]
            if absent or not masks:
                what = f'frames of {len(absent)} label maps, such as {absent[0]}' if absent else 'masks of objects'
                raise ValueError(f'{name}: {args.frames / name if absent else args.annotations / name} lacks {what}.')
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        for frame, (file, labels) in masks.items():
            objects += len(np.unique(labels[labels > 0]))
            if not args.check:
                try:
                    with whole_file(args.out / name / frame, 'wb') as stream:
                        file.save(stream, labels)
                except OutputError as error:
                    print(f'error: {error}', file=sys.stderr)
                    return 2
    for problem in problems:
        print(f'left out: {problem}', file=sys.stderr)
    where = 'found' if args.check else f'in {args.out}'
    clips = f'{len(names) - len(problems)} of {counted(len(names), "clip")}'
    print(f'first masks of {counted(objects, "object")} in {clips} {where}')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
