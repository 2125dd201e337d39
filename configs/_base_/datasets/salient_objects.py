# Salient and video object sets with a model's masks, a line of the table for each. Made by
# tools/dataset_converters/published_masks_to_coco.py LAYOUT ROOT data/salient/SET --coarse FOLDER.
roots = [
    ('ecssd', 'data/ecssd'),
    ('msra-b', 'data/msra-b'),
    ('davis2016', 'data/DAVIS2016'),
    ('davis2017', 'data/DAVIS'),
    ('cityscapes', 'data/cityscapes'),
]
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
                ann_file=f'data/salient/{name}/truth.json',
                data_prefix=dict(img=root),
                per='image',
                source=name,
                pipeline=[
                    dict(type='LoadRGBImage'),
                    dict(type='LoadTrueMasks'),
                    dict(type='LoadCoarseMasks', path=f'data/salient/{name}/coarse.json'),
                    dict(type='PackRefineInputs'),
                ],
            )
            for name, root in roots
        ],
    ),
)
test_cfg = dict()
test_evaluator = dict(type='RefineMetric', group_by='source')
