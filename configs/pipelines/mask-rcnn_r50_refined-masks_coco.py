# Mask R-CNN trained on coarse annotations (quick polygons, another model's masks), which are refined while loading.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmrefine.compat.auto'])

train_dataloader = dict(
    dataset=dict(
        data_root='data/mine',
        ann_file='coarse.json',
        data_prefix=dict(img='images'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='mmrefine.RefineMasks', field='gt_masks', cache_dir='work_dirs/refined'),
            dict(type='Resize', scale=(1333, 800), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
    )
)
