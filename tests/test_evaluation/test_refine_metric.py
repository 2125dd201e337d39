"""The metric behind mmengine's own Evaluator."""

from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mmrefine.evaluation import RefineMetric, evaluate_masks, gain_intervals, summarize_refinement
from mmrefine.registry import METRICS
from mmrefine.structures import RefineDataSample


def bars(*widths: int) -> np.ndarray:
    """A 4x10 mask for each width: the first columns."""
    return np.stack([np.broadcast_to(np.arange(10) < width, (4, 10)) for width in widths])


def sample(source: str, gt: np.ndarray, coarse: np.ndarray, refined: np.ndarray, **fields) -> RefineDataSample:
    data_sample = RefineDataSample(metainfo={'img_path': f'{source}.jpg', 'source': source})
    data_sample.set_data(
        {'gt_masks': gt, 'coarse_masks': torch.from_numpy(coarse.copy()), 'refined_masks': refined, **fields}
    )
    return data_sample


@pytest.fixture
def samples() -> list[RefineDataSample]:
    return [
        sample('duts', bars(8, 8), bars(4, 8), bars(6, 4), labels=torch.tensor([3, 5])),  # IoU 1/2, 1 -> 3/4, 1/2
        sample('davis', bars(5), bars(4), bars(5), labels=torch.tensor([3])),  # 4/5 -> 1
    ]


def evaluate(metric: RefineMetric, samples: list[RefineDataSample]) -> dict[str, float]:
    evaluator = Evaluator([metric])
    for data_sample in samples:
        evaluator.process([data_sample])
    return evaluator.evaluate(len(samples))


def test_through_the_registry_and_the_evaluator(samples) -> None:
    metric = METRICS.build({'type': 'mmrefine.RefineMetric'})
    metrics = evaluate(metric, samples)
    assert metrics['coarse/iou'] == pytest.approx((1 / 2 + 1 + 4 / 5) / 3)
    assert metrics['refined/iou'] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert metrics['gain/iou'] == pytest.approx(-0.05 / 3)
    assert metrics['coarse/pooled_iou'] == pytest.approx((4 + 8 + 4) / (8 + 8 + 5))
    assert metrics['harm_rate'] == pytest.approx(1 / 3)
    assert metrics['num_masks'] == 3
    gt, coarse, refined = bars(8, 8, 5), bars(4, 8, 4), bars(6, 4, 5)
    columns = evaluate_masks(coarse, gt), evaluate_masks(refined, gt)
    images = ['duts.jpg', 'duts.jpg', 'davis.jpg']
    assert metrics == pytest.approx({**summarize_refinement(*columns), **gain_intervals(*columns, images)})


def test_groups_of_samples_and_of_masks(samples) -> None:
    by_source = evaluate(RefineMetric(['iou'], group_by='source'), samples)
    assert by_source['davis/gain/iou'] == pytest.approx(1 / 5)
    assert by_source['duts/num_masks'] == 2
    by_label = evaluate(RefineMetric(['iou'], group_by='labels', prefix='val'), samples)
    assert by_label['val/3/refined/iou'] == pytest.approx((3 / 4 + 1) / 2)
    assert by_label['val/5/harm_rate'] == 1
    assert by_label['val/num_masks'] == 3


def test_groups_of_groups_and_what_the_gate_kept(samples) -> None:
    for data_sample, kind, accepted in zip(samples, ('real', 'simulated'), ([True, False], [True]), strict=True):
        data_sample.set_metainfo({'kind': kind})
        data_sample.accepted = np.array(accepted)
    metrics = evaluate(RefineMetric(['iou'], group_by=('kind', 'labels')), samples)
    assert metrics['real/all/kept_rate'] == 0.5 and metrics['kept_rate'] == pytest.approx(1 / 3)
    assert metrics['real/3/win_rate'] == 1 and metrics['real/5/win_rate'] == 0
    assert metrics['simulated/all/gain/iou'] == metrics['simulated/3/gain/iou'] == pytest.approx(1 / 5)
    del samples[1].accepted
    assert 'kept_rate' not in evaluate(RefineMetric(['iou']), samples)


def test_padding_of_a_distributed_sampler_is_dropped_by_sample(samples) -> None:
    """mmengine keeps the first ``size`` entries, and the size counts images, not masks."""
    evaluator = Evaluator([RefineMetric(['iou'])])
    evaluator.process([*samples, samples[0]])
    assert evaluator.evaluate(2)['num_masks'] == 3


