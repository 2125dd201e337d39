"""Measure memory and speed of large jobs: COCO files of many masks, large images, label maps of many regions.

  python tools/analysis_tools/benchmark_scale.py                        10,000, 100,000 and 1,000,000 masks; all images
  python tools/analysis_tools/benchmark_scale.py --masks 10000 --large  no large image: under a minute

For each size a COCO file is generated: 8 irregular masks of 96x128 pixels per image, whose compressed RLE is as long as
that of usual masks, not grouped by image. Each of these stages runs in its own process, whose CPU time (without
waiting for other processes) and peak memory are printed:

index    open the file: find every record and its image
read     decode masks, image by image
parts    encode masks again and write one record per image, as a job does with refined ones
finish   merge the records: the COCO file and summary.json

read and parts are timed on the first 10,000 masks only. 1,000,000 masks take 3 GB on the disk in --folder.
In these, no images are read and nothing is refined. The others:

split    label maps of noise, 700x700, of several numbers of labels: regions and CPU time
large    whole jobs with the bundled refiner over one image with many masks: peak memory
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

SIZE_HW = (96, 128)
MASKS_PER_IMAGE = 8
NUM_SHAPES = 1000
SAMPLE_TASKS = 1250


_LARGE_HELP = 'square images and how many masks each has (default: %(default)s)'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--masks', metavar='N', nargs='+', type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument('--large', metavar='SIDE:MASKS', nargs='*', default=['3000:256', '10000:20'], help=_LARGE_HELP)
    parser.add_argument('--folder', help="where the files are made; default: the system's folder for such files")
    parser.add_argument('--stage', nargs=2, metavar=('STAGE', 'FOLDER'), help=argparse.SUPPRESS)
    return parser.parse_args()


def generate(path: Path, num_masks: int) -> None:
    """Write a COCO file of masks of smoothed noise; its images do not exist."""
    from mmrefine.core.rle import encode_rle

    rng = np.random.default_rng(0)
    shapes = []
    for _ in range(NUM_SHAPES):
        mask = cv2.GaussianBlur(rng.normal(size=SIZE_HW), (0, 0), 6) > 0
        shapes.append(json.dumps(encode_rle(mask)))
    num_images = -(-num_masks // MASKS_PER_IMAGE)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('{"images": [')
        for index in range(num_images):
            image = {'id': index, 'file_name': f'{index:012d}.jpg', 'height': SIZE_HW[0], 'width': SIZE_HW[1]}
            file.write(', ' * (index > 0) + json.dumps(image))
        file.write('], "annotations": [')
        for index in range(num_masks):
            head = f'{{"id": {index}, "image_id": {index % num_images}, "category_id": 1, "iscrowd": 0, '
            body = f'"bbox": [10.5, 20.5, 30.5, 40.5], "area": 1234, "segmentation": {shapes[index % NUM_SHAPES]}}}'
            file.write(', ' * (index > 0) + head + body)
        file.write('], "categories": [{"id": 1, "name": "noise"}]}')


class Stages:
    """Stages of the benchmark on the file in this folder, one per process; each returns masks and seconds."""

    def __init__(self, folder: Path):
        from mmrefine.files.image_table import ImageTable
        from mmrefine.jobs.engine import Job
        from mmrefine.jobs.formats import FormatOptions
        from mmrefine.jobs.formats.coco import CocoMasks
        from mmrefine.jobs.image_work import ImageWork

        start = time.process_time()
        self.source = CocoMasks(folder / 'coco.json', ImageTable(folder / 'coco.json'), FormatOptions())
        self.index_s = time.process_time() - start
        self.job = Job(ImageWork(self.source, {}, ''), folder / 'out')

    def index(self) -> tuple[int, float]:
        return len(self.source.file), self.index_s

    def read(self) -> tuple[int, float]:
        start = time.process_time()
        masks = 0
        for task in islice(self.source.tasks, SAMPLE_TASKS):
            coarse = self.source.read(task, SIZE_HW)
            masks += sum(1 for index in range(len(coarse)) if coarse.mask(index) is not None)
        return masks, time.process_time() - start

    def parts(self) -> tuple[int, float]:
        """All records are written; those after the sample repeat its masks."""
        from mmrefine.core.rle import encode_rle
        from mmrefine.jobs.formats.base import pairs
        from mmrefine.jobs.refined_masks import RefinedMask, RefinedMasks
        from mmrefine.jobs.report import mask_entry

        known, seconds, start = [], 0.0, time.process_time()
        for task in self.source.tasks:
            if task.index < SAMPLE_TASKS:
                coarse = self.source.read(task, SIZE_HW)
                items = [RefinedMask(encode_rle(coarse.mask(i)), 1.0, accepted=True) for i in range(len(coarse))]
                refined = RefinedMasks(SIZE_HW, items)
                entries = [mask_entry(task.image, pair, {}) for pair in pairs(coarse, refined)]
                report = {'entries': entries, 'problems': []}
                known.append({'masks': refined.as_json(), 'delivered': {'files': {}, 'report': report}})
                seconds = time.process_time() - start
            inputs = {'masks': self.source.fingerprint(task).as_json()} if task.index < SAMPLE_TASKS else {}
            record = {'name': task.name, 'inputs': inputs, **known[task.index % SAMPLE_TASKS]}
            self.job.records.write(task.key, record)
            if task.index < SAMPLE_TASKS:
                seconds = time.process_time() - start
        return len(known) * MASKS_PER_IMAGE, seconds

    def finish(self) -> tuple[int, float]:
        start = time.process_time()
        self.job.out.plan(['coco.json', 'summary.json'])
        self.job.conclude([])
        return len(self.source.file), time.process_time() - start


STAGES: dict[str, Callable[[Stages], tuple[int, float]]] = {
    'index': Stages.index,
    'read': Stages.read,
    'parts': Stages.parts,
    'finish': Stages.finish,
}


def run_stage(name: str, folder: Path) -> None:
    """Prints masks, seconds, and the peak memory of this process in MB before and after it."""
    import mmrefine.jobs  # noqa: F401  (memory that every process needs)

    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    masks, seconds = STAGES[name](Stages(folder))
    print(masks, seconds, before_mb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def generate_large(folder: Path, side: int, num_masks: int) -> None:
    """Write a smooth image as JPEG, and ellipses on it as a COCO file."""
    from PIL import Image

    from mmrefine.core.rle import encode_rle

    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 255, (side // 10, side // 10, 3), np.uint8), (0, 0), 5)
    Image.fromarray(cv2.resize(small, (side, side))).save(folder / 'image.jpg')
    records = []
    for index in range(num_masks):
        mask = np.zeros((side, side), np.uint8)
        centre, axes = rng.integers(side // 8, side - side // 8, 2), rng.integers(side // 30, side // 8, 2)
        cv2.ellipse(mask, tuple(map(int, centre)), tuple(map(int, axes)), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        records.append({'id': index, 'image_id': 0, 'category_id': 1, 'segmentation': encode_rle(mask > 0)})
    images = [{'id': 0, 'file_name': 'image.jpg', 'height': side, 'width': side}]
    (folder / 'large.json').write_text(json.dumps({'images': images, 'annotations': records}))


def run_large(folder: Path) -> None:
    """Prints the number of masks and the peak memory of this process in MB."""
    from mmrefine.jobs import refine_dataset

    report = refine_dataset(folder / 'image.jpg', folder / 'large.json', folder / 'out', device='cpu', progress=False)
    print(report.total['masks'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def split_noise() -> None:
    """Print the time to split label maps of noise."""
    from mmrefine.core.regions import label_regions

    print('   labels  regions   CPU s')
    for num_labels in (2, 3, 5, 20, 100):
        noise = np.random.default_rng(0).integers(1, num_labels + 1, (700, 700)).astype(np.uint8)
        start = time.process_time()
        regions = label_regions(noise)
        print(f'{num_labels:9} {len(regions):8,} {time.process_time() - start:7.1f}', flush=True)


def measure_large(args: argparse.Namespace) -> None:
    print('     side    masks  peak MB')
    for item in args.large:
        side, num_masks = map(int, item.split(':'))
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            generate_large(Path(folder), side, num_masks)
            command = [sys.executable, __file__, '--stage', 'large', folder]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            masks, peak_mb = map(float, output.split()[-2:])
            print(f'{side:9,} {masks:8,.0f} {peak_mb:8,.0f}', flush=True)


def main() -> None:
    args = parse_args()
    if args.stage and args.stage[0] == 'large':
        run_large(Path(args.stage[1]))
        return
    if args.stage:
        run_stage(args.stage[0], Path(args.stage[1]))
        return
    if args.folder:
        Path(args.folder).mkdir(parents=True, exist_ok=True)
    print('    masks  stage   CPU s  masks/s  peak MB  of it imports')
    for num_masks in args.masks:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            generate(Path(folder) / 'coco.json', num_masks)
            print(f'{num_masks:9,}  file: {(Path(folder) / "coco.json").stat().st_size / 1e6:,.0f} MB', flush=True)
            for name in STAGES:
                command = [sys.executable, __file__, '--stage', name, folder]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                masks, seconds, before_mb, peak_mb = map(float, output.split()[-4:])
                rate = masks / seconds
                print(
                    f'{num_masks:9,}  {name:6} {seconds:6.1f} {rate:8,.0f} {peak_mb:8,.0f} {before_mb:14,.0f}',
                    flush=True,
                )
    split_noise()
    if args.large:
        measure_large(args)


if __name__ == '__main__':
    main()
