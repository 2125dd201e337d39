"""Automatic choice of a refiner and its options for given masks. Legend: N masks, H and W in pixels."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from mmrefine.core.iou import binary_iou
from mmrefine.jobs.comparison import (
    best_of,
    format_comparison,
    gain_difference,
    measure_refiner,
    oracle,
    route,
    summarize_records,
)
from mmrefine.jobs.labelled import LabelledImage, degraded, labelled_images, measure_errors
from mmrefine.models.model_zoo import build_refiner, load_config
from mmrefine.models.refiners import BaseRefiner

DEFAULT_CANDIDATES = ('segrefiner_tiny',)
_MIN_MASKS = 40  # fewer masks with ground truth are supplemented by copies with simulated errors
_MIN_AGREEMENT = 0.8  # minimum IoU of all candidates with their majority, where that replaces ground truth
_CHOSEN = ': chosen by mmrefine pick'
_ROUTED = 'routed by the gate'


@dataclass(frozen=True)
class Pick:
    """Result of :func:`pick`.

    Attributes:
        name: name of the best candidate, ``<refiner>, <option>``.
        config: config of its refiner, with ``type``, for ``model`` in a config file.
        checkpoint: its weights, if any.
        records: for each candidate a record for each mask, see :func:`~mmrefine.jobs.comparison.measure_refiner`.
        routed: records of the candidate chosen for each mask, see :func:`~mmrefine.jobs.comparison.route`; [] if there
            is only one.
        about: description of the masks on which candidates were compared.
    """

    name: str
    config: dict
    checkpoint: str | None
    records: dict[str, list[dict]]
    routed: list[dict]
    about: str

    def table(self) -> str:
        """All candidates side by side, in Markdown."""
        return format_comparison(self.records | ({_ROUTED: self.routed} if self.routed else {}))

    def bounds(self) -> str:
        """Sentences on what choosing a refiner for each mask gains: by the gates' evidence, and at most."""
        bound = (
            f'the best candidate for each mask, as an upper bound, gains {_points(oracle(self.records)["gain/iou"])}'
        )
        if not self.routed:
            return bound
        low, high = gain_difference(self.routed, self.records[self.name])
        verdict = 'helps' if low > 0 else 'harms' if high < 0 else 'makes no significant difference'
        gain = _points(summarize_records(self.routed)['gain/iou'])
        difference = f'{100 * low:+.1f} to {100 * high:+.1f}'
        return f'{_ROUTED} gains {gain}: compared to {self.name} this {verdict} ({difference})\n{bound}'


