# The paper's table of semantic segmentation: BIG with DeepLabV3+, RefineNet, PSPNet and FCN-8s.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/segrefiner_hr.py', '../_base_/datasets/big.py']
