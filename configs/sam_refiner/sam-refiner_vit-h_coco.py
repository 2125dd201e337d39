# Instance masks of a detector on COCO, by mmrefine refine and evaluate_ap.py. Features of images are cached, so that
# runs on another detector's masks, or with other settings, do not encode the images again.
_base_ = './sam-refiner_vit-h_paper.py'
model = dict(cache=dict(folder='work_dirs/features', max_bytes=200 * 2**30))
