# Your own data: data_root/{train,val}/images and .../masks, one binary mask per image under the same name; coarse masks
# are simulated.
data_root = 'data/mine/'
input_size = 224
simulators = None  # all of mmrefine.core.coarse_masks

load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
simulate = [
    dict(type='ObjectWindow', margin_ratio=0.6, max_side=360),
    dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.55, 1.0)),
]
crop_and_augment = [
    dict(type='CoarseMaskCrop', size=input_size),
    dict(type='RandomMaskFlip', prob=0.5),
    dict(type='PhotometricJitter', strength=0.5),
    dict(type='PackRefineInputs', tensors=True),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[1.0],
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=data_root + 'train/images', mask=data_root + 'train/masks'),
                pipeline=load + simulate + crop_and_augment,
            )
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MaskFolderDataset',
        test_mode=True,
        data_prefix=dict(img=data_root + 'val/images', mask=data_root + 'val/masks'),
        seed=2024,
        pipeline=load
        + [
            dict(type='SimulateCoarseMasks', simulators=simulators, iou_range=(0.6, 1.0)),
            dict(type='PackRefineInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='RefineMetric')
test_evaluator = val_evaluator
