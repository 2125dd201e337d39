# Semantic pseudo labels of VOC, split into regions (tools/refine.py --semantic). Such regions are rough, so that boxes
# may grow further.
_base_ = './sam-refiner_vit-h.py'
model = dict(margin=0.1, cache=dict(folder='work_dirs/features', max_bytes=100 * 2**30))
