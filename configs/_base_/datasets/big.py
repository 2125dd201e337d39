# BIG's test set with the coarse masks of four models that CascadePSP's authors publish, one line of the table each.
# Made by tools/dataset_converters/published_masks_to_coco.py big data/big/test data/big/MODEL --coarse FOLDER.
models = ['deeplabv3plus', 'refinenet', 'pspnet', 'fcn8s']
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='CocoMaskDataset',
                test_mode=True,
                ann_file=f'data/big/{name}/truth.json',
                data_prefix=dict(img='data/big/test'),
                per='image',
                source=name,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='LoadCoarseMasks', path=f'data/big/{name}/coarse.json'),
                    dict(type='PackRefineInputs'),
                ],
            )
            for name in models
        ],
    ),
)
test_cfg = dict()
# The papers' IoU of BIG is the pooled one.
test_evaluator = dict(type='RefineMetric', metric=['iou', 'mba'], group_by='source')