def pick(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    gt: str | os.PathLike | None = None,
    candidates: Sequence[str | os.PathLike | tuple[str | os.PathLike, str | None]] = DEFAULT_CANDIDATES,
    limit: int = 60,
    device: str | torch.device | None = None,
    seed: int = 0,
    format: str | None = None,
) -> Pick:
    """Compare refiners and their main options on a sample of masks.

    With ground truth for some masks, candidates are compared on them; fewer than 40 masks are supplemented by copies
    whose coarse masks have simulated errors of the same distribution. Without ground truth, the pixelwise majority of
    the candidates replaces it where they agree, and all coarse masks have simulated errors with the distribution
    measured against the majority. This favours candidates that are similar to most others.

    The options are the gate on and off and, for refiners with several steps, the first step only.

    Args:
        images, masks: images and coarse masks, as for a job.
        gt: ground truth for some or all masks, in the format of the masks.
        candidates: names of bundled models or configs, or pairs of these and a checkpoint.
        limit: approximate number of masks.
        device: device of the refiners; None: a GPU if there is one.
        seed: seed of the sample and of simulated errors.
        format: format of the masks; None: detected. Label maps and clips cannot be compared.

    Raises:
        FileNotFoundError, ValueError: the data or a candidate are invalid, or no mask can be used.
    """
    sample = labelled_images([images, masks, *([] if gt is None else [gt])], limit, seed, format)
    variants: dict[str, tuple[BaseRefiner, dict, str | None]] = {}
    for candidate in candidates:
        model, checkpoint = candidate if isinstance(candidate, tuple) else (candidate, None)
        name = os.path.splitext(os.path.basename(str(model)))[0]
        name = name if name not in variants else ','.join(map(str, filter(None, (model, checkpoint))))
        variants.update(_variants(name, model, checkpoint, device))
    if gt is None:
        sample = _by_majority(sample, [refiner for refiner, _, _ in variants.values()])
        tested = list(degraded(sample, measure_errors(sample), seed))
        about = (
            f'{_count(tested)} masks with simulated errors like those given; ground truth: majority of the candidates'
        )
    else:
        tested, about = sample, f'{_count(sample)} masks with ground truth'
        if _count(sample) < _MIN_MASKS:
            copies = -(-_MIN_MASKS // _count(sample)) - 1
            errors = measure_errors(sample)
            drawn = [item for copy in range(copies) for item in degraded(sample, errors, seed + copy)]
            tested, about = [*sample, *drawn], f'{about}, and {_count(drawn)} with simulated errors like theirs'
    records, configs = {}, {}
    for name, (refiner, config, checkpoint) in variants.items():
        gates = {'gate': refiner.gate, 'no gate': None} if refiner.gate else {'no gate': None}
        try:
            measured = measure_refiner(refiner, tested, gates)
        except Exception as error:  # whatever a refiner raises; the others go on
            print_log(f'left out, {name}: {type(error).__name__}: {error}', logger='current', level=logging.WARNING)
            continue
        for option, own in measured.items():
            key = f'{name}, {option}'
            records[key] = own
            configs[key] = ({**config, 'gate': None} if option == 'no gate' else config, checkpoint)
    if not records:
        raise ValueError('every candidate failed, see the messages above.')
    best = best_of(records)
    free = {key: own for key, own in records.items() if key.endswith(', no gate')}
    return Pick(best, *configs[best], records, route(free) if len(free) > 1 else [], about)


def _variants(
    name: str, model: str | os.PathLike, checkpoint: str | None, device: str | torch.device | None
) -> dict[str, tuple[BaseRefiner, dict, str | None]]:
    """A refiner and, if it has several steps, the same with its first step only."""
    content, default_checkpoint = load_config(model)
    checkpoint = checkpoint or (None if default_checkpoint is None else str(default_checkpoint))
    config = content['model'].to_dict()
    refiner = build_refiner(config, checkpoint, device)
    found = {name: (refiner, config, checkpoint)}
    if type(refiner).__name__ == 'SegRefiner' and len(steps := refiner.steps) > 1:
        one_step = {**config, 'steps': steps[:1]}
        found[f'{name}, one step'] = (build_refiner(one_step, checkpoint, device), one_step, checkpoint)
    return found


def _by_majority(images: Sequence[LabelledImage], refiners: Sequence[BaseRefiner]) -> list[LabelledImage]:
    """Masks on which all refiners agree, with their pixelwise majority as ground truth."""
    found = []
    for item in images:
        generators = [torch.Generator().manual_seed(0) for _ in refiners]
        proposals = np.stack(
            [
                refiner.with_gate(False).refine(item.image, item.coarse, generator=generator).masks
                for refiner, generator in zip(refiners, generators, strict=True)
            ]
        )
        majority = proposals.mean(axis=0) >= 0.5
        agree = np.min([binary_iou(own, majority) for own in proposals], axis=0) >= _MIN_AGREEMENT
        agree &= binary_iou(item.coarse, majority) >= 0.5  # otherwise they segment another object
        if agree.any():
            found.append(replace(item, coarse=item.coarse[agree], gt=majority[agree]))
    if not found:
        raise ValueError(
            'the candidates agree on none of the masks and cannot replace ground truth; give --gt for some masks.'
        )
    return found


def _count(images: Sequence[LabelledImage]) -> int:
    return sum(len(item.coarse) for item in images)


def _points(gain: float) -> str:
    return f'{100 * gain:+.1f} points of IoU'


def as_config(picked: Pick) -> str:
    """Content of a config file with the chosen refiner."""
    content: dict = {'model': picked.config}
    if picked.checkpoint is not None:
        content['load_from'] = os.path.abspath(picked.checkpoint)
    return f'# {picked.name}{_CHOSEN} on {picked.about}.\n{Config(content).pretty_text}'


def is_config_of_pick(path: Path) -> bool:
    """Whether a file is a config that :func:`as_config` made."""
    try:
        with open(path, encoding='utf-8') as file:
            return _CHOSEN in file.readline(10_000)
    except (OSError, UnicodeDecodeError):
        return False
