"""Endless random draws from several datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmrefine.datasets.skipped_samples import BrokenSampleError, SkippedSamples
from mmrefine.registry import DATASETS


@DATASETS.register_module()
class MixtureDataset:
    """Mixture of datasets, from which samples are drawn with given weights.

    Sample k, including its dataset and index, depends only on ``seed`` and k. Samples that cannot be read are skipped
    with a warning, see :class:`~mmrefine.datasets.skipped_samples.SkippedSamples`.

    Args:
        datasets: configs or datasets of this module.
        weights: relative frequency of each dataset.
        length: number of samples, by default more than any training needs.
        seed: random seed.
        max_refetch: maximum number of samples that are tried if a pipeline returns None (no usable object).

    Raises:
        ValueError: the number of weights differs from that of datasets.
    """

    def __init__(
        self,
        datasets: list,
        weights: list[float],
        length: int = 100_000_000,
        seed: int = 0,
        max_refetch: int = 100,
    ):
        if len(datasets) != len(weights):
            raise ValueError(f'expected one weight per dataset, got {len(datasets)} and {len(weights)}.')
        self.datasets = [DATASETS.build(item) if isinstance(item, dict) else item for item in datasets]
        self.shares = np.asarray(weights, np.float64) / np.sum(weights)
        self.length, self.seed, self.max_refetch = length, seed, max_refetch
        self.metainfo: dict = {}
        self._skipped = SkippedSamples('images')
        for dataset in self.datasets:
            dataset.full_init()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Any:
        rng = np.random.default_rng([self.seed, k])
        for _ in range(self.max_refetch):
            dataset = self.datasets[rng.choice(len(self.datasets), p=self.shares)]
            index = int(rng.integers(len(dataset)))
            try:
                sample = dataset.draw(index, rng)
            except BrokenSampleError as error:
                self._skipped.skip(dataset.get_data_info(index)['img_path'], str(error))
                continue
            self._skipped.count_usable()
            if sample is not None:
                return sample
        raise RuntimeError(
            f'{self.max_refetch} consecutive samples had no usable object; check the datasets and min_area.'
        )