def test_second_evaluation_starts_again(samples) -> None:
    metric = RefineMetric()
    assert evaluate(metric, samples) == evaluate(metric, samples)


def test_images_without_masks_count_nothing(samples) -> None:
    nothing = sample('davis', bars(5)[:0], bars(5)[:0], bars(5)[:0], labels=torch.zeros(0, dtype=torch.int64))
    for group_by in ('source', 'labels'):
        metrics = evaluate(RefineMetric(group_by=group_by), [nothing, *samples])
        assert metrics['num_masks'] == 3
    assert evaluate(RefineMetric(), [nothing])['num_masks'] == 0


def test_masks_are_not_kept() -> None:
    metric = RefineMetric()
    masks = np.random.default_rng(0).random((4, 200, 300)) < 0.5
    metric.process(None, [sample('noise', masks, masks, masks)])
    # 4 masks of 60,000 px; their numbers take some hundred bytes.
    assert len(pickle.dumps(metric.results)) < 4000


@pytest.mark.parametrize('suffix', ['csv', 'json'])
def test_file_of_single_masks(samples, tmp_path, suffix: str) -> None:
    path = tmp_path / 'new folder' / f'masks.{suffix}'
    samples.append(sample('void', bars(0), bars(1), bars(0), labels=torch.tensor([7])))
    for _ in range(2):  # the second evaluation replaces the file of the first
        evaluate(RefineMetric(['iou', 'mba'], group_by='source', per_mask_file=path), samples)
    text = path.read_text(encoding='utf-8')
    rows = json.loads(text) if suffix == 'json' else list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ['img_path', 'mask', 'source', 'coarse_iou', 'refined_iou', 'coarse_mba', 'refined_mba']
    assert [(row['img_path'], int(row['mask'])) for row in rows] == [
        ('duts.jpg', 0),
        ('duts.jpg', 1),
        ('davis.jpg', 0),
        ('void.jpg', 0),
    ]
    assert [float(row['refined_iou']) for row in rows] == [0.75, 0.5, 1, 1]
    assert rows[3]['coarse_mba'] == (None if suffix == 'json' else '')
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_file_of_single_masks_holds_what_the_gate_saw(samples, tmp_path) -> None:
    path = tmp_path / 'masks.json'
    samples[0].set_data({'scores': np.array([0.9, 0.2], np.float32), 'accepted': np.array([True, False])})
    samples[0].gate_features = {'agreement': np.array([0.75, np.nan])}
    evaluate(RefineMetric(['iou'], group_by=('source', 'labels'), per_mask_file=path), samples)
    first, second, third = json.loads(path.read_text())
    assert [first[key] for key in ('source', 'labels', 'accepted', 'agreement')] == ['duts', '3', True, 0.75]
    assert second['agreement'] is None and third['agreement'] is None and third['accepted'] is None
    samples[0].accepted = np.array([True])
    with pytest.raises(ValueError, match=r"expected 2 gate values for 2 masks of a data sample, got \{'accepted': 1\}"):
        evaluate(RefineMetric(['iou']), samples)


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(samples, tmp_path) -> None:
    path = tmp_path / 'masks.csv'
    path.mkdir()
    with pytest.raises(OSError, match='masks.csv'):
        evaluate(RefineMetric(per_mask_file=path), samples)
    assert [entry.name for entry in tmp_path.iterdir()] == ['masks.csv']


def test_refusals(samples) -> None:
    with pytest.raises(ValueError, match=r"per_mask_file must end in .csv or .json, got 'masks.txt'"):
        RefineMetric(per_mask_file='masks.txt')
    with pytest.raises(ValueError, match=r"list of names .* got \['dice'\]"):
        RefineMetric(['dice'])
    with pytest.raises(ValueError, match="group_by='camera': expected this field in every data sample"):
        evaluate(RefineMetric(group_by='camera'), samples)
    samples[0].labels = torch.tensor([1, 2, 3])
    with pytest.raises(ValueError, match='expected one value or 2, got 3'):
        evaluate(RefineMetric(group_by='labels'), samples)
    del samples[0].refined_masks
    with pytest.raises(ValueError, match='refined_masks is missing'):
        evaluate(RefineMetric(), samples)
