"""Evaluate the masks of SAM2Refiner for boxes and clicks, compared with those of SAM 2.

  python tools/analysis_tools/evaluate_interactive.py CONFIG CHECKPOINT --data data/sam-hq --out work_dirs/interactive

CONFIG may also be one of SAMRefiner, without CHECKPOINT: its backend (SAM, HQ-SAM, SAM 2) is then evaluated with the
same boxes and clicks, and the output of the highest predicted IoU is used on both sides of the table.

The sets are DIS-VD, COIFT, HRSOD and ThinObject5K-TE in the folders of HQ-SAM's data; --folders names others. Every
image is encoded once for all prompts. Prompts are simulated from the ground truth with --seed; masks are compared at
the size of the image. The same command resumes a stopped run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.config import Config, DictAction
from tqdm import tqdm

from mmrefine.datasets import MaskFolderDataset
from mmrefine.evaluation import (
    evaluate_masks,
    format_scores_table,
    mean_of_sets,
    simulated_prompt,
    summarize_refinement,
)
from mmrefine.files.atomic import remove_results, whole_file
from mmrefine.jobs.engine import check_choices
from mmrefine.jobs.records import Records
from mmrefine.models.backends.base_backend import MASK_THRESHOLD
from mmrefine.models.model_zoo import load_weights, pick_device
from mmrefine.models.refiners import SAMRefiner
from mmrefine.models.sam2_refiner import SAM2Refiner, SAM2RefinerPredictor
from mmrefine.registry import DATASETS, MODELS
from mmrefine.structures import ObjectPrompt
from mmrefine.structures.object_prompt import BOX_CORNERS, NO_POINT
from mmrefine.utils import counted, find_config

THIN = 'thin_object_detection'
SETS = {
    'DIS-VD': ('DIS5K/DIS-VD/im', 'DIS5K/DIS-VD/gt'),
    'COIFT': (f'{THIN}/COIFT/images', f'{THIN}/COIFT/masks'),
    'HRSOD': (f'{THIN}/HRSOD/images', f'{THIN}/HRSOD/masks_max255'),
    'ThinObject5K-TE': (f'{THIN}/ThinObject5K/images_test', f'{THIN}/ThinObject5K/masks_test'),
}
METRIC_NAMES = ('iou', 'boundary_iou')
SIDES = ('coarse', 'refined')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint', nargs='?', help='weights from tools/train.py')
    parser.add_argument('--data', type=Path, default=Path('data/sam-hq'), help='default: %(default)s')
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS), help='default: all four')
    parser.add_argument(
        '--folders', nargs=3, action='append', metavar=('NAME', 'IMAGES', 'MASKS'), help='another dataset instead'
    )
    parser.add_argument('--prompts', nargs='+', type=prompt_of, default=['box', 1, 2, 5, 10], help='box, or clicks')
    parser.add_argument('--seed', type=int, default=0, help='seed of the clicks (default: %(default)s)')
    parser.add_argument('--out', type=Path, required=True, help='folder of results.json, table.md and records')
    parser.add_argument('--overwrite', action='store_true', help='start from scratch')
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'float16'])
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    return parser.parse_args(argv)


def prompt_of(text: str) -> str | int:
    """'box', or a number of clicks."""
    if text != 'box' and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected 'box' or a number of clicks from 1, got {text!r}")
    return text if text == 'box' else int(text)


def open_sets(args: argparse.Namespace) -> dict[str, MaskFolderDataset]:
    """The sets by their names; every image needs its mask."""
    folders = {name: [args.data / folder for folder in SETS[name]] for name in args.sets}
    if args.folders:
        folders = {name: pair for name, *pair in args.folders}
    pipeline = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
    common = dict(type='MaskFolderDataset', pipeline=pipeline)
    return {
        name: DATASETS.build(dict(common, source=name, data_prefix=dict(img=str(images), mask=str(masks))))
        for name, (images, masks) in folders.items()
    }


class SegmenterPredictor:
    """A backend of SAMRefiner with the interface of SAM2RefinerPredictor, without refinement."""

    def __init__(self, refiner: SAMRefiner):
        self.refiner, self.features = refiner, None

    def set_image(self, image: np.ndarray) -> None:
        """Encode (H, W, 3) uint8 RGB."""
        self.features = self.refiner.encode(image)

    @torch.no_grad()
    def predict_objects(self, prompts: Sequence[ObjectPrompt], refine: bool = True) -> SimpleNamespace:
        """Masks (K, H, W) bool of K prompts with boxes or points."""
        return SimpleNamespace(masks=np.stack([self._predict(prompt) for prompt in prompts]))

    def _predict(self, prompt: ObjectPrompt) -> np.ndarray:
        coords, labels = prompt.point_coords.numpy(), prompt.point_labels.numpy()
        corners, points = np.isin(labels, BOX_CORNERS), labels != NO_POINT
        points &= ~corners
        given = {'boxes': coords[corners].reshape(1, 4)} if corners.any() else {}
        if points.any():
            given |= {'points': coords[None, points], 'labels': labels[None, points]}
        backend = self.refiner.backend
        logits, iou = backend.predict(self.features, **given)
        best = logits[:, int(iou[0].argmax())]
        return (backend.upscale(self.features.frame, best)[0] > MASK_THRESHOLD).cpu().numpy()


def build_predictor(args: argparse.Namespace) -> SAM2RefinerPredictor | SegmenterPredictor:
    config = Config.fromfile(find_config(args.config))
    config.merge_from_dict(args.cfg_options or {})
    model = MODELS.build(config.model)
    if isinstance(model, SAMRefiner) and not args.checkpoint:
        return SegmenterPredictor(model.to(pick_device(args.device)).eval())
    if not isinstance(model, SAM2Refiner) or not args.checkpoint:
        given = 'with' if args.checkpoint else 'without'
        raise SystemExit(
            f'{args.config} describes a {type(model).__name__}, {given} CHECKPOINT; give a config of SAM2Refiner and '
            'its checkpoint, or one of SAMRefiner alone.'
        )
    load_weights(model, args.checkpoint)
    return SAM2RefinerPredictor(model.to(pick_device(args.device)), args.precision)


def evaluate_image(
    predictor: SAM2RefinerPredictor | SegmenterPredictor, sample: dict, prompts: Sequence[str | int], seed: int
) -> dict:
    """Scores of one image: those of SAM 2 and of the refiner for every prompt; none if the ground truth is empty."""
    gt = sample['gt_masks'].any(axis=0)
    scores = {}
    if gt.any():
        predictor.set_image(sample['img'])
        for prompt in prompts:
            simulated = [ObjectPrompt.of(*simulated_prompt(gt, prompt, seed, sample['img_id']))]
            masks = {side: predictor.predict_objects(simulated, refine=side == 'refined').masks[0] for side in SIDES}
            scores[str(prompt)] = {
                side: {name: float(value[0]) for name, value in evaluate_masks(mask, gt, METRIC_NAMES).items()}
                for side, mask in masks.items()
            }
    return {'source': sample['source'], 'image': sample['img_id'], 'scores': scores}


def summarize(parts: Sequence[dict], prompts: Sequence[str | int]) -> dict[str, dict[str, float]]:
    """Lines of the table: every dataset with every prompt, and the unweighted mean of the datasets."""
    lines = {}
    for prompt in map(str, prompts):
        by_set = {}
        for source in dict.fromkeys(part['source'] for part in parts):
            scores = [part['scores'][prompt] for part in parts if part['source'] == source and part['scores']]
            columns = [{name: [score[side][name] for score in scores] for name in METRIC_NAMES} for side in SIDES]
            by_set[source] = summarize_refinement(*columns)
        title = prompt if prompt == 'box' else f'clicks: {prompt}'
        lines |= {f'{source}, {title}': summary for source, summary in by_set.items()}
        lines[f'mean of sets, {title}'] = mean_of_sets(by_set)
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    sets = open_sets(args)
    indices = [(dataset, index) for dataset in sets.values() for index in range(len(dataset))]
    print(', '.join(f'{name}: {counted(len(dataset), "image")}' for name, dataset in sets.items()))
    settings = {name: str(getattr(args, name)) for name in ('config', 'checkpoint', 'prompts', 'seed', 'precision')}
    settings |= {'options': str(args.cfg_options), 'sets': {name: len(dataset) for name, dataset in sets.items()}}
    if args.overwrite:
        remove_results(args.out / 'parts')
    settings_path = args.out / 'parts' / 'settings.json'
    if settings_path.is_file():
        check_choices(json.loads(settings_path.read_text(encoding='utf-8')), settings, args.out)
    with whole_file(settings_path) as file:
        json.dump(settings, file)
    records = Records(args.out / 'parts')
    missing = [number for number in range(len(indices)) if not records.has(str(number))]
    predictor = build_predictor(args) if missing else None
    for number in tqdm(missing, unit='image', disable=None):
        dataset, index = indices[number]
        records.write(str(number), evaluate_image(predictor, dataset[index], args.prompts, args.seed))
    parts = [records.read(str(number)) for number in range(len(indices))]
    empty = [part['image'] for part in parts if not part['scores']]
    if empty:
        print(f'left out, without ground-truth object: {counted(len(empty), "image")}, {", ".join(empty[:5])}')
    lines = summarize(parts, args.prompts)
    table = format_scores_table(lines, 'set, prompt')
    for name, text in (
        ('results.json', json.dumps({'summary': lines, 'images': parts}, indent=1)),
        ('table.md', table),
    ):
        with whole_file(args.out / name) as file:
            file.write(text + '\n')
    print(table)


if __name__ == '__main__':
    main()
