# DAVIS-585, a line of the table for each of its two kinds of coarse masks. Boxes stay tight: the paper's text has
# lambda 0.1, the authors' script for this dataset 0.
_base_ = ['./sam-refiner_vit-h_paper.py', '../_base_/datasets/davis585.py', '../_base_/default_runtime.py']
model = dict(margin=0.0)
