# SAMRefiner++ on VOC pseudo labels, as made by tools/dataset_converters/label_maps_to_coco.py --components; tested on
# pseudo labels of the training set, as published_masks_to_coco.py voc pairs them with their ground truth.
_base_ = [
    './sam-refiner_vit-b_paper.py',
    '../_base_/datasets/own_coarse_masks.py',
    '../_base_/datasets/voc_pseudo_labels.py',
    '../_base_/schedules/iou_adaption.py',
]
model = dict(type='SAMRefinerPP', cache=dict(folder='work_dirs/features'))
train_dataloader = dict(
    dataset=dict(ann_file='data/voc/coarse_train_aug.json', data_prefix=dict(img='data/voc/coarse_train_aug'))
)
