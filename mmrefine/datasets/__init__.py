"""Datasets and samplers for training refiners."""

from mmrefine.datasets.mask_datasets import CocoMaskDataset, MaskFolderDataset
from mmrefine.datasets.mixture_dataset import MixtureDataset
from mmrefine.datasets.samplers import SequentialShareSampler

__all__ = ['CocoMaskDataset', 'MaskFolderDataset', 'MixtureDataset', 'SequentialShareSampler']
