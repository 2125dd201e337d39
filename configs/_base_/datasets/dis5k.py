# DIS5K's validation and test sets with a model's published masks, a line of the table for each set. Made by
# tools/dataset_converters/published_masks_to_coco.py dis5k data/DIS5K/SET data/dis5k/MODEL/SET --coarse FOLDER.
coarse_model = 'isnet'
sets = ['DIS-VD', 'DIS-TE1', 'DIS-TE2', 'DIS-TE3', 'DIS-TE4']
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
                ann_file=f'data/dis5k/{coarse_model}/{name}/truth.json',
                data_prefix=dict(img=f'data/DIS5K/{name}'),
                per='image',
                source=name,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='LoadCoarseMasks', path=f'data/dis5k/{coarse_model}/{name}/coarse.json'),
                    dict(type='PackRefineInputs'),
                ],
            )
            for name in sets
        ],
    ),
)
test_cfg = dict()
# The papers' IoU of DIS5K is the pooled one; the second metric needs PySODMetrics.
test_evaluator = [
    dict(type='RefineMetric', metric=['iou', 'mba'], group_by='source'),
    dict(type='DichotomousMetric', group_by='source', prefix='dis'),
]
