# The full-size network on a folder of your own images and masks, from published or earlier weights (load_from): coarse
# masks are simulated as in the paper.
_base_ = [
    './segrefiner_lr_lvis.py',
]

data_root = 'data/mine/'
degraded = [
    dict(type='LoadRGBImage'),
    dict(type='LoadTrueMasks'),
    dict(type='PerturbBoundary', iou_target=0.8),
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                _delete_=True,
                type='MaskFolderDataset',
                data_prefix=dict(img=data_root + 'train/images', mask=data_root + 'train/masks'),
                pipeline=degraded + _base_.crop,
            )
        ]
    )
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MaskFolderDataset',
        test_mode=True,
        data_prefix=dict(img=data_root + 'val/images', mask=data_root + 'val/masks'),
        seed=2024,
        pipeline=degraded + [dict(type='PackRefineInputs')],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric')
