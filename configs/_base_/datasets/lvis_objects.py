# LVIS v1 on COCO 2017 images: one object per sample, coarse masks made online.
data_root = 'data/coco/'
lvis_root = 'data/lvis_v1/'
input_size = 256

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[1.0],
        datasets=[
            dict(
                type='CocoMaskDataset',
                ann_file=lvis_root + 'annotations/lvis_v1_train.json',
                data_prefix=dict(img=data_root),
                min_area=64,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='RandomObjectCrop', size=input_size, margin_px=40),
                    dict(type='SimulateCoarseMasks', simulators=['contour_points'], iou_range=(0.5, 0.95)),
                    dict(type='RandomMaskFlip', prob=0.5),
                    dict(type='PackRefineInputs', tensors=True),
                ],
            )
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CocoMaskDataset',
        ann_file=lvis_root + 'annotations/lvis_v1_val.json',
        data_prefix=dict(img=data_root),
        per='image',
        min_area=512,
        seed=2024,
        pipeline=[
            dict(type='LoadRGBImage'),
            dict(type='LoadTrueMasks'),
            dict(type='SimulateCoarseMasks', simulators=['contour_points'], iou_range=(0.5, 0.95)),
            dict(type='PackRefineInputs'),
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric')
