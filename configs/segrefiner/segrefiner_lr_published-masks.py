# LR-SegRefiner on any published coarse masks with their ground truth, as two COCO files under data/published: for all
# datasets that tools/dataset_converters/published_masks_to_coco.py reads.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/segrefiner_lr.py', '../_base_/datasets/published_masks.py']
