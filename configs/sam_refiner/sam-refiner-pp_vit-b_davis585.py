# SAMRefiner++ on DAVIS-585, masks as made by tools/dataset_converters/label_maps_to_coco.py --binary.
_base_ = [
    './sam-refiner_vit-b_paper.py',
    '../_base_/datasets/own_coarse_masks.py',
    '../_base_/schedules/iou_adaption.py',
]
model = dict(type='SAMRefinerPP', cache=dict(folder='work_dirs/features'))
train_dataloader = dict(
    dataset=dict(ann_file='data/davis585/coarse.json', data_prefix=dict(img='data/davis585/images'))
)
test_dataloader = dict(dataset=dict(ann_file='data/davis585/truth.json', data_prefix=dict(img='data/davis585/images')))
