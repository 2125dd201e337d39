# SAMRefiner++ on DAVIS-585's superpixel masks; boxes stay tight as in the authors' script.
_base_ = [
    './sam-refiner_vit-b_paper.py',
    '../_base_/datasets/own_coarse_masks.py',
    '../_base_/datasets/davis585.py',
    '../_base_/schedules/iou_adaption.py',
]
model = dict(type='SAMRefinerPP', margin=0.0, cache=dict(folder='work_dirs/features'))
train_dataloader = dict(dataset=dict(ann_file='data/davis585-sp/coarse.json', data_prefix=dict(img='data/davis585')))
