# Stage 1: a small SAM 2 from scratch on coarse ground truth, in the folder POOLS of make_pools.py.
_base_ = '../../../configs/_base_/default_runtime.py'
custom_imports = dict(imports=['coarse_sam2'])

pools = '{{$POOLS:work_dirs/sam2_refiner_reduced/pools}}'
size = 128
max_iters = 18000
warmup_iters = 100
small = dict(image_size=size, embed_dim=24, stages=(1, 2, 3, 1), hidden_dim=64)
model = dict(type='CoarseSAM2', base=dict(config='sam2.1_hiera_t', small=small), blind_iters=1000)

pipeline = [
    dict(type='LoadRGBImage'),
    dict(type='LoadTrueMasks'),
    dict(type='RandomMaskFlip'),
    dict(type='LargeScaleJitter', size=size, scale=(0.8, 1.25)),
    dict(type='PhotometricJitter', strength=0.3),
    dict(type='SamplePrompts', kinds=('box', 'points', 'points'), num_points=(1, 5)),
    dict(type='PackInteractiveInputs', tensors=True),
]
train_dataloader = dict(
    batch_size=24,
    num_workers=0,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        weights=[1, 1],
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=f'{pools}/base/{source}/images', mask=f'{pools}/base/{source}/masks'),
                pipeline=pipeline,
            )
            for source in ('synthetic', 'photos')
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / warmup_iters, by_epoch=False, end=warmup_iters),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
