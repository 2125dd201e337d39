# Mask R-CNN trained on another model's results, refined while loading; images.json is a COCO file without annotations.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

model = dict(roi_head=dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2)))
results = dict(path='data/mine/results.json', category_ids=[1, 3], score_thr=0.5)  # ids in the order of the classes
train_dataloader = dict(
    dataset=dict(
        data_root='data/mine',
        ann_file='images.json',
        data_prefix=dict(img='images'),
        metainfo=dict(classes=('person', 'car')),
        filter_cfg=dict(filter_empty_gt=False),  # no image has annotations
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmrefine.LoadCoarseMasks', into='gt_masks', **results),
            dict(type='mmrefine.RefineMasks', field='gt_masks', cache_dir='work_dirs/refined'),
            dict(type='Resize', scale=(1333, 800), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    )
)
