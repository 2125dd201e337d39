# Instance masks of a detector on COCO. Many masks per image: features are kept, so that a second detector's masks, or
# other settings, do not encode the images again.
_base_ = './sam-refiner_vit-h.py'
model = dict(iters=1, margin=0.1, cache=dict(folder='work_dirs/features', max_bytes=200 * 2**30))
