# Your own data for SAM2Refiner: data_root/{train,val}/images and .../masks, one object per image under the same name.
data_root = 'data/mine/'
input_size = 1024
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]

train_dataloader = dict(
    batch_size=4,
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
                pipeline=[
                    *load,
                    dict(type='RandomMaskFlip', prob=0.5),
                    dict(type='LargeScaleJitter', size=input_size, scale=(0.5, 2.0)),
                    dict(type='SamplePrompts', mask_side=input_size // 4),
                    dict(type='PackInteractiveInputs', tensors=True),
                ],
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
        pipeline=[
            *load,
            dict(type='SamplePrompts', mask_side=input_size // 4),
            dict(type='SquareResize', size=input_size, keep_masks=True),
            dict(type='PackInteractiveInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='RefineMetric')
test_evaluator = val_evaluator
