# SAMRefiner++ on DAVIS-585 with the paper's largest segmenter.
_base_ = [
    './sam-refiner_vit-h_davis585.py',
    '../_base_/datasets/own_coarse_masks.py',
    '../_base_/schedules/iou_adaption.py',
]
model = dict(type='SAMRefinerPP', cache=dict(folder='work_dirs/features'))
train_dataloader = dict(
    dataset=dict(ann_file='data/davis585/coarse.json', data_prefix=dict(img='data/davis585/images'))
)
test_dataloader = dict(dataset=dict(ann_file='data/davis585/truth.json', data_prefix=dict(img='data/davis585/images')))
