# Stage 2: SAM2Refiner with the frozen SAM 2 of the file BASE, trained on fine ground truth. An ablation removes a
# module, such as by --cfg-options model.core.la=None. Held-out images are prompted by a box and by 1, 2 and 5 clicks.
_base_ = '../../../configs/_base_/default_runtime.py'

pools = '{{$POOLS:work_dirs/sam2_refiner_reduced/pools}}'
size = 128
max_iters = 2800
warmup_iters = 100
small = dict(image_size=size, embed_dim=24, stages=(1, 2, 3, 1), hidden_dim=64)
model = dict(
    type='SAM2Refiner',
    base=dict(
        config='sam2.1_hiera_t', checkpoint='{{$BASE:work_dirs/sam2_refiner_reduced/base/sam2.pth}}', small=small
    ),
    # Starts with the masks of the base, unlike the paper: starting with noise would need more iterations.
    core=dict(la=dict(), pr=dict(), mr=dict(), init='identity'),
    loss=dict(type='PointSampledMaskLoss', num_points=2048),
    # All variants train on the same images: their frozen features are computed once.
    cache=dict(folder=f'{pools}/features', max_bytes=8 * 1024**3),
)

sources = ('synthetic', 'photos')
load = [dict(type='LoadRGBImage'), dict(type='LoadTrueMasks')]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='SequentialShareSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MixtureDataset',
        seed=0,
        weights=[1, 1],
        datasets=[
            dict(
                type='MaskFolderDataset',
                data_prefix=dict(img=f'{pools}/refiner/{source}/images', mask=f'{pools}/refiner/{source}/masks'),
                pipeline=[
                    *load,
                    dict(type='SamplePrompts', kinds=('box', 'points'), num_points=(1, 5)),
                    dict(type='PackInteractiveInputs', tensors=True),
                ],
            )
            for source in sources
        ],
    ),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / warmup_iters, by_epoch=False, end=warmup_iters),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)

test_prompts = dict(
    box=dict(type='SamplePrompts', kinds=('box',), box_noise=0.0),
    clicks_1=dict(type='SamplePrompts', kinds=('points',), num_points=(1, 1)),
    clicks_2=dict(type='SamplePrompts', kinds=('points',), num_points=(2, 2), positive_share=1.0),
    clicks_5=dict(type='SamplePrompts', kinds=('points',), num_points=(5, 5), positive_share=1.0),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='MaskFolderDataset',
                test_mode=True,
                kind=kind,
                seed=2024,
                data_prefix=dict(img=f'{pools}/val/{source}/images', mask=f'{pools}/val/{source}/masks'),
                pipeline=[*load, prompt, dict(type='PackInteractiveInputs')],
            )
            for kind, prompt in test_prompts.items()
            for source in sources
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', metric=['iou', 'boundary_iou'], group_by=('source', 'kind'))
