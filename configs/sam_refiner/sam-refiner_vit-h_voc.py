# Pseudo labels of VOC from activation maps or label maps, split into regions: mmrefine refine --cam or --semantic.
_base_ = './sam-refiner_vit-h_paper.py'
model = dict(cache=dict(folder='work_dirs/features', max_bytes=100 * 2**30))
