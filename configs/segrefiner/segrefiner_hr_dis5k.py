# The paper's table of dichotomous segmentation: DIS5K's validation and test sets.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/segrefiner_hr.py', '../_base_/datasets/dis5k.py']
