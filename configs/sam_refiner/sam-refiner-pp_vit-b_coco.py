# SAMRefiner++ on a detector's masks of COCO train 2017; tested on its masks of val 2017 that match an annotation, as
# tools/dataset_converters/results_to_coco.py --match pairs them.
_base_ = [
    './sam-refiner_vit-b_paper.py',
    '../_base_/datasets/own_coarse_masks.py',
    '../_base_/datasets/coco_matched.py',
    '../_base_/schedules/iou_adaption.py',
]
model = dict(type='SAMRefinerPP', cache=dict(folder='work_dirs/features'))
train_dataloader = dict(
    dataset=dict(ann_file='data/coco/annotations/coarse_train2017.json', data_prefix=dict(img='data/coco/train2017'))
)
